package lang

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/participle/v2/lexer"
)

// The files that show editors how a policy is coloured are made here, from the
// table of keywords and from the words that the tags of nodes.go list.

// vocabulary are the words of the language, by what an editor shows them as.
type vocabulary struct {
	statements []string // keywords of the top level
	settings   []string // keywords of blocks alone
	clauses    []string // words that start later parts of statements
	constants  []string // words that stand for values
	days       []string
	kinds      []string // keywords that a name comes behind
}

func words(t testing.TB) vocabulary {
	t.Helper()
	var v vocabulary
	for i, s := range Sections() {
		for _, k := range s.Keywords {
			if i == 0 {
				v.statements = append(v.statements, k.Word)
			} else {
				v.settings = append(v.settings, k.Word)
			}
		}
	}
	v.clauses = Clauses()
	seen := map[reflect.Type]bool{}
	var visit func(typ reflect.Type)
	visit = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] {
			return
		}
		seen[typ] = true
		for _, tag := range tagsOf(typ) {
			if tag.defines != "" {
				v.kinds = append(v.kinds, tag.defines)
			}
			for _, a := range tag.oneof {
				if slices.Contains(a.words, "mon") {
					v.days = a.words
				}
				for _, w := range a.words {
					if w[0] < '0' || w[0] > '9' { // versions are numbers
						v.constants = append(v.constants, w)
					}
				}
			}
		}
		for i := range typ.NumField() {
			visit(typ.Field(i).Type)
		}
	}
	visit(reflect.TypeFor[File]())
	for _, list := range []*[]string{&v.statements, &v.settings, &v.clauses, &v.constants, &v.kinds} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	v.settings = without(v.settings, v.statements)
	v.clauses = without(v.clauses, v.constants)
	if len(v.days) != 7 || len(v.kinds) == 0 {
		t.Fatalf("the tags list the days %q and the names of %q", v.days, v.kinds)
	}
	return v
}

func without(list, others []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(w string) bool { return slices.Contains(others, w) })
}

func both(list, others []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(w string) bool { return !slices.Contains(others, w) })
}

// valueForm is how a value is spelt. The expression is one that both TextMate and,
// with another mark for groups, Vim can read.
type valueForm struct{ scope, group, expr string }

const units = `(?:second|minute|hour|day|s|min|h|d)`

func valueForms(v vocabulary) []valueForm {
	day := "(?:" + strings.Join(v.days, "|") + ")"
	return []valueForm{
		{"constant.numeric.date", "xfwNumber", `[0-9]{4}-[0-9]{2}-[0-9]{2}`},
		{"constant.numeric.time", "xfwNumber", `[0-9]{2}:[0-9]{2}(?:-[0-9]{2}:[0-9]{2})?`},
		{"constant.numeric.rate", "xfwNumber", `[0-9]+(?:[kKMG]?i?B)?/` + units},
		{"constant.numeric.size", "xfwNumber", `[0-9]+(?:[kMG]|[KMG]i)?B`},
		{"constant.numeric.duration", "xfwNumber", `[0-9]+[smhd]`},
		{"constant.numeric.percent", "xfwNumber", `[0-9]+[%]`},
		{"constant.numeric.address", "xfwAddress", `[0-9]{1,3}(?:[.][0-9]{1,3}){3}(?:/[0-9]{1,2})?(?:[:][0-9]+)?`},
		{"constant.numeric.address", "xfwAddress", `[0-9A-Fa-f]{0,4}[:][0-9A-Fa-f]{0,4}[:][0-9A-Fa-f:.]*(?:/[0-9]{1,3})?`},
		{"constant.numeric", "xfwNumber", `[0-9]+(?:[./-][0-9]+)*`},
		{"constant.numeric.port", "xfwNumber", `(?:tcp|udp)/[0-9]+(?:-[0-9]+)?`},
		{"constant.language.day", "xfwConstant", day + `-` + day},
	}
}

