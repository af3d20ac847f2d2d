package lsp

import (
	"bytes"
	"context"
	"strings"

	"github.com/sourcegraph/jsonrpc2"

	"xfwc/lang"
	"xfwc/lang/diag"
)

// Kinds of symbols.
const (
	symbolFile      = 1
	symbolModule    = 2
	symbolNamespace = 3
	symbolClass     = 5
	symbolField     = 8
	symbolInterface = 11
	symbolVariable  = 13
	symbolConstant  = 14
	symbolEvent     = 24
	symbolOperator  = 25
)

var symbolKinds = map[string]int{
	"include": symbolFile, "policy": symbolNamespace, "server": symbolModule, "point": symbolModule,
	"network": symbolConstant, "zone": symbolConstant, "domains": symbolConstant, "words": symbolConstant,
	"pattern": symbolConstant, "window": symbolConstant, "peer": symbolField, "allow": symbolOperator,
	"deny": symbolOperator, "content": symbolEvent, "waive": symbolEvent, "test": symbolEvent,
}

// symbols answers the outline of a file: its statements, and in them those with
// a block of their own.
func (s *server) symbols(_ context.Context, v *view, p documentParams) (any, *jsonrpc2.Error) {
	d, _ := v.at(positionParams{TextDocument: p.TextDocument})
	if d == nil {
		return nil, nil
	}
	file, _ := v.parsed.parse(d.path, d.text.bytes)
	all := []documentSymbol{}
	for _, decl := range file.Decls {
		all = append(all, outline(decl, d.text))
	}
	s.mu.Lock()
	hierarchy := s.client.Capabilities.TextDocument.DocumentSymbol.Hierarchical
	s.mu.Unlock()
	if hierarchy {
		return all, nil
	}
	flat := []symbolInformation{}
	for _, sym := range all {
		flat = append(flat, symbolInformation{Name: sym.Name, Kind: sym.Kind, Location: location{d.uri, sym.Range}})
		for _, c := range sym.Children {
			flat = append(flat, symbolInformation{Name: c.Name, Kind: c.Kind, Location: location{d.uri, c.Range}, ContainerName: sym.Name})
		}
	}
	return flat, nil
}

// outline is a statement of the top level, with the peers and paths in it.
func outline(decl *lang.Decl, text *text) documentSymbol {
	sym := toSymbol(decl.Span(), text)
	lang.Walk(decl, func(n lang.Node) bool {
		switch n := n.(type) {
		case *lang.PeerItem:
			sym.Children = append(sym.Children, toSymbol(n.Span(), text))
			return false
		case *lang.WebRoute:
			sym.Children = append(sym.Children, toSymbol(n.Span(), text))
			return false
		}
		return true
	})
	return sym
}

// toSymbol makes a symbol of a statement: its name is its first line, up to what
// says more than which one it is.
func toSymbol(at diag.Span, t *text) documentSymbol {
	src := t.bytes[at.Start.Offset:at.End.Offset]
	head := src
	if i := bytes.IndexAny(head, "{\n#"); i > 0 {
		head = head[:i]
	}
	if i := bytes.Index(head, []byte(" = ")); i > 0 {
		head = head[:i]
	}
	head = bytes.TrimRight(head, " \t\r")
	keyword, _, _ := strings.Cut(string(head), " ")
	kind := symbolKinds[keyword]
	if kind == 0 {
		kind = symbolInterface
	}
	end := at.Start
	end.Offset += len(head)
	return documentSymbol{
		Name: strings.Join(strings.Fields(string(head)), " "), Kind: kind,
		Range: t.span(at), SelectionRange: t.span(diag.Span{Start: at.Start, End: end}),
	}
}
