package lsp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sourcegraph/jsonrpc2"

	"xfwc/compiler"
	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// client is an editor at the other end of a pipe, with a folder of its own.
type client struct {
	t    testing.TB
	dir  string
	conn *jsonrpc2.Conn
	out  io.WriteCloser // to the server, for what no editor should say
	done chan error     // what Serve gave

	mu      sync.Mutex
	said    map[string][]publishDiagnosticsParams // by file name
	heard   *sync.Cond
	logged  []string
	watches []watcher
	version int
	texts   map[string]string
}

// today is the day of all tests.
const today = "2026-11-22"

// judgeTest judges as xfwc check does, without the backends.
func judgeTest(_ context.Context, path string, files []*lang.File, found []diag.Finding) Judged {
	in := compiler.Input{Files: files, Problems: found, ReadFeed: os.ReadFile, Date: today}
	var out Judged
	name := filepath.Join(filepath.Dir(path), "xfwc.lock")
	if text, err := os.ReadFile(name); err == nil {
		var problems []diag.Finding
		in.Lock, problems = lock.Parse(name, text)
		out.Findings = append(out.Findings, problems...)
	}
	got := compiler.Compile(in)
	out.Policy = got.Policy
	out.Findings = append(append(out.Findings, found...), got.Findings...)
	diag.Sort(out.Findings)
	return out
}

// start runs a server over a pipe, in a folder with these files. The folder has
// a name that needs escapes in a URI.
func start(t testing.TB, files map[string]string, change ...func(*Config)) *client {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "my policies 100% #1")
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	config := Config{
		Version: "test", Disk: lang.OS(), Judge: judgeTest, Today: func() string { return today }, Quiet: time.Millisecond,
	}
	for _, f := range change {
		f(&config)
	}
	toServer, fromClient := io.Pipe()
	toClient, fromServer := io.Pipe()
	c := &client{
		t: t, dir: dir, out: fromClient, done: make(chan error, 1),
		said: map[string][]publishDiagnosticsParams{}, texts: map[string]string{},
	}
	c.heard = sync.NewCond(&c.mu)
	go func() {
		c.done <- Serve(context.Background(), toServer, fromServer, config)
		fromServer.Close()
	}()
	stream := jsonrpc2.NewBufferedStream(pipe{toClient, fromClient}, jsonrpc2.VSCodeObjectCodec{})
	c.conn = jsonrpc2.NewConn(context.Background(), stream, jsonrpc2.HandlerWithError(c.hear).SuppressErrClosed(),
		jsonrpc2.SetLogger(log.New(io.Discard, "", 0)))
	t.Cleanup(func() { c.conn.Close() })
	var result initializeResult
	c.call("initialize", map[string]any{"capabilities": map[string]any{
		"workspace":    map[string]any{"didChangeWatchedFiles": map[string]any{"dynamicRegistration": true}},
		"textDocument": map[string]any{"documentSymbol": map[string]any{"hierarchicalDocumentSymbolSupport": true}},
	}}, &result)
	if result.Capabilities.PositionEncoding != "utf-16" || result.ServerInfo.Version != "test" {
		t.Fatalf("initialize gave %+v", result)
	}
	c.notify("initialized", map[string]any{})
	return c
}

type pipe struct {
	io.Reader
	io.WriteCloser
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// hear takes what the server says by itself.
func (c *client) hear(_ context.Context, _ *jsonrpc2.Conn, r *jsonrpc2.Request) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.heard.Broadcast()
	switch r.Method {
	case "textDocument/publishDiagnostics":
		var p publishDiagnosticsParams
		if err := json.Unmarshal(*r.Params, &p); err != nil {
			return nil, err
		}
		name := c.nameOf(p.URI)
		c.said[name] = append(c.said[name], p)
	case "window/logMessage":
		var p logMessageParams
		if err := json.Unmarshal(*r.Params, &p); err != nil {
			return nil, err
		}
		c.logged = append(c.logged, p.Message)
	case "client/registerCapability":
		var p registrationParams
		if err := json.Unmarshal(*r.Params, &p); err != nil {
			return nil, err
		}
		c.watches = p.Registrations[0].RegisterOptions.Watchers
		return nil, nil
	}
	return nil, nil
}

func (c *client) uri(name string) string { return uriOf(filepath.Join(c.dir, name)) }

// nameOf is the file of a URI, as the tests name it.
func (c *client) nameOf(uri string) string {
	path, ok := pathOf(uri)
	if !ok {
		return uri
	}
	name, err := filepath.Rel(c.dir, path)
	if err != nil {
		return path
	}
	return name
}

func (c *client) ask(method string, params, result any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return c.conn.Call(ctx, method, params, result)
}

func (c *client) call(method string, params, result any) {
	c.t.Helper()
	if err := c.ask(method, params, result); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
}

func (c *client) notify(method string, params any) {
	c.t.Helper()
	if err := c.conn.Notify(context.Background(), method, params); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
}

