package lsp

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sourcegraph/jsonrpc2"

	"xfwc/compiler"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// formatting answers the edit that gives a file the one format.
func (s *server) formatting(_ context.Context, v *view, p documentParams) (any, *jsonrpc2.Error) {
	d, _ := v.at(positionParams{TextDocument: p.TextDocument})
	if d == nil {
		return nil, nil
	}
	return d.text.replace(lang.Format(d.text.bytes)), nil
}

// replace is the smallest range of lines whose edit makes another text of t.
func (t *text) replace(other []byte) []textEdit {
	if bytes.Equal(t.bytes, other) {
		return []textEdit{}
	}
	from := 0
	for i := 0; i < len(t.bytes) && i < len(other) && t.bytes[i] == other[i]; i++ {
		if t.bytes[i] == '\n' {
			from = i + 1
		}
	}
	to, end := len(t.bytes), len(other)
	for i := 1; i <= min(len(t.bytes)-from, len(other)-from) && t.bytes[len(t.bytes)-i] == other[len(other)-i]; i++ {
		if before := len(t.bytes) - i - 1; before < from && len(other)-i == from || before >= from && t.bytes[before] == '\n' && len(other)-i > from && other[len(other)-i-1] == '\n' {
			to, end = len(t.bytes)-i, len(other)-i
		}
	}
	return []textEdit{{textRange{t.position(from), t.position(to)}, string(other[from:end])}}
}

// codeActions answers what mends the findings in a range: the edits that they
// carry, or a waiver that somebody has to give a reason for.
func (s *server) codeActions(ctx context.Context, v *view, p codeActionParams) (any, *jsonrpc2.Error) {
	d, from := v.at(positionParams{TextDocument: p.TextDocument, Position: p.Range.Start})
	if d == nil {
		return nil, nil
	}
	to := d.text.offset(p.Range.End)
	out := s.judge(ctx, v, v.rootsOf(d.path)[0])
	if out == nil {
		return nil, nil
	}
	wanted := func(kind string) bool {
		return len(p.Context.Only) == 0 || slices.ContainsFunc(p.Context.Only, func(only string) bool {
			return kind == only || strings.HasPrefix(kind, only+".")
		})
	}
	actions := []codeAction{}
	if wanted(kindQuickFix) {
		for _, f := range out.findings {
			end := max(f.Span.End.Offset, f.Span.Start.Offset)
			if f.Span.Start.Filename != d.path || f.Waived != nil || f.Span.Start.Offset > to || end < from {
				continue
			}
			about := []diagnostic{toDiagnostic(v, out, f, d.text)}
			if edit, ok := v.edit(out, f.Fix); ok {
				actions = append(actions, codeAction{Title: titleOfFix(out, f), Kind: kindQuickFix, Diagnostics: about, IsPreferred: true, Edit: edit})
			}
			if action, ok := s.waiver(v, out, f); ok {
				action.Diagnostics = about
				actions = append(actions, action)
			}
		}
	}
	// Editors that save by fixing everything ask for this by its name.
	if len(p.Context.Only) > 0 && wanted(kindFixAll) {
		if edit, ok := v.edit(out, s.fixAll(out, d.path)); ok {
			actions = append(actions, codeAction{Title: "Mend what has just one right way to be mended", Kind: kindFixAll, Edit: edit})
		}
	}
	return actions, nil
}

// edit is what edits of the language are to the editor; false where there are
// none, or one is in a file that the tree does not hold.
func (v *view) edit(out *verdict, edits []diag.Edit) (workspaceEdit, bool) {
	changes := map[string][]textEdit{}
	for _, e := range edits {
		text := out.tree.texts[e.Span.Start.Filename]
		if text == nil {
			return workspaceEdit{}, false
		}
		uri := v.uri(e.Span.Start.Filename)
		changes[uri] = append(changes[uri], textEdit{
			textRange{text.position(e.Span.Start.Offset), text.position(e.Span.End.Offset)}, e.New,
		})
	}
	return workspaceEdit{changes}, len(edits) > 0
}

// titleOfFix says what the edits of a finding do.
func titleOfFix(out *verdict, f diag.Finding) string {
	var words []string
	for _, e := range f.Fix {
		if w := strings.Join(strings.Fields(e.New), " "); w != "" && !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	if words != nil {
		return "Write " + strings.Join(words, " ")
	}
	e := f.Fix[0]
	gone := strings.Fields(string(out.tree.texts[e.Span.Start.Filename].bytes[e.Span.Start.Offset:e.Span.End.Offset]))
	if len(gone) > 4 {
		gone = append(gone[:4], "…")
	}
	return "Remove " + strings.Join(gone, " ")
}

// fixAll are the edits of all findings about a file that can be made together.
func (s *server) fixAll(out *verdict, path string) []diag.Edit {
	var fixes [][]diag.Edit
	for _, f := range out.findings {
		here := !slices.ContainsFunc(f.Fix, func(e diag.Edit) bool { return e.Span.Start.Filename != path })
		if f.Waived == nil && len(f.Fix) > 0 && here {
			fixes = append(fixes, f.Fix)
		}
	}
	texts := map[string][]byte{path: out.tree.texts[path].bytes}
	_, made := diag.Apply(texts, fixes)
	var edits []diag.Edit
	for i, fix := range fixes {
		for _, e := range fix {
			if made[i] && !slices.Contains(edits, e) {
				edits = append(edits, e)
			}
		}
	}
	return edits
}

// waiverDays is how long the waiver lasts that an action writes.
const waiverDays = 90

// waiver is the action that writes a waiver for a finding behind the statement
// that it is about. The reason is left to its author.
func (s *server) waiver(v *view, out *verdict, f diag.Finding) (codeAction, bool) {
	today, err := time.Parse(time.DateOnly, s.config.Today())
	file := out.tree.file(f.Span.Start.Filename)
	if err != nil || file == nil || !waivable(f.Code) {
		return codeAction{}, false
	}
	until := today.AddDate(0, 0, waiverDays).Format(time.DateOnly)
	what := f.Code
	at := file.Span().End
	for _, d := range file.Decls {
		if touches(d.Span(), file.Name, f.Span.Start.Offset) {
			at = d.Span().End
		}
	}
	if subject := compiler.SubjectAt(out.tree.files, f.Span); subject != "" {
		what += " on " + subject
	}
	text := fmt.Sprintf("\n\nwaive %s until %s\n  because \"REASON\"", what, until)
	edit, ok := v.edit(out, []diag.Edit{{Span: diag.Span{Start: at, End: at}, New: text}})
	return codeAction{Title: fmt.Sprintf("Waive %s until %s", what, until), Kind: kindQuickFix, Edit: edit}, ok
}
