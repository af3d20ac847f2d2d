package lsp

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sourcegraph/jsonrpc2"

	"xfwc/compiler"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// completion answers what may be written at a place: the keywords of the
// section, the words that go on with the statement, names of the kinds that fit,
// codes of findings, and the words of the language that are values there.
func (s *server) completion(ctx context.Context, v *view, p positionParams) (any, *jsonrpc2.Error) {
	d, offset := v.at(p)
	if d == nil {
		return nil, nil
	}
	at := lang.At(d.text.bytes, offset)
	list := completionList{Items: []completionItem{}}
	if at.Blank || strings.HasPrefix(at.Word, `"`) {
		return list, nil
	}
	c := completing{at: at, edit: d.text.span(at.Span)}
	if at.Span.Start == at.Span.End {
		c.edit.End = c.edit.Start // a span without an end is a character
	}
	t := v.home(d.path)
	for _, sense := range at.Senses {
		if sense.Defines != "" {
			continue // nobody knows the name that somebody is thinking of
		}
		for _, w := range sense.OneOf {
			c.add(order.value, completionItem{Label: w, Kind: itemEnum})
		}
		if slices.Contains(sense.Refers, "code") {
			c.codes(s.judge(ctx, v, v.rootsOf(d.path)[0]))
		}
		for _, o := range t.allUses() {
			if o.Defines != "" && slices.Contains(sense.Refers, o.Defines) && !touches(o.Span, d.path, offset) {
				sym := symbol{o.Defines, o.Name}
				item := completionItem{Label: o.Name, Kind: itemOf(o.Defines), Detail: o.Defines}
				if means := meaning(s.policyOf(t.root), sym); means != "" {
					item.Detail += ": " + means
				}
				c.add(order.name, item)
			}
		}
	}
	for _, w := range at.Words {
		c.add(order.word, completionItem{Label: w, Kind: itemKeyword})
	}
	for _, k := range at.Keywords {
		doc := markdown(describeKeyword(k))
		c.add(order.keyword, completionItem{Label: k.Word, Kind: itemKeyword, Detail: k.Looks[0], Documentation: &doc})
	}
	list.Items = c.items
	if list.Items == nil {
		list.Items = []completionItem{}
	}
	return list, nil
}

// order is how an editor sorts what fits: what the statement asks for first.
var order = struct{ value, name, word, keyword string }{"1", "2", "3", "4"}

// completing gathers what fits at a place.
type completing struct {
	at    lang.Place
	edit  textRange // what is replaced
	items []completionItem
}

func (c *completing) add(sort string, item completionItem) {
	if slices.ContainsFunc(c.items, func(other completionItem) bool { return other.Label == item.Label }) {
		return
	}
	item.SortText = fmt.Sprintf("%s%03d", sort, len(c.items))
	item.TextEdit = textEdit{c.edit, item.Label}
	c.items = append(c.items, item)
}

// codes adds the codes that can be waived: those that something is found by
// first.
func (c *completing) codes(out *verdict) {
	found := map[string]string{}
	if out != nil {
		for _, f := range out.findings {
			if f.Waived == nil {
				found[f.Code] = f.Summary
			}
		}
	}
	all := compiler.Checks()
	slices.SortStableFunc(all, func(a, b compiler.Check) int {
		_, isA := found[a.Code]
		_, isB := found[b.Code]
		switch {
		case isA == isB:
			return 0
		case isA:
			return -1
		}
		return 1
	})
	for _, check := range all {
		item := completionItem{Label: check.Code, Kind: itemEvent, Detail: check.Title}
		if summary, here := found[check.Code]; here {
			item.Detail = summary
		}
		if text, ok := explain(check.Code); ok {
			doc := markdown(text)
			item.Documentation = &doc
		}
		c.add(order.value, item)
	}
}

func itemOf(kind string) int {
	switch kind {
	case "server", "point", "component":
		return itemModule
	case "domains", "words", "pattern", "window":
		return itemValue
	}
	return itemVariable
}

// waivable reports whether findings of a code can be set aside.
func waivable(code string) bool {
	if slices.ContainsFunc(compiler.Checks(), func(c compiler.Check) bool { return c.Code == code }) {
		return true
	}
	c, ok := diag.CodeOf(code)
	return ok && c.Severity != diag.Error && !strings.HasPrefix(code, "waive-")
}
