package ir

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Pattern is a pattern of the portable subset: what every engine that knows
// patterns at all can be given, apart from the [Features] that some of them
// lack. It holds
//
//	a \.       a character, or one that would mean something, escaped
//	.          any character
//	[a-z_] [^ ]  a character of a class, or one outside of it (ASCII)
//	\d \w \s   a digit; a letter, digit or _; white space (ASCII)
//	^ $        the start and the end of the text, as the first and last of an alternative
//	? * +      behind one of these or a group: perhaps once, any number, at least once
//	( ) |      a group, and alternatives
//
// and nothing else: no counted repeats, back references, look-around or flags.
// Letters match in either ASCII case.
type Pattern struct {
	Name         string // "" where it stands in a rule itself
	Source       string
	Alternatives []Sequence // one of them has to be found
	Features     Features
	Origin       Origin

	program *regexp.Regexp
}

// Sequence is what has to follow each other.
type Sequence struct {
	Start, End bool // anchored; at the top of a pattern only
	Pieces     []Piece
}

// Piece is one part of a sequence, with what stands behind it.
type Piece struct {
	Kind   PieceKind
	Char   rune       // PieceChar
	Ranges []Range    // PieceClass: what is in it, or, with Not, outside
	Not    bool       // PieceClass
	Group  []Sequence // PieceGroup: the alternatives
	Repeat byte       // 0 for once, '?', '*' or '+'
}

// PieceKind is what a piece matches.
type PieceKind string

const (
	PieceChar  PieceKind = "char"
	PieceAny   PieceKind = "any" // every character, also a line break
	PieceClass PieceKind = "class"
	PieceGroup PieceKind = "group"
)

// Range is an inclusive range of ASCII characters.
type Range struct{ From, To byte }

// Features are what a pattern uses that not every engine has.
type Features struct {
	Alternatives  bool // |
	RepeatedGroup bool // ? * + behind a group
	NotASCII      bool // a character outside ASCII
}

// String lists the features.
func (f Features) String() string {
	var words []string
	for _, w := range []struct {
		name string
		set  bool
	}{{"alternatives", f.Alternatives}, {"repeated groups", f.RepeatedGroup}, {"characters outside ASCII", f.NotASCII}} {
		if w.set {
			words = append(words, w.name)
		}
	}
	return strings.Join(words, ", ")
}

// PatternError says where a text is no pattern of the subset, and what to do.
type PatternError struct {
	Offset, End  int // bytes of the text
	Text, Remedy string
}

func (e *PatternError) Error() string { return e.Text }

// maxPattern bounds a pattern in bytes, maxGroups how deep groups stand in each
// other: far above what anybody can read.
const (
	maxPattern = 500
	maxGroups  = 16
)

// ParsePattern reads a pattern of the portable subset.
func ParsePattern(source string) (*Pattern, *PatternError) {
	r := &patternReader{text: source}
	p := &Pattern{Source: source}
	switch {
	case source == "":
		r.fail(0, 0, "the pattern is empty", "Write what to find.")
	case len(source) > maxPattern:
		r.fail(maxPattern, len(source), fmt.Sprintf("the pattern is longer than %d bytes", maxPattern), "Make several patterns of it.")
	case !utf8.ValidString(source):
		r.fail(0, len(source), "the pattern is not UTF-8", "Write the pattern in UTF-8.")
	default:
		p.Alternatives = r.alternatives(0)
	}
	if r.wrong == nil && r.at < len(source) { // a ) that nothing opened ends the alternatives
		r.fail(r.at, r.at+1, ") closes no group", `Remove it, or write \) to find one.`)
	}
	if r.wrong != nil {
		return nil, r.wrong
	}
	p.Features = r.features
	program, err := regexp.Compile(translate(p.Alternatives))
	if err != nil {
		return nil, &PatternError{0, len(source), "the pattern is too large", "Make several patterns of it."}
	}
	p.program = program
	return p, nil
}

// Match reports whether the pattern is found in the text. It takes time in
// proportion to the text, whatever the pattern.
func (p *Pattern) Match(text string) bool { return p.program.MatchString(text) }

// Everything reports whether the pattern is found in every text: then it asks
// nothing.
func (p *Pattern) Everything() bool {
	for _, s := range p.Alternatives {
		if s.mayBeEmpty() && !(s.Start && s.End) {
			return true
		}
	}
	return false
}

// mayBeEmpty reports whether no character is needed for the sequence.
func (s Sequence) mayBeEmpty() bool {
	for _, p := range s.Pieces {
		empty := p.Repeat == '?' || p.Repeat == '*'
		for _, g := range p.Group {
			empty = empty || g.mayBeEmpty()
		}
		if !empty {
			return false
		}
	}
	return true
}

// patternReader reads a pattern from left to right, and stops at the first
// thing that is wrong.
type patternReader struct {
	text     string
	at       int
	wrong    *PatternError
	features Features
}

