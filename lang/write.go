package lang

import (
	"strings"
	"unicode"
)

// What programs write into a policy goes through here: a text from elsewhere
// then stays what it is, whatever characters it has.

// Quote writes text as a string of the language. Line breaks and other control
// characters, which no string can hold, become spaces, and so do those that make
// a line look like another one.
func Quote(text string) string {
	return `"` + escape.Replace(printable(text)) + `"`
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// Comment writes text as a comment of one line.
func Comment(text string) string {
	return strings.TrimRight("# "+printable(text), " ")
}

func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}
