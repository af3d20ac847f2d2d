package diag

import (
	"slices"
	"strings"
)

// Slips counts the insertions, deletions, replacements and swaps of neighbours
// that make a into b (optimal string alignment): how far a misspelt word is
// from the one that was probably meant.
func Slips(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// Meant finds the one word of a closed list that typed can only be a misspelling
// of, or "": the nearest, if it is near and no other is as near. Digits are never
// misspelt, and of words as short as on, no and in any could be meant.
func Meant(typed string, words []string) string {
	typed = strings.ToLower(typed)
	far := 2
	switch {
	case len(typed) < 4:
		far = 0
	case len(typed) < 6:
		far = 1
	}
	best, found := "", far+1
	for _, w := range words {
		if len(typed) > maxMeant || len(w) > maxMeant || digits(w) != digits(typed) {
			continue
		}
		switch n := Slips(typed, w); {
		case n < found:
			best, found = w, n
		case n == found && w != best:
			best = ""
		}
	}
	return best
}

// MeantName is Meant for names that somebody chose, where another name can be
// right as well: a name counts that differs in capitals only, or in a letter that
// is missing, doubled, or swapped with its neighbour. A letter in place of
// another, as in lan-a and lan-b, is no misspelling that a program can tell, and
// neither is one more at the end.
func MeantName(typed string, names []string) string {
	if near := Meant(typed, names); near != "" && misspelt(strings.ToLower(typed), near) {
		return near
	}
	return ""
}

func misspelt(typed, name string) bool {
	switch {
	case typed == name:
		return true
	case len(typed) < 4 || len(name) < 4 || Slips(typed, name) > 1:
		return false
	}
	last := min(len(typed), len(name)) - 1
	switch len(typed) - len(name) {
	case 0: // a swap and not a replacement: the letters are the same
		a, b := []byte(typed), []byte(name)
		slices.Sort(a)
		slices.Sort(b)
		return slices.Equal(a, b)
	case 1:
		return typed[:last+1] != name || typed[last] == typed[last+1]
	}
	return name[:last+1] != typed || name[last] == name[last+1]
}

// maxMeant bounds the words that are compared: nobody misspells longer ones by
// one letter alone, and a comparison costs the product of the lengths.
const maxMeant = 64

// digits are the digits of a text, in order.
func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}
