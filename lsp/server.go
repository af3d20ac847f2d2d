package lsp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sourcegraph/jsonrpc2"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// Config is what a server takes from outside.
type Config struct {
	Version string
	// Disk is where files are read that are not open.
	Disk lang.Source
	// Judge judges a policy: path is its file, files are what it includes, and
	// found is what the language found. It may end early when the context does.
	Judge func(ctx context.Context, path string, files []*lang.File, found []diag.Finding) Judged
	// Today is the day, as YYYY-MM-DD.
	Today func() string
	// Quiet is how long a text has to rest before it is judged.
	Quiet time.Duration
}

// ErrAbandoned is the error of a session that ended without a shutdown request.
var ErrAbandoned = errors.New("the editor left without a shutdown request")

// Serve speaks with an editor until it leaves, or until ctx ends.
func Serve(ctx context.Context, in io.Reader, out io.Writer, config Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &server{
		config:  config,
		running: map[jsonrpc2.ID]context.CancelFunc{},
		now:     newView(nil, config.Disk, &parsed{files: map[string]parsedFile{}}),
		judges: judges{
			last: map[string]*verdict{}, policies: map[string]*ir.Policy{}, stale: map[string]bool{},
			wake: make(chan struct{}, 1), published: map[string]string{},
		},
	}
	connected := make(chan struct{})
	handler := handlerFunc(func(r *jsonrpc2.Request) {
		<-connected
		s.handle(ctx, r)
	})
	// What the editor says wrong is answered; the library need not log it as well.
	quiet := jsonrpc2.SetLogger(log.New(io.Discard, "", 0))
	stream := newStream(in, out)
	s.conn = jsonrpc2.NewConn(ctx, stream, handler, quiet)
	close(connected)

	background := make(chan struct{})
	go func() {
		defer close(background)
		s.background(ctx)
	}()
	<-s.conn.DisconnectNotify()
	cancel()
	<-background
	s.requests.Wait()
	within(patience, stream.flush)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != shutDown {
		return ErrAbandoned
	}
	return nil
}

// patience is how long an editor that leaves is waited for.
const patience = time.Second

// within gives f some time to end.
func within(d time.Duration, f func()) {
	ended := make(chan struct{})
	go func() {
		f()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(d):
	}
}

// handlerFunc is a jsonrpc2.Handler that answers by itself.
type handlerFunc func(*jsonrpc2.Request)

func (f handlerFunc) Handle(_ context.Context, _ *jsonrpc2.Conn, r *jsonrpc2.Request) { f(r) }

// server is one session with an editor.
type server struct {
	config   Config
	conn     *jsonrpc2.Conn
	judges   judges
	requests sync.WaitGroup // that are being answered

	mu      sync.Mutex
	state   state
	client  initializeParams
	now     *view
	running map[jsonrpc2.ID]context.CancelFunc // requests that can be cancelled
}

// state is how far a session has come.
type state int

const (
	fresh state = iota
	ready
	shutDown
)

// handle takes the next message. Texts change here, in the order of the
// messages; requests are answered aside, from the texts as they are now.
func (s *server) handle(ctx context.Context, r *jsonrpc2.Request) {
	if r.Notif {
		s.guard(r.Method, func() { s.notified(ctx, r) })
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	answer, err := s.requested(r)
	if err != nil {
		cancel()
		s.conn.ReplyWithError(ctx, r.ID, err)
		return
	}
	v := s.view()
	s.mu.Lock()
	s.running[r.ID] = cancel
	s.mu.Unlock()
	s.requests.Go(func() {
		defer cancel()
		result, err := s.answer(ctx, r, v, answer)
		s.mu.Lock()
		delete(s.running, r.ID)
		s.mu.Unlock()
		// Who does not listen any more needs no answer, so the error is not told.
		if err != nil {
			s.conn.ReplyWithError(ctx, r.ID, err)
		} else {
			s.conn.Reply(ctx, r.ID, result)
		}
	})
}

// requested finds who answers a request, if anybody may now.
func (s *server) requested(r *jsonrpc2.Request) (answerer, *jsonrpc2.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.Method == "initialize" && s.state == fresh:
		var p initializeParams
		if err := decode(r, &p); err != nil {
			return nil, err
		}
		s.client, s.state = p, ready
		return func(*server, context.Context, *view, *jsonrpc2.Request) (any, *jsonrpc2.Error) {
			return s.initialize(), nil
		}, nil
	case s.state == fresh:
		return nil, &jsonrpc2.Error{Code: codeNotInitialized, Message: "initialize has to come first"}
	case s.state == shutDown:
		return nil, &jsonrpc2.Error{Code: jsonrpc2.CodeInvalidRequest, Message: "the server was shut down"}
	case r.Method == "initialize":
		return nil, &jsonrpc2.Error{Code: jsonrpc2.CodeInvalidRequest, Message: "the server is initialized already"}
	case r.Method == "shutdown":
		s.state = shutDown
		return func(*server, context.Context, *view, *jsonrpc2.Request) (any, *jsonrpc2.Error) { return nil, nil }, nil
	}
	if answer := answerers[r.Method]; answer != nil {
		return answer, nil
	}
	return nil, &jsonrpc2.Error{Code: jsonrpc2.CodeMethodNotFound, Message: "the server knows no " + r.Method}
}