// A word ends before whatever cannot be in a word, and before an arrow.
const (
	wordEnd        = "(?=[^!-~]|[\"#{},=~;'`\\\\]|->|$)"
	statementStart = `(?:^|(\{))[ \t]*`
	nameExpr       = `[a-z0-9][a-z0-9.-]*`
)

type textMateRule struct {
	Name     string                  `json:"name,omitempty"`
	Match    string                  `json:"match,omitempty"`
	Begin    string                  `json:"begin,omitempty"`
	End      string                  `json:"end,omitempty"`
	Captures map[string]textMateRule `json:"captures,omitempty"`
	Patterns []textMateRule          `json:"patterns,omitempty"`
}

type textMateFile struct {
	Comment   string         `json:"comment"`
	Name      string         `json:"name"`
	ScopeName string         `json:"scopeName"`
	FileTypes []string       `json:"fileTypes"`
	Patterns  []textMateRule `json:"patterns"`
}

const madeBy = "Made from the table of keywords: XFWC_UPDATE=1 go test ./lang writes it anew."

// oneOf matches one of the words; there has to be one.
func oneOf(words []string) string {
	if len(words) == 0 {
		panic("an expression of no words would match nothing at all, anywhere")
	}
	escaped := make([]string, len(words))
	for i, w := range words {
		escaped[i] = strings.ReplaceAll(w, ".", "[.]")
	}
	return "(?:" + strings.Join(escaped, "|") + ")"
}