// open opens a file with a text, which is that on disk where none is given.
func (c *client) open(name string, texts ...string) {
	c.t.Helper()
	text := strings.Join(texts, "")
	if len(texts) == 0 {
		src, err := os.ReadFile(filepath.Join(c.dir, name))
		if err != nil {
			c.t.Fatal(err)
		}
		text = string(src)
	}
	c.version++
	c.texts[name] = text
	c.notify("textDocument/didOpen", map[string]any{"textDocument": map[string]any{
		"uri": c.uri(name), "languageId": "xfw", "version": c.version, "text": text,
	}})
}

// edit replaces the first occurrence of a text in an open file, as an editor does
// that sends what changed.
func (c *client) edit(name, old, new string) {
	c.t.Helper()
	text := newText([]byte(c.texts[name]))
	from := strings.Index(c.texts[name], old)
	if from < 0 {
		c.t.Fatalf("%s does not hold %q", name, old)
	}
	c.version++
	c.texts[name] = strings.Replace(c.texts[name], old, new, 1)
	c.notify("textDocument/didChange", didChange(c.uri(name), c.version, contentChange{
		&textRange{text.position(from), text.position(from + len(old))}, new,
	}))
}

func didChange(uri string, version int, changes ...contentChange) any {
	var list []any
	for _, c := range changes {
		m := map[string]any{"text": c.Text}
		if c.Range != nil {
			m["range"] = c.Range
		}
		list = append(list, m)
	}
	return map[string]any{"textDocument": map[string]any{"uri": uri, "version": version}, "contentChanges": list}
}

// at is the place in an open file behind the text before | in what.
func (c *client) at(name, what string) positionParams {
	c.t.Helper()
	before, after, ok := strings.Cut(what, "|")
	from := strings.Index(c.texts[name], before+after)
	if !ok || from < 0 {
		c.t.Fatalf("%s does not hold %q", name, what)
	}
	return positionParams{
		TextDocument: documentID{c.uri(name)},
		Position:     newText([]byte(c.texts[name])).position(from + len(before)),
	}
}

// spelling writes diagnostics in short: their codes, with the text they are at.
func (c *client) spelling(name string, ds []diagnostic) string {
	text := newText([]byte(c.texts[name]))
	if _, open := c.texts[name]; !open {
		src, _ := os.ReadFile(filepath.Join(c.dir, name))
		text = newText(src)
	}
	var all []string
	for _, d := range ds {
		at := string(text.bytes[text.offset(d.Range.Start):text.offset(d.Range.End)])
		all = append(all, d.Code+" "+strings.Join(strings.Fields(at), " "))
	}
	return strings.Join(all, "; ")
}

// wait waits until the newest diagnostics of a file are as spelt; … at the end of
// want stands for anything.
func (c *client) wait(name, want string) []diagnostic {
	c.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	timer := time.AfterFunc(10*time.Second, c.heard.Broadcast)
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		got := "nothing"
		if said := c.said[name]; len(said) > 0 {
			last := said[len(said)-1]
			got = c.spelling(name, last.Diagnostics)
			if head, cut := strings.CutSuffix(want, "…"); got == want || cut && strings.HasPrefix(got, head) {
				return last.Diagnostics
			}
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: got %q, want %q", name, got, want)
		}
		c.heard.Wait()
	}
}

// leave ends the session as an editor should.
func (c *client) leave() error {
	c.t.Helper()
	c.call("shutdown", nil, nil)
	c.notify("exit", nil)
	select {
	case err := <-c.done:
		return err
	case <-time.After(10 * time.Second):
		return errors.New("the server does not end")
	}
}

// applied makes the edits of a workspace edit in the texts that are open or on
// disk, and gives the files that changed.
func (c *client) applied(e workspaceEdit) map[string]string {
	c.t.Helper()
	changed := map[string]string{}
	for uri, edits := range e.Changes {
		name := c.nameOf(uri)
		text, open := c.texts[name]
		if !open {
			src, err := os.ReadFile(filepath.Join(c.dir, name))
			if err != nil {
				c.t.Fatal(err)
			}
			text = string(src)
		}
		changed[name] = applyEdits(c.t, text, edits)
	}
	return changed
}

// applyEdits makes edits whose ranges are all of the same text.
func applyEdits(t testing.TB, src string, edits []textEdit) string {
	t.Helper()
	text := newText([]byte(src))
	var all []diag.Edit
	for _, e := range edits {
		from, to := text.offset(e.Range.Start), text.offset(e.Range.End)
		all = append(all, diag.Edit{Span: diag.Span{
			Start: diag.Pos{Filename: "f", Offset: from, Line: 1}, End: diag.Pos{Filename: "f", Offset: to, Line: 1},
		}, New: e.NewText})
	}
	if len(all) == 0 {
		return src
	}
	changed, made := diag.Apply(map[string][]byte{"f": []byte(src)}, [][]diag.Edit{all})
	if !made[0] {
		t.Fatalf("edits overlap: %+v", edits)
	}
	return string(changed["f"])
}