// Codes of errors that the library does not name.
const (
	codeNotInitialized = -32002
	codeCancelled      = -32800
	codeRefused        = -32803 // RequestFailed: well asked, and not to be done
)

// refuse is the error of a request that was well asked and cannot be done.
func refuse(format string, args ...any) *jsonrpc2.Error {
	return &jsonrpc2.Error{Code: codeRefused, Message: fmt.Sprintf(format, args...)}
}

// answerer answers one kind of request.
type answerer func(*server, context.Context, *view, *jsonrpc2.Request) (any, *jsonrpc2.Error)

// asking makes an answerer of a function that takes the params as they are meant.
func asking[P any](f func(*server, context.Context, *view, P) (any, *jsonrpc2.Error)) answerer {
	return func(s *server, ctx context.Context, v *view, r *jsonrpc2.Request) (any, *jsonrpc2.Error) {
		var p P
		if err := decode(r, &p); err != nil {
			return nil, err
		}
		return f(s, ctx, v, p)
	}
}

// answerers are the requests that the server knows.
var answerers = map[string]answerer{
	"textDocument/hover":          asking((*server).hover),
	"textDocument/completion":     asking((*server).completion),
	"textDocument/definition":     asking((*server).definition),
	"textDocument/references":     asking((*server).references),
	"textDocument/prepareRename":  asking((*server).prepareRename),
	"textDocument/rename":         asking((*server).rename),
	"textDocument/documentSymbol": asking((*server).symbols),
	"textDocument/formatting":     asking((*server).formatting),
	"textDocument/codeAction":     asking((*server).codeActions),
}

func decode(r *jsonrpc2.Request, p any) *jsonrpc2.Error {
	if r.Params == nil {
		return &jsonrpc2.Error{Code: jsonrpc2.CodeInvalidParams, Message: r.Method + " needs params"}
	}
	if err := json.Unmarshal(*r.Params, p); err != nil {
		return &jsonrpc2.Error{Code: jsonrpc2.CodeInvalidParams, Message: err.Error()}
	}
	return nil
}

// answer answers a request. A panic is an error of this request alone.
func (s *server) answer(ctx context.Context, r *jsonrpc2.Request, v *view, f answerer) (result any, err *jsonrpc2.Error) {
	err = &jsonrpc2.Error{Code: jsonrpc2.CodeInternalError, Message: "xfwc failed at this; its log says where"}
	s.guard(r.Method, func() { result, err = f(s, ctx, v, r) })
	if ctx.Err() != nil && err == nil {
		return nil, &jsonrpc2.Error{Code: codeCancelled, Message: "cancelled"}
	}
	return result, err
}

// guard keeps a panic from ending the session: it is told to the editor.
func (s *server) guard(what string, f func()) {
	defer func() {
		if p := recover(); p != nil {
			s.tell(fmt.Sprintf("%s failed: %v\n%s", what, p, debug.Stack()))
		}
	}()
	f()
}

// tell writes an error into the editor's log.
func (s *server) tell(message string) {
	s.notify("window/logMessage", logMessageParams{Type: 1, Message: message})
}

// notify says something to the editor. One that is gone needs to know nothing.
func (s *server) notify(method string, params any) {
	_ = s.conn.Notify(context.Background(), method, params)
}

