package lsp

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"xfwc/compiler"
	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// Judged is what a policy means, as far as it was understood, and what is found
// about it.
type Judged struct {
	Policy   *ir.Policy
	Findings []diag.Finding
}

// verdict is a tree that was judged.
type verdict struct {
	tree     *tree
	policy   *ir.Policy
	findings []diag.Finding
	texts    map[string]*text // all that findings point into
}

// judge judges the tree below a file, once for each view. It gives nil where the
// context ends before.
func (s *server) judge(ctx context.Context, v *view, root string) *verdict {
	v.mu.Lock()
	known := v.verdicts[root]
	v.mu.Unlock()
	if known != nil {
		return known
	}
	t := v.tree(root)
	if last := s.lastVerdict(root); last != nil && !s.staleDisk(root) && sameTexts(last.tree, t) {
		v.remember(root, last)
		return last
	}
	out := &verdict{tree: t, findings: t.findings, texts: maps.Clone(t.texts)}
	if d := v.open[root]; d == nil || d.file {
		got := s.config.Judge(ctx, root, t.files, t.findings)
		if ctx.Err() != nil {
			return nil
		}
		out.policy, out.findings = got.Policy, got.Findings
	}
	for _, f := range out.findings {
		out.need(v, f.Span)
		for _, l := range f.Labels {
			out.need(v, l.Span)
		}
	}
	v.remember(root, out)
	return out
}

// need reads the text that a finding points into, where it is no file of the
// policy: the lock, or a feed.
func (out *verdict) need(v *view, s diag.Span) {
	path := s.Start.Filename
	if !s.IsValid() || out.texts[path] != nil {
		return
	}
	src, err := v.source().Read(path)
	if err != nil {
		src = nil // what is not there is shown at its beginning
	}
	out.texts[path] = newText(src)
}

func (v *view) remember(root string, out *verdict) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.verdicts[root] = out
}

func sameTexts(a, b *tree) bool {
	return maps.EqualFunc(a.texts, b.texts, func(x, y *text) bool { return string(x.bytes) == string(y.bytes) })
}

// judges is the background of a server: it judges what changed, and publishes
// what it finds.
type judges struct {
	mu        sync.Mutex
	last      map[string]*verdict   // the newest of every root
	policies  map[string]*ir.Policy // the newest without an error: names keep their addresses while a text is in disorder
	stale     map[string]bool       // roots whose feeds or lock may have changed on disk
	cancel    context.CancelFunc
	first     string // the file that was changed last: it is judged first
	wake      chan struct{}
	published map[string]string // what was said last about a file, by URI
}

func (s *server) lastVerdict(root string) *verdict {
	s.judges.mu.Lock()
	defer s.judges.mu.Unlock()
	return s.judges.last[root]
}

func (s *server) staleDisk(root string) bool {
	s.judges.mu.Lock()
	defer s.judges.mu.Unlock()
	return s.judges.stale[root]
}

// policyOf is the last meaning of a tree; nil before there was one.
func (s *server) policyOf(root string) *ir.Policy {
	s.judges.mu.Lock()
	defer s.judges.mu.Unlock()
	return s.judges.policies[root]
}

// changed has the background look again. A judgement of an older text ends.
// path is the file that changed; "" where it may be any on disk.
func (s *server) changed(path string) {
	j := &s.judges
	j.mu.Lock()
	if path != "" {
		j.first = path
	} else {
		for root := range j.last {
			j.stale[root] = true
		}
	}
	if j.cancel != nil {
		j.cancel()
	}
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// background judges and publishes until ctx ends.
func (s *server) background(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.judges.wake:
		}
		// Somebody who types types on: what comes within the quiet time is one change.
		for quiet := true; quiet; {
			select {
			case <-ctx.Done():
				return
			case <-s.judges.wake:
			case <-time.After(s.config.Quiet):
				quiet = false
			}
		}
		s.guard("judging", func() { s.judgeAll(ctx) })
	}
}