func (r *patternReader) fail(from, to int, text, remedy string) {
	if r.wrong == nil {
		r.wrong = &PatternError{from, to, text, remedy}
	}
}

// alternatives reads up to the end of the text, or up to the ) of its group.
func (r *patternReader) alternatives(depth int) []Sequence {
	out := []Sequence{{}}
	start := r.at // of the alternative at hand
	for r.wrong == nil && r.at < len(r.text) && r.text[r.at] != ')' {
		now := &out[len(out)-1]
		if now.End {
			r.fail(r.at-1, r.at, "$ stands before the end of the pattern", `Write \$ to find one; the end of the text is the end of an alternative.`)
			break
		}
		switch c := r.text[r.at]; c {
		case '|':
			r.whole(*now, start)
			r.features.Alternatives = true
			out = append(out, Sequence{})
			r.at++
			start = r.at
		case '^':
			if depth > 0 || now.Start || len(now.Pieces) > 0 {
				r.fail(r.at, r.at+1, "^ stands behind the start of the pattern", `Write \^ to find one; the start of the text is the start of an alternative, outside of groups.`)
			}
			now.Start = true
			r.at++
		case '$':
			if depth > 0 {
				r.fail(r.at, r.at+1, "$ stands in a group", `Write \$ to find one; the end of the text is the end of an alternative, outside of groups.`)
			}
			now.End = true
			r.at++
		default:
			now.Pieces = append(now.Pieces, r.piece(depth))
		}
	}
	r.whole(out[len(out)-1], start)
	return out
}

// whole reports an alternative without anything in it.
func (r *patternReader) whole(s Sequence, start int) {
	if len(s.Pieces) == 0 && !(s.Start && s.End) {
		r.fail(start, r.at, "a part of the pattern is empty", "Write what to find there, or ? behind what may be missing.")
	}
}

func (r *patternReader) piece(depth int) Piece {
	p := r.atom(depth)
	if r.wrong != nil || r.at >= len(r.text) {
		return p
	}
	switch c := r.text[r.at]; c {
	case '?', '*', '+':
		p.Repeat = c
		r.features.RepeatedGroup = r.features.RepeatedGroup || p.Kind == PieceGroup
		r.at++
		if r.at < len(r.text) && strings.IndexByte("?*+", r.text[r.at]) >= 0 {
			r.fail(r.at, r.at+1, fmt.Sprintf("%c stands behind %c", r.text[r.at], c), "Write one of ? * + behind a character, a class or a group.")
		}
	}
	return p
}

func (r *patternReader) atom(depth int) Piece {
	from := r.at
	c, size := utf8.DecodeRuneInString(r.text[r.at:])
	r.at += size
	switch c {
	case '?', '*', '+':
		r.fail(from, r.at, fmt.Sprintf("%c stands behind nothing that it could repeat", c), fmt.Sprintf(`Write \%c to find one.`, c))
	case '{', '}':
		r.fail(from, r.at, fmt.Sprintf("%c: repeats by number are not known to every engine", c), fmt.Sprintf(`Write the part as often as it is wanted, or \%c to find one.`, c))
	case ']':
		r.fail(from, r.at, "] closes no class", `Write \] to find one.`)
	case '.':
		return Piece{Kind: PieceAny}
	case '[':
		return r.class(from)
	case '(':
		if strings.HasPrefix(r.text[r.at:], "?") {
			r.fail(from, r.at+1, "(? begins something that not every engine knows", "Write a plain group: ( ).")
			break
		}
		if depth >= maxGroups {
			r.fail(from, r.at, fmt.Sprintf("groups stand in each other more than %d deep", maxGroups), "Make several patterns of it.")
			break
		}
		p := Piece{Kind: PieceGroup, Group: r.alternatives(depth + 1)}
		if r.wrong == nil && r.at >= len(r.text) {
			r.fail(from, from+1, "( opens a group that is not closed", `Write the ), or \( to find one.`)
		}
		r.at++
		return p
	case '\\':
		if set := r.set(); set != nil {
			return Piece{Kind: PieceClass, Ranges: set}
		}
		return Piece{Kind: PieceChar, Char: rune(r.escaped(from))}
	}
	if c >= utf8.RuneSelf {
		r.features.NotASCII = true
	}
	return Piece{Kind: PieceChar, Char: c}
}

// sets are the classes that have a letter.
var sets = map[byte][]Range{
	'd': {{'0', '9'}},
	'w': {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}},
	's': {{'\t', '\r'}, {' ', ' '}},
}

// set reads what stands behind a \ if it is the letter of a class.
func (r *patternReader) set() []Range {
	if r.at < len(r.text) {
		if set, ok := sets[r.text[r.at]]; ok {
			r.at++
			return set
		}
	}
	return nil
}