// textMate writes the grammar. Every word is matched whole, by one of the rules:
// the first that matches wins.
func textMate(t testing.TB) []byte {
	v := words(t)
	const brace, statement, setting, name = "punctuation.section.block.xfw", "keyword.control.xfw", "keyword.other.xfw", "entity.name.type.xfw"
	captures := func(names ...string) map[string]textMateRule {
		all := map[string]textMateRule{}
		for i, n := range names {
			all[fmt.Sprint(i+1)] = textMateRule{Name: n}
		}
		return all
	}
	clear := both(without(v.kinds, v.constants), v.statements)
	rules := []textMateRule{
		{Name: "comment.line.number-sign.xfw", Match: `#.*$`},
		{Name: "string.quoted.double.xfw", Begin: `"`, End: `"|$`, Patterns: []textMateRule{
			{Name: "constant.character.escape.xfw", Match: `\\.`},
		}},
		// At the start of a statement a word is its keyword, whatever it is elsewhere.
		{Match: statementStart + `(?:(` + oneOf(both(v.kinds, v.statements)) + `)|(` + oneOf(both(v.kinds, v.settings)) + `))[ \t]+(` + nameExpr + `)` + wordEnd, Captures: captures(brace, statement, setting, name)},
		{Match: statementStart + `(?:(` + oneOf(v.statements) + `)|(` + oneOf(v.settings) + `))` + wordEnd, Captures: captures(brace, statement, setting)},
		{Match: `(` + oneOf(clear) + `)[ \t]+(` + nameExpr + `)` + wordEnd, Captures: captures(statement, name)},
	}
	for _, s := range valueForms(v) {
		rules = append(rules, textMateRule{Name: s.scope + ".xfw", Match: s.expr + wordEnd})
	}
	rules = append(rules,
		textMateRule{Name: "constant.language.xfw", Match: oneOf(v.constants) + wordEnd},
		textMateRule{Name: statement, Match: oneOf(v.statements) + wordEnd},
		textMateRule{Name: setting, Match: oneOf(v.settings) + wordEnd},
		textMateRule{Name: "keyword.operator.word.xfw", Match: oneOf(v.clauses) + wordEnd},
		textMateRule{Name: "keyword.operator.xfw", Match: `->|[=~]`},
		textMateRule{Name: brace, Match: `[{}]`},
		textMateRule{Name: "punctuation.separator.xfw", Match: `,`},
		textMateRule{Name: "invalid.illegal.xfw", Match: "[;'`\\\\]|[^\\x00-\\x7f]"},
		textMateRule{Name: "variable.other.xfw", Match: `[!-~]+?` + wordEnd},
	)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(textMateFile{madeBy, "xfw", "source.xfw", []string{"xfw"}, rules}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// vimSyntax writes the same for Vim. There keywords win over all matches, and
// of two matches the one that comes later: so words that are keywords or values by
// where they stand are matches, as values first.
func vimSyntax(t testing.TB) []byte {
	v := words(t)
	var b bytes.Buffer
	b.WriteString(`" Vim syntax file
" Language: xfw, the policies of xfwc
" ` + madeBy + `

if exists('b:current_syntax')
  finish
endif

syn case match
" All that a word may hold, but >. So a word that touches an arrow is not seen as
" what it is: the one format has a space there.
syn iskeyword 33,36-38,40-43,45-58,60,63-91,93-95,97-122,124

`)
	list := func(group string, words []string, more string) {
		for words := range slices.Chunk(words, 8) {
			fmt.Fprintf(&b, "syn keyword %s %s%s\n", group, strings.Join(words, " "), more)
		}
	}
	match := func(group, expr, more string) {
		fmt.Fprintf(&b, "syn match %s \"\\v%s\"%s\n", group, strings.ReplaceAll(expr, "(?:", "%("), more)
	}
	const named = " nextgroup=xfwName skipwhite"
	for _, k := range []struct {
		group string
		words []string
	}{{"xfwStatement", v.statements}, {"xfwSetting", v.settings}} {
		clear := without(k.words, v.constants)
		list(k.group, without(clear, v.kinds), "")
		list(k.group, both(clear, v.kinds), named)
	}
	list("xfwClause", v.clauses, "")
	keywords := slices.Concat(v.statements, v.settings)
	list("xfwConstant", without(v.constants, keywords), "")
	b.WriteString("\n")
	forms := valueForms(v)
	slices.Reverse(forms)
	for _, s := range forms {
		match(s.group, "<"+s.expr+">", "")
	}
	b.WriteString("\n\" These are values, but keywords where a statement starts.\n")
	match("xfwConstant", "<"+oneOf(both(v.constants, keywords))+">", "")
	for _, k := range []struct {
		group string
		words []string
	}{{"xfwStatement", v.statements}, {"xfwSetting", v.settings}} {
		const start = `%(%(^|[{])\s*)@<=`
		unclear := both(k.words, v.constants)
		match(k.group, start+oneOf(without(unclear, v.kinds))+">", "")
		if unclear := both(unclear, v.kinds); len(unclear) > 0 {
			match(k.group, start+oneOf(unclear)+">", named)
		}
	}
	match("xfwName", "<"+nameExpr+">", " contained")
	b.WriteString(`
syn match xfwOperator "->\|[=~]"
syn match xfwEscape "\\." contained
syn region xfwString start=+"+ skip=+\\.+ end=+"+ oneline contains=xfwEscape
syn match xfwComment "#.*$" contains=@Spell

hi def link xfwStatement Statement
hi def link xfwSetting Type
hi def link xfwClause Keyword
hi def link xfwConstant Constant
hi def link xfwNumber Number
hi def link xfwAddress Number
hi def link xfwName Identifier
hi def link xfwOperator Operator
hi def link xfwEscape SpecialChar
hi def link xfwString String
hi def link xfwComment Comment

let b:current_syntax = 'xfw'
`)
	return b.Bytes()
}

const (
	textMatePath = "../editors/textmate/xfw.tmLanguage.json"
	vimPath      = "../editors/vim/syntax/xfw.vim"
)

// TestEditorFiles compares the files for editors with the language, and asks that
// no word of it is missing there.
func TestEditorFiles(t *testing.T) {
	tm, vim := textMate(t), vimSyntax(t)
	compareFile(t, textMatePath, tm)
	compareFile(t, vimPath, vim)
	v := words(t)
	for _, w := range slices.Concat(v.statements, v.settings, v.clauses, v.constants) {
		spelt := strings.ReplaceAll(w, ".", "[.]")
		if !regexp.MustCompile(`[:|]` + regexp.QuoteMeta(spelt) + `[)|]`).Match(tm) {
			t.Errorf("%s does not know %s", textMatePath, w)
		}
		if !regexp.MustCompile(`[ (|]` + regexp.QuoteMeta(w) + `[ )|\n]`).Match(vim) {
			t.Errorf("%s does not know %s", vimPath, w)
		}
	}
}

// compiled is a rule of the TextMate file, as Go reads it. What looks ahead
// becomes a group at the end, which is not part of the match.
type compiled struct {
	textMateRule
	first, later *regexp.Regexp // at the start of a line, and behind it
	ahead        bool
}

func compileRules(t testing.TB, rules []textMateRule) []compiled {
	t.Helper()
	var all []compiled
	for _, r := range rules {
		expr := r.Match
		if r.Begin != "" {
			expr = r.Begin
		}
		c := compiled{textMateRule: r}
		if body, ok := strings.CutSuffix(expr, wordEnd); ok {
			c.ahead = true
			expr = "(?:" + body + ")(" + strings.TrimPrefix(wordEnd, "(?=")
		}
		var err error
		if c.first, err = regexp.Compile(`\A(?:` + expr + `)`); err != nil {
			t.Fatal(err)
		}
		if c.later, err = regexp.Compile(`\A(?:` + strings.ReplaceAll(expr, "(?:^|", "(?:") + `)`); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// scopes gives the scope of every byte of src, as an editor finds them: line by
// line, and in a line the first rule that matches where the last one ended.
func scopes(t testing.TB, file textMateFile, src string) []string {
	t.Helper()
	rules := compileRules(t, file.Patterns)
	all := make([]string, len(src))
	offset := 0
	for l := range strings.Lines(src) {
		text := strings.TrimRight(l, "\r\n")
		for at := 0; at < len(text); {
			n := apply(t, rules, text, at, all[offset:])
			if n == 0 && text[at] != ' ' && text[at] != '\t' {
				t.Fatalf("no rule matches at %q", text[at:])
			}
			at += max(n, 1)
		}
		offset += len(l)
	}
	return all
}

// apply applies the first rule that matches at a place of a line, and gives how
// much of the line it took.
func apply(t testing.TB, rules []compiled, text string, at int, into []string) int {
	t.Helper()
	for _, r := range rules {
		expr := r.later
		if at == 0 {
			expr = r.first
		}
		m := expr.FindStringSubmatchIndex(text[at:])
		if m == nil {
			continue
		}
		end := at + m[1]
		if r.ahead {
			end = at + m[len(m)-2]
		}
		if r.End != "" {
			inner := compileRules(t, r.Patterns)
			closing := regexp.MustCompile(`\A(?:` + r.End + `)`)
			for i := at; i < end; i++ {
				into[i] = r.Name
			}
			for {
				if m := closing.FindStringIndex(text[end:]); m != nil {
					for i := range m[1] {
						into[end+i] = r.Name
					}
					return end + m[1] - at
				}
				n := apply(t, inner, text, end, into)
				if n == 0 {
					into[end] = r.Name
					n = 1
				}
				end += n
			}
		}
		for i := at; i < end; i++ {
			into[i] = r.Name
		}
		for n, c := range r.Captures {
			var g int
			fmt.Sscan(n, &g)
			for i := max(m[2*g], 0); i < m[2*g+1]; i++ {
				into[at+i] = c.Name
			}
		}
		return end - at
	}
	return 0
}

func readTextMate(t testing.TB) textMateFile {
	t.Helper()
	src, err := os.ReadFile(textMatePath)
	if err != nil {
		t.Fatal(err)
	}
	var file textMateFile
	if err := json.Unmarshal(src, &file); err != nil {
		t.Fatal(err)
	}
	return file
}

// coloured are texts to show: the examples, and what none of them has.
func coloured(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{"further.xfw": `policy "p" { owner "a \"b\" # { \\" } # "c"
window office = mon-fri 08:00-18:00, sat 09:00-12:00
component irc of chat { tls none  port 5347 }
allow any to component of chat, tcp/8443 of edge{ expires 2027-01-31 }
point edge { role host }
server server { sessions 5000 }
network drop = feed "drop.txt" { max-change 20% }
clients of chat { limit bandwidth 1MiB/second per prefix 24/56  starttls optional }
test "t" { only tcp ::1, 2001:db8::/32 -> chat:5222 at mon 09:00 }
content on-call { match body ~ any-card }
`}
	for _, name := range exampleFiles(t) {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(src)
	}
	return all
}

// TestTextMate colours the examples, and compares comments, strings, numbers and
// the keywords of statements with what the lexer and the parser find there.
func TestTextMate(t *testing.T) {
	file := readTextMate(t)
	for name, src := range coloured(t) {
		got := scopes(t, file, src)
		tree, _ := Parse(name, []byte(src))
		starts := map[int]bool{}
		for _, d := range tree.Decls {
			starts[d.Span().Start.Offset] = true
		}
		for _, tok := range scan(name, src) {
			for i := range tok.Value {
				scope := got[tok.Pos.Offset+i]
				inString := strings.HasPrefix(scope, "string.") || strings.HasPrefix(scope, "constant.character.")
				if strings.HasPrefix(scope, "comment.") != (tok.Type == tokComment) || inString != (tok.Type == tokString) {
					t.Errorf("%s:%d: %q is shown as %s", name, tok.Pos.Line, tok.Value, scope)
					break
				}
			}
			if tok.Type != tokWord {
				continue
			}
			scope := got[tok.Pos.Offset]
			if c := tok.Value[0]; '0' <= c && c <= '9' && !strings.HasPrefix(scope, "constant.numeric") {
				t.Errorf("%s:%d: %q is shown as %s", name, tok.Pos.Line, tok.Value, scope)
			}
			if starts[tok.Pos.Offset] && scope != "keyword.control.xfw" {
				t.Errorf("%s:%d: the statement %q is shown as %s", name, tok.Pos.Line, tok.Value, scope)
			}
		}
	}
}

// TestTextMateWords looks at words whose meaning is in where they stand.
func TestTextMateWords(t *testing.T) {
	file := readTextMate(t)
	for _, c := range []struct{ text, word, want string }{
		{"component irc of chat {", "component", "keyword.control.xfw"},
		{"component irc of chat {", "irc", "entity.name.type.xfw"},
		{"component irc of chat {", "of", "keyword.operator.word.xfw"},
		{"allow any to component of chat", "component", "constant.language.xfw"},
		{"  role host of chat", "host", "constant.language.xfw"},
		{"  host chat.example", "host", "keyword.other.xfw"},
		{"  max-age 2d", "max-age", "keyword.other.xfw"},
		{"  max-age 2d", "2d", "constant.numeric.duration.xfw"},
		{"  limit attempts 30/minute", "30/minute", "constant.numeric.rate.xfw"},
		{"  body 64KiB", "64KiB", "constant.numeric.size.xfw"},
		{"  expires 2027-01-31", "2027-01-31", "constant.numeric.date.xfw"},
		{"  address ::1", "::1", "constant.numeric.address.xfw"},
		{"  address 192.0.2.0/24", "192.0.2.0/24", "constant.numeric.address.xfw"},
		{"  starttls required", "required", "constant.language.xfw"},
		{"  default deny", "deny", "constant.language.xfw"},
		{"deny network drop", "deny", "keyword.control.xfw"},
		{"deny on-call", "on-call", "variable.other.xfw"},
		{"  deny tcp any->chat:22", "->", "keyword.operator.xfw"},
		{"  deny tcp any->chat:22", "chat:22", "variable.other.xfw"},
	} {
		got := scopes(t, file, c.text)
		at := strings.Index(c.text, c.word)
		for i := range c.word {
			if got[at+i] != c.want {
				t.Errorf("%q: %s is shown as %s, want %s", c.text, c.word, got[at+i], c.want)
				break
			}
		}
	}
}

// groupOf names the group of Vim that stands for a scope of TextMate.
func groupOf(scope string) string {
	for _, p := range []struct{ scope, group string }{
		{"comment", "xfwComment"}, {"string", "xfwString"}, {"constant.character", "xfwEscape"},
		{"keyword.control", "xfwStatement"}, {"keyword.other", "xfwSetting"}, {"keyword.operator.word", "xfwClause"},
		{"keyword.operator", "xfwOperator"}, {"constant.language", "xfwConstant"},
		{"constant.numeric.address", "xfwAddress"}, {"constant.numeric", "xfwNumber"}, {"entity.name", "xfwName"},
	} {
		if strings.HasPrefix(scope, p.scope) {
			return p.group
		}
	}
	return ""
}

// TestVim lets the real Vim colour the same texts, and compares every word, string
// and comment, at its first and its last byte, with what TextMate's grammar shows.
func TestVim(t *testing.T) {
	program, err := exec.LookPath("vim")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("vim is missing; run scripts/install-tools.sh")
		}
		t.Skip("skipped: vim is missing; run scripts/install-tools.sh")
	}
	own, err := filepath.Abs("../editors/vim")
	if err != nil {
		t.Fatal(err)
	}
	file := readTextMate(t)
	dir := t.TempDir()
	type place struct {
		tok       lexer.Token
		want      string
		file      string
		line, col int
	}
	var places []place
	var script bytes.Buffer
	fmt.Fprintf(&script, "set nocompatible encoding=utf-8\nset runtimepath^=%s\nfiletype plugin on\nsyntax on\nlet out = []\n", strings.ReplaceAll(own, " ", `\ `))
	texts := coloured(t)
	for i, name := range slices.Sorted(maps.Keys(texts)) {
		src := texts[name]
		path := fmt.Sprintf("%d.xfw", i)
		if err := os.WriteFile(filepath.Join(dir, path), []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&script, "edit %s\n", path)
		shown := scopes(t, file, src)
		for _, tok := range scan(name, src) {
			if !significant(tok) && tok.Type != tokComment {
				continue
			}
			for _, at := range []int{0, len(tok.Value) - 1} {
				places = append(places, place{tok: tok, want: groupOf(shown[tok.Pos.Offset+at]), file: name, line: tok.Pos.Line, col: tok.Pos.Column + at})
				fmt.Fprintf(&script, "call add(out, synIDattr(synID(%d, %d, 1), 'name'))\n", tok.Pos.Line, tok.Pos.Column+at)
			}
		}
	}
	script.WriteString("call add(out, &filetype)\ncall add(out, &commentstring)\ncall add(out, &comments)\ncall writefile(out, 'out')\nqall!\n")
	if err := os.WriteFile(filepath.Join(dir, "script.vim"), script.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-Nu", "NONE", "-i", "NONE", "-n", "-es", "--not-a-term", "-S", "script.vim")
	cmd.Dir = dir
	said, err := cmd.CombinedOutput()
	out, readErr := os.ReadFile(filepath.Join(dir, "out"))
	if readErr != nil {
		t.Fatalf("vim: %v\n%s", err, said)
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(got) != len(places)+3 {
		t.Fatalf("vim answers %d times to %d questions\n%s", len(got), len(places)+3, said)
	}
	for i, p := range places {
		if got[i] != p.want {
			t.Errorf("%s:%d:%d: %q is shown as %q, want %q", p.file, p.line, p.col, p.tok.Value, got[i], p.want)
		}
	}
	if last := got[len(places):]; last[0] != "xfw" || last[1] != "# %s" || last[2] != "b:#" {
		t.Errorf("filetype, commentstring and comments are %q", last)
	}
}
