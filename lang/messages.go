package lang

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"

	"xfwc/lang/diag"
)

// The wording of what the language reports. golden/lang/messages.txt shows
// every message.

// malformed reports a statement whose keyword is known.
func (r *reader) malformed(f *form, s skipped, err error) {
	refused := offset(err)
	at := slices.IndexFunc(s.tokens, func(t lexer.Token) bool { return t.Pos.Offset == refused })
	if at < 1 {
		r.incomplete(f, s.tokens)
		return
	}
	bad := s.tokens[at]
	finding := diag.New("syntax-statement", tokenSpan(bad), fmt.Sprintf("%s does not fit here in %s %s statement", show(bad), article(f.keyword), f.keyword))
	if near := nearest(bad.Value, f.clauses()); near != "" && bad.Type == tokWord && near != bad.Value {
		finding.Summary += fmt.Sprintf("; did you mean %s?", near)
		finding.Fix = respell(bad, f.clauses())
	}
	finding.Labels = []diag.Label{{Span: tokenSpan(s.tokens[0]), Text: "the statement starts here"}}
	finding.Remedy = f.remedy()
	r.report(finding)
}

// offset is where the grammar refused the text, or -1.
func offset(err error) int {
	var perr participle.Error
	if errors.As(err, &perr) {
		return perr.Position().Offset
	}
	return -1
}

// unopened reports a statement whose block lacks its {, and reads what stands in
// the block for its findings, up to its }.
func (r *reader) unopened(c *cursor, f *form, header []lexer.Token) {
	finding := diag.New("syntax-block", textSpan(header), fmt.Sprintf("the block of this %s is not opened: a { is missing", f.keyword))
	finding.Remedy = f.remedy()
	r.report(finding)
	r.inside(c, &reader{section: sections[f.block], outer: r.section})
	if c.peek().Type == tokStray {
		c.take()
	}
}

// incomplete reports a statement that lacks its later part.
func (r *reader) incomplete(f *form, tokens []lexer.Token) {
	finding := diag.New("syntax-statement", textSpan(tokens), fmt.Sprintf("this %s is not complete", f.keyword))
	finding.Remedy = f.remedy()
	r.report(finding)
}

// opened reports a { that no statement asks for.
func (r *reader) opened(brace lexer.Token, previous []lexer.Token) {
	finding := diag.New("syntax-block", tokenSpan(brace), "this { stands where a statement is expected")
	if len(previous) > 0 {
		f := r.section.form(previous[0].Value)
		finding.Summary = fmt.Sprintf("this { does not fit behind this %s", f.keyword)
		finding.Labels = []diag.Label{{Span: textSpan(previous), Text: "the statement ends here"}}
		finding.Remedy = f.remedy()
	}
	r.report(finding)
}

// unknown reports a statement that starts with a word that is no keyword here,
// or a word too many behind the previous statement of the same line.
func (r *reader) unknown(first lexer.Token, near string, previous []lexer.Token) {
	if near == "" && r.trailing(first, previous) {
		return
	}
	finding := diag.New("syntax-keyword", tokenSpan(first), fmt.Sprintf("unknown keyword %s %s", show(first), r.section.where))
	finding.Remedy = fmt.Sprintf("Possible here: %s.", strings.Join(r.section.keywords(), ", "))
	if near != "" {
		finding.Summary += fmt.Sprintf("; did you mean %s?", near)
		finding.Fix = respell(first, r.section.keywords())
	} else if homes := homes(first.Value); len(homes) > 0 && len(homes) <= 3 {
		finding.Summary += fmt.Sprintf("; it belongs %s", strings.Join(homes, " or "))
	}
	r.report(finding)
}

// unexpected reports a token that starts no statement.
func (r *reader) unexpected(first lexer.Token, previous []lexer.Token) {
	if r.trailing(first, previous) {
		return
	}
	finding := diag.New("syntax-statement", tokenSpan(first), fmt.Sprintf("%s starts no statement %s", show(first), r.section.where))
	finding.Remedy = fmt.Sprintf("Possible here: %s.", strings.Join(r.section.keywords(), ", "))
	r.report(finding)
}

// trailing reports first as too much behind the statement before it, if the two
// belong together: they share a line, or first cannot start one.
func (r *reader) trailing(first lexer.Token, previous []lexer.Token) bool {
	if len(previous) == 0 {
		return false
	}
	last := previous[len(previous)-1]
	clause := first.Type != tokWord || slices.Contains(clauses, first.Value)
	if isBrace(last, "}") || last.Pos.Line != first.Pos.Line && !clause {
		return false
	}
	f := r.section.form(previous[0].Value)
	finding := diag.New("syntax-statement", tokenSpan(first), fmt.Sprintf("%s does not fit behind this %s", show(first), f.keyword))
	if meant := respell(first, f.clauses()); meant != nil {
		finding.Summary += fmt.Sprintf("; did you mean %s?", meant[0].New)
		finding.Fix = meant
	} else if first.Value == "," {
		finding.Summary = fmt.Sprintf("nothing follows this comma in %s %s statement", article(f.keyword), f.keyword)
	}
	finding.Labels = []diag.Label{{Span: textSpan(previous), Text: "the statement ends here"}}
	finding.Remedy = f.remedy()
	r.report(finding)
	return true
}