// escaped reads what stands behind the \ at from: punctuation, which then means
// itself.
func (r *patternReader) escaped(from int) byte {
	if r.at >= len(r.text) {
		r.fail(from, r.at, `\ stands at the end`, `Write \\ to find one.`)
		return 0
	}
	c := r.text[r.at]
	_, size := utf8.DecodeRuneInString(r.text[r.at:])
	r.at += size
	letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	switch {
	case '0' <= c && c <= '9':
		r.fail(from, r.at, fmt.Sprintf(`\%c: back references are not known to every engine`, c), "Write the part again.")
	case letter && strings.IndexByte("DWS", c) >= 0:
		r.fail(from, r.at, fmt.Sprintf(`\%c is not of the portable subset`, c), fmt.Sprintf(`Write a class: [^\%c].`, c+'a'-'A'))
	case letter || c <= ' ' || c >= utf8.RuneSelf:
		r.fail(from, r.at, fmt.Sprintf("%s is not of the portable subset", r.text[from:r.at]), `Escapes are \d \w \s, and \ before punctuation.`)
	}
	return c
}

// class reads what stands behind the [ at from.
func (r *patternReader) class(from int) Piece {
	p := Piece{Kind: PieceClass}
	if strings.HasPrefix(r.text[r.at:], "^") {
		p.Not = true
		r.at++
	}
	for r.wrong == nil {
		if r.at >= len(r.text) {
			r.fail(from, from+1, "[ opens a class that is not closed", `Write the ], or \[ to find one.`)
			break
		}
		start := r.at
		if r.text[r.at] == ']' {
			if r.at++; len(p.Ranges) == 0 {
				r.fail(from, r.at, "the class is empty", `Write the characters of the class; ] itself as \].`)
			}
			break
		}
		lo, set := r.member()
		if set != nil {
			p.Ranges = append(p.Ranges, set...)
			continue
		}
		hi := lo
		if rest := r.text[r.at:]; strings.HasPrefix(rest, "-") && !strings.HasPrefix(rest, "-]") {
			r.at++
			if r.at >= len(r.text) {
				continue // not closed
			}
			if hi, set = r.member(); set != nil || hi < lo {
				r.fail(start, r.at, fmt.Sprintf("%s is no range", r.text[start:r.at]), `Write the smaller character first, and a - of its own as \-.`)
			}
		}
		p.Ranges = append(p.Ranges, Range{lo, hi})
	}
	return p
}

// member reads one character of a class, or the letter of a class within it.
func (r *patternReader) member() (byte, []Range) {
	from, c := r.at, r.text[r.at]
	_, size := utf8.DecodeRuneInString(r.text[r.at:])
	r.at += size
	switch {
	case c == '\\':
		if set := r.set(); set != nil {
			return 0, set
		}
		return r.escaped(from), nil
	case c == '[':
		r.fail(from, r.at, "[ stands in a class", `Write \[ to have it in the class.`)
	case c >= utf8.RuneSelf:
		r.fail(from, r.at, fmt.Sprintf("%s cannot be in a class: classes hold ASCII", r.text[from:r.at]), "Write alternatives in a group: (a|b).")
	}
	return c, nil
}

// translate writes the pattern for package regexp, with both cases of every
// letter written out: that package folds letters of other scripts as well.
func translate(alternatives []Sequence) string {
	var b strings.Builder
	b.WriteString("(?s)")
	writeAlternatives(&b, alternatives)
	return b.String()
}

func writeAlternatives(b *strings.Builder, alternatives []Sequence) {
	for i, s := range alternatives {
		if i > 0 {
			b.WriteByte('|')
		}
		if s.Start {
			b.WriteString(`\A`)
		}
		for _, p := range s.Pieces {
			writePiece(b, p)
		}
		if s.End {
			b.WriteString(`\z`)
		}
	}
}

func writePiece(b *strings.Builder, p Piece) {
	switch p.Kind {
	case PieceAny:
		b.WriteByte('.')
	case PieceGroup:
		b.WriteString("(?:")
		writeAlternatives(b, p.Group)
		b.WriteByte(')')
	case PieceClass:
		b.WriteByte('[')
		if p.Not {
			b.WriteByte('^')
		}
		for _, r := range p.Ranges {
			writeRange(b, r.From, r.To)
			// The letters of the range again, in the other case.
			for _, letters := range []struct {
				from, to byte
				other    int
			}{{'a', 'z', 'A' - 'a'}, {'A', 'Z', 'a' - 'A'}} {
				if from, to := max(r.From, letters.from), min(r.To, letters.to); from <= to {
					writeRange(b, byte(int(from)+letters.other), byte(int(to)+letters.other))
				}
			}
		}
		b.WriteByte(']')
	case PieceChar:
		text := regexp.QuoteMeta(string(p.Char))
		if lower, upper := strings.ToLower(text), strings.ToUpper(text); p.Char < utf8.RuneSelf && lower != upper {
			text = "[" + lower + upper + "]"
		}
		b.WriteString(text)
	}
	if p.Repeat != 0 {
		b.WriteByte(p.Repeat)
	}
}

func writeRange(b *strings.Builder, from, to byte) {
	fmt.Fprintf(b, `\x%02x-\x%02x`, from, to)
}
