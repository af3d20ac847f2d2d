package lang

import (
	"reflect"
	"regexp"
	"strings"
	"sync"
)

// lexical are the productions that the lexer implements.
const lexical = `word   = characters other than space, line break, " # { } , = ~ ; ' ` + "`" + ` \ and the sequence "->" .
string = '"' characters other than line break, where \" and \\ stand for " and \ '"' .
comment = "#" characters up to the end of the line .`

// blockName is how participle names a Block in a production.
var blockName = regexp.MustCompile(`Block\[\*[^\]]*?(\w+)\]`)

var ebnf = sync.OnceValue(func() string {
	out := []string{"File = Decl* ."}
	seen := map[string]bool{}
	var add func(s *section)
	add = func(s *section) {
		for production := range strings.Lines(s.syntax() + "\n") {
			production = strings.TrimSpace(blockName.ReplaceAllString(production, `("{" $1* "}")`))
			name, _, _ := strings.Cut(production, " ")
			if production != "" && !seen[name] {
				seen[name] = true
				out = append(out, production)
			}
		}
		for _, f := range s.forms {
			if f.block != nil && !seen[f.block.Elem().Name()] {
				add(sections[f.block])
			}
		}
	}
	add(sections[reflect.TypeFor[*Decl]()])
	out = append(out, "Word = <word> .", "Str = <string> .")
	return strings.Join(out, "\n") + "\n" + lexical + "\n"
})

// EBNF is the grammar of the language, made from the grammar that Parse uses:
// one production a line, the top level first, and what the lexer reads last.
func EBNF() string { return ebnf() }
