package lsp

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sourcegraph/jsonrpc2"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// hover answers what a word is: a keyword, a name of the policy, a code of
// findings, or a part of a statement.
func (s *server) hover(_ context.Context, v *view, p positionParams) (any, *jsonrpc2.Error) {
	d, offset := v.at(p)
	if d == nil {
		return nil, nil
	}
	at := lang.At(d.text.bytes, offset)
	if at.Word == "" {
		return nil, nil
	}
	say := func(span diag.Span, text string) (any, *jsonrpc2.Error) {
		return hover{markdown(text), d.text.span(span)}, nil
	}
	if at.First {
		return say(at.Span, describeKeyword(*at.Statement))
	}
	t := v.home(d.path)
	if u, ok := t.useAt(d.path, offset); ok {
		if slices.Contains(u.Refers, "code") {
			if text, ok := explain(u.Name); ok {
				return say(u.Span, text)
			}
		}
		if sym, ok := t.symbolOf(u); ok && !slices.Contains(u.OneOf, u.Name) {
			return say(u.Span, s.describeName(v, t, sym))
		}
	}
	if at.Statement != nil {
		return say(at.Span, describeKeyword(*at.Statement))
	}
	return nil, nil
}

// describeKeyword says what a keyword is for, how its statement is written, what
// holds without it, and the standard behind it.
func describeKeyword(k lang.Keyword) string {
	text := fmt.Sprintf("**%s**: %s\n\n```xfw\n%s\n```", k.Word, k.Means, strings.Join(k.Looks, "\n"))
	if k.Otherwise != "" {
		text += "\n\nDefault: " + k.Otherwise + "."
	}
	if k.Reference != "" {
		text += "\n\n" + k.Reference
	}
	return text
}

// describeName says what a name is: its statement, its addresses and where it is
// defined.
func (s *server) describeName(v *view, t *tree, sym symbol) string {
	text := fmt.Sprintf("**%s %s**", sym.kind, sym.name)
	if means := meaning(s.policyOf(t.root), sym); means != "" {
		text += ": " + means
	}
	for _, o := range t.occurrences(sym) {
		if o.Defines == "" {
			continue
		}
		path := o.Span.Start.Filename
		text += fmt.Sprintf("\n\n```xfw\n%s\n```", excerpt(t.statementAt(path, o.Span.Start.Offset), t.texts[path].bytes))
		where, err := filepath.Rel(filepath.Dir(t.root), path)
		if err != nil {
			where = path
		}
		text += fmt.Sprintf("\n\n%s:%d", where, o.Span.Start.Line)
	}
	return text
}

// statementAt is the innermost statement with a name of its own around an
// offset: a peer, or a statement of the top level.
func (t *tree) statementAt(path string, offset int) diag.Span {
	var span diag.Span
	lang.Walk(t.file(path), func(n lang.Node) bool {
		switch n := n.(type) {
		case *lang.File:
			return true
		case *lang.Decl, *lang.PeerItem:
			if touches(n.Span(), path, offset) {
				span = n.Span()
			}
		}
		return touches(n.Span(), path, offset)
	})
	return span
}

// excerpt is the text of a span, of which little is enough.
func excerpt(s diag.Span, src []byte) string {
	const most = 12
	lines := strings.Split(string(src[s.Start.Offset:s.End.Offset]), "\n")
	if len(lines) > most {
		lines = append(lines[:most], "…")
	}
	return strings.Join(lines, "\n")
}

// meaning says in short what the policy makes of a name; "" where that is not
// known.
func meaning(p *ir.Policy, sym symbol) string {
	if p == nil {
		return ""
	}
	switch sym.kind {
	case "network":
		for _, n := range p.Networks {
			if n.Name == sym.name {
				return addresses(n.Set)
			}
		}
	case "zone":
		for _, z := range p.Zones {
			if z.Name == sym.name {
				return addresses(z.Set)
			}
		}
	case "server":
		for _, srv := range p.Servers {
			if srv.Name == sym.name {
				return fmt.Sprintf("%s %s, %s, %s", srv.Software, srv.Version, few(srv.Domains), addresses(srv.Set))
			}
		}
	case "point":
		for _, pt := range p.Points {
			if pt.Name == sym.name {
				var engines []string
				for _, e := range pt.Engines {
					engines = append(engines, e.Kind)
				}
				return strings.Join(slices.DeleteFunc([]string{string(pt.Role), strings.Join(engines, ", "), addresses(pt.Set)}, func(s string) bool { return s == "" }), ", ")
			}
		}
	case "domains":
		for _, l := range p.Domains {
			if l.Name == sym.name {
				return few(l.Domains)
			}
		}
	case "words":
		for _, l := range p.Words {
			if l.Name == sym.name {
				return few(l.Words)
			}
		}
	}
	return ""
}

// addresses lists a set in short.
func addresses(set *ir.AddrSet) string {
	if set == nil {
		return ""
	}
	var texts []string
	for _, p := range set.Prefixes {
		texts = append(texts, prefixText(p))
	}
	return few(texts)
}

// prefixText spells a prefix, and one address as such.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// few lists the first of many.
func few(all []string) string {
	const most = 8
	if len(all) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
	}
	return strings.Join(all, ", ")
}
