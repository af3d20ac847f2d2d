package lang

import (
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/participle/v2/lexer"
)

// The lexer is total: whatever the bytes, it gives tokens that put together are
// the source again. What the language has no use for becomes an invalid or an
// openString token, which the reader reports and the grammar never accepts.

const (
	tokWord lexer.TokenType = iota + 1
	tokString
	tokPunct
	tokComment
	tokSpace
	tokNewline
	tokOpenString // a string without its closing quote, up to the end of the line
	tokInvalid    // a run of characters that the language has no use for
	tokStray      // a } that closes nothing; made by balance
	tokDropped    // a brace nested too deep; made by balance
)

// significant reports whether the grammar sees the token.
func significant(t lexer.Token) bool {
	switch t.Type {
	case tokComment, tokSpace, tokNewline, tokDropped, lexer.EOF:
		return false
	}
	return true
}

// scan reads all tokens of src. Their values, in order, are src; the last token
// is EOF. Columns count bytes from 1.
func scan(name, src string) []lexer.Token {
	tokens := make([]lexer.Token, 0, len(src)/3+16)
	pos := lexer.Position{Filename: name, Line: 1, Column: 1}
	for pos.Offset < len(src) {
		typ, n := next(src[pos.Offset:])
		tokens = append(tokens, lexer.Token{Type: typ, Value: src[pos.Offset : pos.Offset+n], Pos: pos})
		pos.Offset += n
		pos.Column += n
		if typ == tokNewline {
			pos.Line++
			pos.Column = 1
		}
	}
	return append(tokens, lexer.EOFToken(pos))
}

// next gives type and length of the first token of s, which is not empty.
func next(s string) (lexer.TokenType, int) {
	switch c := s[0]; {
	case c == '\n':
		return tokNewline, 1
	case strings.HasPrefix(s, "\r\n"):
		return tokNewline, 2
	case isSpace(c):
		n := 1
		for n < len(s) && isSpace(s[n]) && !strings.HasPrefix(s[n:], "\r\n") {
			n++
		}
		return tokSpace, n
	case c == '#':
		return tokComment, len(strings.TrimRight(line(s), " \t\r"))
	case c == '"':
		return quoted(s)
	case strings.HasPrefix(s, "->"):
		return tokPunct, 2
	case isPunct(c):
		return tokPunct, 1
	}
	n := 0
	for n < len(s) && isWord(s[n]) && !strings.HasPrefix(s[n:], "->") {
		n++
	}
	if n > 0 {
		return tokWord, n
	}
	for n < len(s) && isInvalid(s[n]) {
		_, size := utf8.DecodeRuneInString(s[n:])
		n += size
	}
	return tokInvalid, n
}

// line is s up to, and without, the end of its first line.
func line(s string) string {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return strings.TrimSuffix(s[:i], "\r")
	}
	return s
}

// quoted reads the string that s starts with. A string that its line does not
// close ends with the line, or where the text cannot be meant to be in it: before
// a comment, and before braces at the end that have no partner in the text.
func quoted(s string) (lexer.TokenType, int) {
	l := line(s)
	for i := 1; i < len(l); i++ {
		switch l[i] {
		case '\\':
			i++
		case '"':
			return tokString, i + 1
		}
	}
	for _, comment := range []string{" #", "\t#"} {
		l, _, _ = strings.Cut(l, comment)
	}
	for {
		l = strings.TrimRight(l, " \t\r")
		head := l[:len(l)-1]
		closed := strings.HasSuffix(l, "}") && strings.Count(head, "{") <= strings.Count(head, "}")
		if !closed && !strings.HasSuffix(l, "{") {
			return tokOpenString, len(l)
		}
		l = head
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

func isPunct(c byte) bool { return c == '{' || c == '}' || c == ',' || c == '=' || c == '~' }

// isInvalid tells the characters that stand in no token outside strings and
// comments. Semicolons and other quotes are among them, because a word that
// ends with one would only confuse whoever wrote it out of habit.
func isInvalid(c byte) bool {
	switch c {
	case '\t', '\n', '\r':
		return false
	case ';', '\'', '`', '\\':
		return true
	}
	return c < ' ' || c >= 0x7f
}

func isWord(c byte) bool {
	return !isSpace(c) && c != '\n' && c != '"' && c != '#' && !isPunct(c) && !isInvalid(c)
}
