package compiler

import (
	"bytes"
	"maps"

	"xfwc/lang"
	"xfwc/lang/diag"
)

// maxMends bounds the rounds of [Mend]: what is mended can show what was hidden
// behind it, a statement behind its misspelt keyword for instance.
const maxMends = 20

// formatted reports whether a text is in the one format; what does not parse is
// not.
func formatted(text []byte) bool {
	_, found := lang.Parse("", text)
	return len(found) == 0 && bytes.Equal(text, lang.Format(text))
}

// Mend makes the fixes that findings carry, until there is none left. find gives
// the findings about texts, which are by file name. What is waived stays, and so
// does all else of a text: a file that was in the one format is so afterwards.
//
// mended holds the texts that changed, and made the findings that are gone.
func Mend(texts map[string][]byte, find func(map[string][]byte) []diag.Finding) (mended map[string][]byte, made []diag.Finding) {
	texts, mended = maps.Clone(texts), map[string][]byte{}
	for range maxMends {
		var found []diag.Finding
		var fixes [][]diag.Edit
		for _, f := range find(texts) {
			if len(f.Fix) > 0 && f.Waived == nil {
				found, fixes = append(found, f), append(fixes, f.Fix)
			}
		}
		changed, done := diag.Apply(texts, fixes)
		if len(changed) == 0 {
			break
		}
		for i, f := range found {
			if done[i] {
				made = append(made, f)
			}
		}
		for name, text := range changed {
			if formatted(texts[name]) {
				text = lang.Format(text)
			}
			texts[name], mended[name] = text, text
		}
	}
	return mended, made
}