// remedy shows how the statement is written.
func (f *form) remedy() string {
	return "Write it like `" + strings.Join(f.looks, "`, or `") + "`."
}

// clauses lists the words that start later parts of the statement.
func (f *form) clauses() []string {
	var words []string
	for _, way := range f.looks {
		for _, w := range strings.Fields(way) {
			if slices.Contains(clauses, w) {
				words = append(words, w)
			}
		}
	}
	return words
}

// homes lists where a keyword stands, in the order of the language.
func homes(keyword string) []string {
	var places []string
	for _, s := range sections {
		if s.form(keyword) != nil {
			places = append(places, s.where)
		}
	}
	slices.Sort(places)
	return places
}

// show quotes a token for a message, shortened if it is long.
func show(t lexer.Token) string {
	text := t.Value
	if utf8.RuneCountInString(text) > 40 {
		text = string([]rune(text)[:39]) + "…"
	}
	if t.Type == tokString {
		return "the string " + text
	}
	return fmt.Sprintf("%q", text)
}

func article(word string) string {
	if strings.ContainsRune("aeio", rune(word[0])) {
		return "an"
	}
	return "a"
}

// textSpan is the text from the first token to the last.
func textSpan(tokens []lexer.Token) diag.Span {
	return diag.Span{Start: diag.Pos(tokens[0].Pos), End: diag.Pos(end(tokens[len(tokens)-1]))}
}

// nearest finds the word that typed was probably meant to be, or "".
func nearest(typed string, words []string) string {
	if len(typed) > 24 {
		return ""
	}
	best, found := "", max(1, min(3, len(typed)/3))+1
	for _, w := range words {
		if d := diag.Slips(strings.ToLower(typed), w); d < found {
			best, found = w, d
		}
	}
	return best
}

// respell is the edit that mends a misspelt word of the language, where it is
// clear which one it is.
func respell(t lexer.Token, words []string) []diag.Edit {
	if meant := diag.Meant(t.Value, words); meant != "" && meant != t.Value {
		return []diag.Edit{{Span: tokenSpan(t), New: meant}}
	}
	return nil
}

// faults reports the tokens that are wrong in themselves.
func faults(tokens []lexer.Token) []diag.Finding {
	var findings []diag.Finding
	quotes := foreignQuotes(tokens)
	for _, t := range tokens {
		if len(findings) > maxFindings {
			break
		}
		switch t.Type {
		case tokInvalid:
			f := invalid(t)
			switch {
			case strings.Trim(t.Value, ";") == "", t.Pos.Offset == 0 && t.Value == "\ufeff":
				f.Fix = []diag.Edit{{Span: tokenSpan(t)}}
			default:
				f.Fix = quotes[t.Pos.Offset]
			}
			findings = append(findings, f)
		case tokOpenString:
			findings = append(findings, diag.New("syntax-string", tokenSpan(t), "this string is not closed on its line"))
		case tokString:
			if i := badEscape(t.Value); i > 0 {
				_, n := utf8.DecodeRuneInString(t.Value[i+1:])
				f := diag.New("syntax-string", part(t, i, 1+n), t.Value[i:i+1+n]+" is no escape")
				f.Remedy = `Strings know \" and \\ only.`
				findings = append(findings, f)
				continue
			}
			findings = append(findings, hidden(t)...)
		case tokComment:
			findings = append(findings, hidden(t)...)
		}
	}
	return findings
}

// invalid reports a run of characters that stand in no token.
func invalid(t lexer.Token) diag.Finding {
	f := diag.New("syntax-character", tokenSpan(t), "")
	r, size := utf8.DecodeRuneInString(t.Value)
	switch {
	case t.Pos.Offset == 0 && strings.HasPrefix(t.Value, "\ufeff"):
		f.Summary = "the file starts with a byte order mark"
		f.Remedy = "Save it as UTF-8 without a byte order mark."
	case r == ';':
		f.Summary = "the language has no ;"
		f.Remedy = "Remove it: statements need no sign at their end."
	case r == '\'' || r == '`':
		f.Summary = fmt.Sprintf("the language has no %c", r)
		f.Remedy = `Put strings between " and ".`
	case r == '“' || r == '”' || r == '„':
		f.Summary = fmt.Sprintf("the language has no %c", r)
		f.Remedy = `Put strings between " and ", the plain quotes.`
	case r == utf8.RuneError && size == 1:
		f.Summary = fmt.Sprintf("bytes that are not UTF-8, from 0x%02x", t.Value[0])
		f.Remedy = "Save the file as UTF-8."
	case r < ' ' || r == 0x7f:
		f.Summary = fmt.Sprintf("a control character, U+%04X", r)
		f.Remedy = "Remove it."
	default:
		f.Summary = fmt.Sprintf("%q stands outside strings and comments", r)
	}
	return f
}