// initialize says what the server can do.
func (s *server) initialize() initializeResult {
	return initializeResult{
		Capabilities: serverCapabilities{
			PositionEncoding:           "utf-16",
			TextDocumentSync:           syncOptions{OpenClose: true, Change: syncIncremental},
			HoverProvider:              true,
			CompletionProvider:         completionOptions{TriggerCharacters: []string{" "}},
			DefinitionProvider:         true,
			ReferencesProvider:         true,
			DocumentSymbolProvider:     true,
			DocumentFormattingProvider: true,
			RenameProvider:             renameOptions{PrepareProvider: true},
			CodeActionProvider:         codeActionOptions{CodeActionKinds: []string{kindQuickFix, kindFixAll}},
		},
		ServerInfo: serverInfo{Name: "xfwc", Version: s.config.Version},
	}
}

// notified takes a message that wants no answer.
func (s *server) notified(ctx context.Context, r *jsonrpc2.Request) {
	s.mu.Lock()
	listening := s.state == ready
	s.mu.Unlock()
	switch {
	case r.Method == "exit":
		within(patience, s.requests.Wait) // what was asked before is answered
		s.conn.Close()
		return
	case !listening:
		return
	}
	switch r.Method {
	case "initialized":
		s.watch(ctx)
	case "$/cancelRequest":
		var p struct {
			ID jsonrpc2.ID `json:"id"`
		}
		if decode(r, &p) == nil {
			s.mu.Lock()
			if cancel := s.running[p.ID]; cancel != nil {
				cancel()
			}
			s.mu.Unlock()
		}
	case "textDocument/didOpen":
		var p didOpenParams
		if decode(r, &p) == nil {
			d := &document{uri: p.TextDocument.URI, version: p.TextDocument.Version, text: newText([]byte(p.TextDocument.Text))}
			d.path, d.file = placeOf(d.uri)
			s.change(d.path, func(open map[string]*document) { open[d.path] = d })
		}
	case "textDocument/didChange":
		var p didChangeParams
		if decode(r, &p) == nil {
			path, _ := placeOf(p.TextDocument.URI)
			s.change(path, func(open map[string]*document) {
				if old := open[path]; old != nil {
					d := *old
					d.version = p.TextDocument.Version
					for _, c := range p.ContentChanges {
						d.text = d.text.apply(c)
					}
					open[path] = &d
				}
			})
		}
	case "textDocument/didClose":
		var p documentParams
		if decode(r, &p) == nil {
			path, _ := placeOf(p.TextDocument.URI)
			s.change(path, func(open map[string]*document) { delete(open, path) })
		}
	case "textDocument/didSave", "workspace/didChangeWatchedFiles":
		s.change("", func(map[string]*document) {})
	}
}

// placeOf is how a document is found: by its file, or by its URI where it has
// none, such as a text that was never saved.
func placeOf(uri string) (path string, file bool) {
	if path, ok := pathOf(uri); ok {
		return path, true
	}
	return uri, false
}

// watch asks to be told when files change that are not open.
func (s *server) watch(ctx context.Context) {
	s.mu.Lock()
	can := s.client.Capabilities.Workspace.DidChangeWatchedFiles.DynamicRegistration
	s.mu.Unlock()
	if !can {
		return
	}
	p := registrationParams{Registrations: []registration{{
		ID: "files", Method: "workspace/didChangeWatchedFiles",
		RegisterOptions: watchOptions{Watchers: []watcher{{"**/*.xfw"}, {"**/xfwc.lock"}, {"**/feeds/*"}}},
	}}}
	s.requests.Go(func() {
		// Without it, saving has the feeds and the lock read again.
		_ = s.conn.Call(ctx, "client/registerCapability", p, nil)
	})
}

// view is everything as it is now.
func (s *server) view() *view {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// change makes the next view, and has it judged. path is the file that changed;
// "" where it may be any on disk.
func (s *server) change(path string, edit func(open map[string]*document)) {
	s.mu.Lock()
	open := maps.Clone(s.now.open)
	if open == nil {
		open = map[string]*document{}
	}
	edit(open)
	s.now = newView(open, s.config.Disk, s.now.parsed)
	s.mu.Unlock()
	s.changed(path)
}

// at finds the document that a request is about, and the offset in it; nil where
// it is not open.
func (v *view) at(p positionParams) (*document, int) {
	path, _ := placeOf(p.TextDocument.URI)
	d := v.open[path]
	if d == nil {
		return nil, 0
	}
	return d, d.text.offset(p.Position)
}
