package lang

import (
	"reflect"
	"slices"
	"strings"
)

// Keyword is a keyword of the language as its author knows it.
type Keyword struct {
	Word      string
	Looks     []string // ways to write its statement
	Means     string   // what the statement is for
	Otherwise string   // what holds where it is missing; may be empty
	Reference string   // sections of standards; may be empty
	Block     string   // where the statements of its block stand, as in Section.Where; "" without a block
}

// Section is a place where statements stand: the top level, or one kind of block.
type Section struct {
	Where    string // as in "in a server block"
	Keywords []Keyword
}

// Sections lists every place for statements with its keywords: the top level
// first, then blocks in the order in which they are met.
func Sections() []Section {
	var all []Section
	seen := map[*section]bool{}
	var add func(s *section)
	add = func(s *section) {
		if seen[s] {
			return
		}
		seen[s] = true
		at := len(all)
		all = append(all, Section{Where: s.where})
		for _, f := range s.forms {
			all[at].Keywords = append(all[at].Keywords, f.export())
		}
		for _, f := range s.forms {
			if f.block != nil {
				add(sections[f.block])
			}
		}
	}
	add(sections[reflect.TypeFor[*Decl]()])
	return all
}

func (f *form) export() Keyword {
	k := Keyword{Word: f.keyword, Looks: f.looks, Means: f.about.means, Otherwise: f.about.otherwise, Reference: f.about.reference}
	if f.block != nil {
		k.Block = sections[f.block].where
	}
	return k
}

// Clauses lists the words that start later parts of statements and are no
// keywords themselves, sorted.
func Clauses() []string {
	words := map[string]bool{}
	for typ := range sections {
		ruleOf(typ.Elem()).expr.literals(words)
	}
	for _, s := range sections {
		for _, f := range s.forms {
			delete(words, f.keyword)
		}
	}
	var all []string
	for w := range words {
		if strings.ContainsFunc(w, func(r rune) bool { return 'a' <= r && r <= 'z' }) {
			all = append(all, w)
		}
	}
	slices.Sort(all)
	return all
}

// literals gathers the literals of an expression.
func (e *expr) literals(words map[string]bool) {
	if e.kind == exprLiteral {
		words[e.text] = true
	}
	for _, part := range e.parts {
		part.literals(words)
	}
	if e.rule != nil {
		e.rule.expr.literals(words)
	}
}