// foreignQuotes finds texts between quotes that the language does not have, and
// gives the edits that put them between its own, by the offsets of the quotes.
func foreignQuotes(tokens []lexer.Token) map[int][]diag.Edit {
	edits := map[int][]diag.Edit{}
	var open *lexer.Token
	for i := range tokens {
		t := &tokens[i]
		mark := strings.TrimRight(t.Value, ";") // which often stands right behind one
		switch {
		case t.Type == tokNewline, t.Type == tokString, t.Type == tokOpenString, t.Type == tokComment:
			open = nil
		case t.Type != tokInvalid:
		case open == nil && slices.Contains([]string{"'", "`", "“", "„", "”"}, mark):
			open = t
		case open != nil && (mark == open.Value || mark == "”" || mark == "“" && open.Value == "„"):
			pair := []diag.Edit{{Span: tokenSpan(*open), New: `"`}, {Span: tokenSpan(*t), New: `"`}}
			edits[open.Pos.Offset], edits[t.Pos.Offset] = pair, pair
			open = nil
		default:
			open = nil // what else is in there would stand in the string
		}
	}
	return edits
}

// NoText starts the summary about a file that is no text.
const NoText = "this is not a text file"

// noText reports a file that is no text at its first place that is none: one
// with a NUL, or with many runs of control characters and of bytes that are not
// UTF-8. Characters that people can read do not count, however many they are.
func noText(name string, src []byte) (diag.Finding, bool) {
	var first, last diag.Pos // of the first run
	runs, inside, nul := 0, false, false
	pos := diag.Pos{Filename: name, Line: 1, Column: 1}
	for len(src) > 0 && !nul && runs <= maxUnreadable {
		r, size := utf8.DecodeRune(src)
		blank := r == '\t' || r == '\n' || r == '\r'
		bad := r == utf8.RuneError && size == 1 || r < ' ' && !blank || r == 0x7f
		if bad && !inside {
			if runs++; runs == 1 {
				first = pos
			}
		}
		nul = r == 0
		inside, src = bad, src[size:]
		pos.Offset += size
		pos.Column += size
		if r == '\n' {
			pos.Line, pos.Column = pos.Line+1, 1
		}
		if bad && runs == 1 {
			last = pos
		}
	}
	if !nul && runs <= maxUnreadable {
		return diag.Finding{}, false
	}
	f := diag.New("syntax-character", diag.Span{Start: first, End: last}, NoText+": it holds control characters, or bytes that are not UTF-8, in many places")
	if nul {
		f.Summary = NoText + ": it holds a NUL"
	}
	f.Remedy = "Name a policy file, or save it as UTF-8."
	return f, true
}

// badEscape gives the index of a backslash that escapes nothing, or 0.
func badEscape(s string) int {
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' {
			if s[i+1] != '"' && s[i+1] != '\\' {
				return i
			}
			i++
		}
	}
	return 0
}

// hidden reports the first character of a string or comment that a reader of
// the file would not see as it is: control characters, bytes that are not
// UTF-8, and the marks that reverse the direction of text, which can make a
// policy look different from what it says (CVE-2021-42574).
func hidden(t lexer.Token) []diag.Finding {
	code, what := "syntax-character", "comment"
	if t.Type == tokString {
		code, what = "syntax-string", "string"
	}
	for i, r := range t.Value {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(t.Value[i:], "\ufffd"):
			f := diag.New(code, part(t, i, 1), fmt.Sprintf("this %s holds bytes that are not UTF-8", what))
			f.Remedy = "Save the file as UTF-8."
			return []diag.Finding{f}
		case r < ' ' && (r != '\t' || t.Type == tokString) || r == 0x7f,
			r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			f := diag.New(code, part(t, i, utf8.RuneLen(r)), fmt.Sprintf("this %s holds the control character U+%04X", what, r))
			f.Remedy = "Remove it."
			return []diag.Finding{f}
		}
	}
	return nil
}

// part is the span of n bytes inside a token.
func part(t lexer.Token, from, n int) diag.Span {
	start := t.Pos
	start.Offset += from
	start.Column += from
	stop := start
	stop.Offset += n
	stop.Column += n
	return diag.Span{Start: diag.Pos(start), End: diag.Pos(stop)}
}
