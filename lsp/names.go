package lsp

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sourcegraph/jsonrpc2"

	"xfwc/compiler"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// symbol is a name of the policy.
type symbol struct {
	kind string // what the statement that defines it is
	name string
}

// touches reports whether an offset is in a span, or at its end.
func touches(s diag.Span, path string, offset int) bool {
	return s.Start.Filename == path && s.Start.Offset <= offset && offset <= s.End.Offset
}

// useAt is the word at an offset that stands for something.
func (t *tree) useAt(path string, offset int) (lang.Use, bool) {
	for _, u := range t.allUses() {
		if touches(u.Span, path, offset) {
			return u, true
		}
	}
	return lang.Use{}, false
}

// symbolOf is the name that a word is, as far as a statement defines it.
func (t *tree) symbolOf(u lang.Use) (symbol, bool) {
	if u.Defines != "" {
		return symbol{u.Defines, u.Name}, true
	}
	for _, other := range t.allUses() {
		if other.Name == u.Name && slices.Contains(u.Refers, other.Defines) {
			return symbol{other.Defines, u.Name}, true
		}
	}
	return symbol{}, false
}

// occurrences are the words that are the symbol, in the order of the files.
func (t *tree) occurrences(s symbol) []lang.Use {
	var all []lang.Use
	for _, u := range t.allUses() {
		if u.Name == s.name && (u.Defines == s.kind || slices.Contains(u.Refers, s.kind)) {
			all = append(all, u)
		}
	}
	return all
}

// definition answers where a name is defined, and where a file is that a string
// names.
func (s *server) definition(_ context.Context, v *view, p positionParams) (any, *jsonrpc2.Error) {
	d, offset := v.at(p)
	if d == nil {
		return nil, nil
	}
	t := v.home(d.path)
	if files := t.filesAt(v, d.path, offset); files != nil {
		return files, nil
	}
	u, ok := t.useAt(d.path, offset)
	if !ok {
		return nil, nil
	}
	sym, ok := t.symbolOf(u)
	if !ok {
		return nil, nil
	}
	found := []location{}
	for _, o := range t.occurrences(sym) {
		if l, ok := v.location(t, o.Span); ok && o.Defines != "" {
			found = append(found, l)
		}
	}
	return found, nil
}

// filesAt are the files that the string at an offset names: what an include
// reads, or a feed.
func (t *tree) filesAt(v *view, path string, offset int) []location {
	f := t.file(path)
	if f == nil {
		return nil
	}
	var pattern string
	lang.Walk(f, func(n lang.Node) bool {
		switch n := n.(type) {
		case *lang.IncludeDecl:
			if touches(n.Pattern.Span(), path, offset) {
				pattern = n.Pattern.Value()
			}
		case *lang.Feed:
			if touches(n.Path.Span(), path, offset) {
				pattern = n.Path.Value()
			}
		}
		return pattern == ""
	})
	if pattern == "" {
		return nil
	}
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(path), pattern)
	}
	names, err := v.source().Glob(pattern)
	if err != nil {
		return nil
	}
	slices.Sort(names)
	var found []location
	for _, name := range names {
		found = append(found, location{URI: v.uri(filepath.Clean(name))})
	}
	return found
}

// references answers where a name is used.
func (s *server) references(_ context.Context, v *view, p referenceParams) (any, *jsonrpc2.Error) {
	d, offset := v.at(p.positionParams)
	if d == nil {
		return nil, nil
	}
	found := []location{}
	for _, root := range v.rootsOf(d.path) {
		t := v.tree(root)
		u, ok := t.useAt(d.path, offset)
		if !ok {
			continue
		}
		sym, ok := t.symbolOf(u)
		if !ok {
			continue
		}
		for _, o := range t.occurrences(sym) {
			l, ok := v.location(t, o.Span)
			if ok && (o.Defines == "" || p.Context.IncludeDeclaration) && !slices.Contains(found, l) {
				found = append(found, l)
			}
		}
	}
	return found, nil
}

// renamable finds the name at a place, if it can be another.
func (v *view) renamable(p positionParams) (*document, lang.Use, symbol, *jsonrpc2.Error) {
	d, offset := v.at(p)
	if d == nil {
		return nil, lang.Use{}, symbol{}, refuse("this file is not open")
	}
	t := v.home(d.path)
	u, ok := t.useAt(d.path, offset)
	if !ok {
		return nil, u, symbol{}, refuse("there is no name here")
	}
	sym, ok := t.symbolOf(u)
	switch {
	case sym.kind == "peer":
		return nil, u, sym, refuse("%s is the domain of a peer, and no name of this policy", u.Name)
	case !ok:
		return nil, u, sym, refuse("%s is no name that the policy defines", u.Name)
	}
	return d, u, sym, nil
}

// prepareRename answers whether the name at a place can be another.
func (s *server) prepareRename(_ context.Context, v *view, p positionParams) (any, *jsonrpc2.Error) {
	d, u, _, err := v.renamable(p)
	if err != nil {
		return nil, err
	}
	return prepareRenameResult{d.text.span(u.Span), u.Name}, nil
}

// rename answers the edits that give a name another spelling wherever it is
// used, in every policy that the file is part of.
func (s *server) rename(_ context.Context, v *view, p renameParams) (any, *jsonrpc2.Error) {
	d, u, sym, err := v.renamable(p.positionParams)
	if err != nil {
		return nil, err
	}
	if why := compiler.BadName(p.NewName); why != "" {
		return nil, refuse("%q cannot be a name: it %s", p.NewName, why)
	}
	edits := map[string][]textEdit{}
	if p.NewName == sym.name {
		return workspaceEdit{edits}, nil
	}
	for _, root := range v.rootsOf(d.path) {
		t := v.tree(root)
		for _, o := range t.allUses() {
			if o.Name == p.NewName && o.Defines != "" && lang.SameSpace(o.Defines, sym.kind) {
				return nil, refuse("%s is the name of a %s already", p.NewName, o.Defines)
			}
		}
		uses := t.occurrences(sym)
		if !t.survives(uses, p.NewName) {
			return nil, refuse("%s means something else in the language where %s is used", p.NewName, u.Name)
		}
		for _, o := range uses {
			path := o.Span.Start.Filename
			e := textEdit{t.texts[path].span(o.Span), p.NewName}
			if uri := v.uri(path); !slices.Contains(edits[uri], e) {
				edits[uri] = append(edits[uri], e)
			}
		}
	}
	return workspaceEdit{edits}, nil
}

// survives reports whether a tree says the same after a rename: its files still
// parse, and the same words stand for the same things.
func (t *tree) survives(uses []lang.Use, name string) bool {
	var edits []diag.Edit
	for _, u := range uses {
		edits = append(edits, diag.Edit{Span: u.Span, New: name})
	}
	texts := map[string][]byte{}
	for path, text := range t.texts {
		texts[path] = text.bytes
	}
	changed, made := diag.Apply(texts, [][]diag.Edit{edits})
	if !made[0] {
		return false
	}
	for path, src := range changed {
		file, findings := lang.Parse(path, src)
		_, before := lang.Parse(path, texts[path])
		if len(findings) > len(before) || senses(file) != senses(t.file(path)) {
			return false
		}
	}
	return true
}

// senses writes what the words of a file stand for, without the words.
func senses(f *lang.File) string {
	var b strings.Builder
	lang.Uses(f, func(u lang.Use) { b.WriteString(u.Defines + "<" + strings.Join(u.Refers, " ") + ";") })
	return b.String()
}
