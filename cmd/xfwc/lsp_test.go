package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sourcegraph/jsonrpc2"

	"xfwc/internal/longpolicy"
)

// editing is `xfwc lsp` in this process with an editor at its other end, which
// has a policy of many lines open.
type editing struct {
	conn      *jsonrpc2.Conn
	uri       string
	version   int
	published chan int // the versions that findings were published for
}

func startEditing(b *testing.B, lines int) *editing {
	b.Helper()
	src := longpolicy.Lines(lines)
	file := filepath.Join(b.TempDir(), "policy.xfw")
	if err := os.WriteFile(file, src, 0o644); err != nil {
		b.Fatal(err)
	}
	toServer, fromClient := io.Pipe()
	toClient, fromServer := io.Pipe()
	w, _, _ := machine("edge")
	w.in, w.out, w.now = toServer, fromServer, time.Now
	go run([]string{"lsp"}, w)
	e := &editing{uri: "file://" + file, version: 1, published: make(chan int, 100)}
	hear := jsonrpc2.HandlerWithError(func(_ context.Context, _ *jsonrpc2.Conn, r *jsonrpc2.Request) (any, error) {
		var p struct {
			URI     string
			Version int
		}
		if r.Method == "textDocument/publishDiagnostics" && json.Unmarshal(*r.Params, &p) == nil && p.URI == e.uri {
			e.published <- p.Version
		}
		return nil, nil
	})
	stream := jsonrpc2.NewBufferedStream(struct {
		io.Reader
		io.WriteCloser
	}{toClient, fromClient}, jsonrpc2.VSCodeObjectCodec{})
	e.conn = jsonrpc2.NewConn(context.Background(), stream, hear)
	b.Cleanup(func() { e.conn.Close() })
	e.call(b, "initialize", map[string]any{"capabilities": map[string]any{}})
	e.notify(b, "initialized", map[string]any{})
	e.notify(b, "textDocument/didOpen", map[string]any{"textDocument": map[string]any{
		"uri": e.uri, "languageId": "xfw", "version": 1, "text": string(src),
	}})
	e.wait(b)
	return e
}

func (e *editing) call(b *testing.B, method string, params any) {
	b.Helper()
	if err := e.conn.Call(context.Background(), method, params, nil); err != nil {
		b.Fatalf("%s: %v", method, err)
	}
}

func (e *editing) notify(b *testing.B, method string, params any) {
	b.Helper()
	if err := e.conn.Notify(context.Background(), method, params); err != nil {
		b.Fatalf("%s: %v", method, err)
	}
}

// wait waits for the findings about the newest text.
func (e *editing) wait(b *testing.B) {
	b.Helper()
	for {
		select {
		case v := <-e.published:
			if v == e.version {
				return
			}
		case <-time.After(time.Minute):
			b.Fatal("no findings")
		}
	}
}

// press types a character into a comment at the beginning, or takes it away.
func (e *editing) press(b *testing.B) {
	b.Helper()
	e.version++
	at := map[string]int{"line": 0, "character": 2}
	change := map[string]any{"range": map[string]any{"start": at, "end": at}, "text": "x"}
	if e.version%2 == 1 {
		change = map[string]any{"range": map[string]any{"start": at, "end": map[string]int{"line": 0, "character": 3}}, "text": ""}
	}
	e.notify(b, "textDocument/didChange", map[string]any{
		"textDocument": map[string]any{"uri": e.uri, "version": e.version}, "contentChanges": []any{change},
	})
}

// BenchmarkKeystroke is what somebody waits for who types in a policy of 2,000
// lines: for what may come next, and for the findings about all of it.
func BenchmarkKeystroke(b *testing.B) {
	for _, bench := range []struct {
		name   string
		answer func(*editing)
	}{
		{"findings", func(e *editing) { e.wait(b) }},
		{"completion", func(e *editing) {
			e.call(b, "textDocument/completion", map[string]any{
				"textDocument": map[string]any{"uri": e.uri}, "position": map[string]int{"line": 1, "character": 0},
			})
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			e := startEditing(b, 2000)
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				e.press(b)
				bench.answer(e)
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}