// judgeAll judges every policy that has a file open, that of the last change
// first.
func (s *server) judgeAll(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	j := &s.judges
	j.mu.Lock()
	j.cancel = cancel
	first := j.first
	j.mu.Unlock()

	v := s.view()
	var roots []string
	paths := slices.Sorted(maps.Keys(v.open))
	if v.open[first] != nil {
		paths = append([]string{first}, paths...)
	}
	for _, path := range paths {
		if root := v.rootsOf(path)[0]; !slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	found := map[string][]diagnostic{}
	for _, root := range roots {
		out := s.judge(ctx, v, root)
		if out == nil {
			return // a newer text waits
		}
		j.mu.Lock()
		j.last[root] = out
		delete(j.stale, root)
		if out.policy != nil && (j.policies[root] == nil || !diag.HasErrors(out.findings)) {
			j.policies[root] = out.policy
		}
		j.mu.Unlock()
		for path, text := range out.texts {
			uri := v.uri(path)
			found[uri] = append(found[uri], s.diagnostics(v, out, path, text)...)
		}
		// Whoever waits for the first policy does not wait for the others.
		for path := range out.texts {
			s.publish(v, path, found[v.uri(path)])
		}
	}
	j.mu.Lock()
	for root := range j.last {
		if !slices.Contains(roots, root) {
			delete(j.last, root)
			delete(j.policies, root)
		}
	}
	var gone []string
	for uri := range j.published {
		if _, still := found[uri]; !still {
			gone = append(gone, uri)
		}
	}
	j.mu.Unlock()
	for _, uri := range gone {
		s.send(uri, nil, nil)
	}
}

// publish tells the editor what is found about a file.
func (s *server) publish(v *view, path string, ds []diagnostic) {
	var version *int
	if d := v.open[path]; d != nil {
		version = &d.version
	}
	s.send(v.uri(path), version, ds)
}

// send publishes diagnostics, unless the same were said before.
func (s *server) send(uri string, version *int, ds []diagnostic) {
	if ds == nil {
		ds = []diagnostic{}
	}
	p := publishDiagnosticsParams{URI: uri, Version: version, Diagnostics: ds}
	said, err := json.Marshal(p)
	if err != nil {
		return // strings and numbers have no errors
	}
	j := &s.judges
	j.mu.Lock()
	same := j.published[uri] == string(said)
	j.published[uri] = string(said)
	if len(ds) == 0 && version == nil {
		delete(j.published, uri)
	}
	j.mu.Unlock()
	if !same {
		s.notify("textDocument/publishDiagnostics", p)
	}
}

// diagnostics are the findings about one file.
func (s *server) diagnostics(v *view, out *verdict, path string, text *text) []diagnostic {
	var all []diagnostic
	for _, f := range out.findings {
		if f.Span.Start.Filename == path && f.Waived == nil {
			all = append(all, toDiagnostic(v, out, f, text))
		}
	}
	return all
}

// mostRelated bounds the places that a diagnostic points at besides its own: a
// finding about all peers has one for each of them.
const mostRelated = 20

func toDiagnostic(v *view, out *verdict, f diag.Finding, text *text) diagnostic {
	d := diagnostic{
		Range: text.span(f.Span), Severity: severity(f.Severity), Code: f.Code, Source: "xfwc", Message: f.Summary,
	}
	if f.Remedy != "" {
		d.Message += "\n" + f.Remedy
	}
	if f.Reference != "" {
		d.Message += "\nSee " + f.Reference + "."
	}
	if f.Code == "name-unused" || f.Code == "waive-unused" {
		d.Tags = []int{tagUnnecessary}
	}
	for i, l := range f.Labels {
		if i == mostRelated {
			break
		}
		if other := out.texts[l.Span.Start.Filename]; other != nil {
			d.RelatedInformation = append(d.RelatedInformation, relatedInformation{
				location{v.uri(l.Span.Start.Filename), other.span(l.Span)}, l.Text,
			})
		}
	}
	return d
}

// severity is a severity as the protocol counts them.
func severity(s diag.Severity) int {
	switch s {
	case diag.Error:
		return 1
	case diag.Warning:
		return 2
	}
	return 3
}

// explain says all there is to say about a code of findings.
func explain(code string) (string, bool) {
	for _, c := range compiler.Checks() {
		if c.Code == code {
			text := fmt.Sprintf("**%s** (%s): %s\n\n%s\n\n%s", c.Code, c.Severity, c.Title, c.Why, c.Remedy)
			if c.Reference != "" {
				text += "\n\n" + c.Reference
			}
			if c.Profile == "strict" {
				text += "\n\nProfile strict."
			}
			return text, true
		}
	}
	if c, ok := diag.CodeOf(code); ok {
		return fmt.Sprintf("**%s** (%s): %s\n\n%s", c.Code, c.Severity, c.Title, c.Remedy), true
	}
	return "", false
}
