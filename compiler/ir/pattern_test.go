package ir

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestPatternMatch has what a pattern finds, and beside it what it only just
// does not.
func TestPatternMatch(t *testing.T) {
	for _, c := range []struct {
		pattern      string
		found, spare []string
	}{
		{`wire +transfer`, []string{"a wire transfer", "WIRE   Transfer", "wire transfers"}, []string{"wiretransfer", "wire\ttransfer", "wire transfe"}},
		{`[0-9]+-[0-9]+`, []string{"1-2", "card 1234-5678."}, []string{"1 - 2", "-2", "1-"}},
		{`^\d\d\d$`, []string{"123"}, []string{"12", "1234", " 123", "123\n"}},
		{`^abc`, []string{"abc", "ABCd"}, []string{" abc", "\nabc"}},
		{`abc$`, []string{"abc", "xabc"}, []string{"abcd", "abc\n"}},
		{`^a|b$`, []string{"ax", "xb"}, []string{"xa", "bx"}},
		{`a(b|cd)?e`, []string{"ae", "abe", "acde"}, []string{"abcde", "ace"}},
		{`(ab)+c`, []string{"abc", "ababc"}, []string{"ac", "aac"}},
		{`(ab)*c`, []string{"c", "ababc"}, []string{"ab"}},
		{`a.c`, []string{"abc", "a\nc", "aéc"}, []string{"ac", "abbc"}},
		{`a\.c`, []string{"a.c"}, []string{"abc"}},
		{`[^a-c]x`, []string{"dx", "éx", "zdx"}, []string{"ax", "BX", "x"}},
		{`^[^a]$`, []string{"b"}, []string{"a", "A"}},
		{`[a-]x`, []string{"-x", "Ax"}, []string{"bx"}},
		{`[\]\\\-]x`, []string{"]x", `\x`, "-x"}, []string{"[x"}},
		{`[W-c]!`, []string{"w!", "X!", "_!", "b!", "B!", "Z!"}, []string{"d!", "v!", "V!"}},
		{`\w\s\d`, []string{"_\t1", "é Z 9"}, []string{"- 1", "a1"}},
		{`[\d.]x`, []string{"5x", ".x"}, []string{"ax"}},
		{`é+`, []string{"éé"}, []string{"É", "e"}},
		{`k`, []string{"K"}, []string{"\u212a"}}, // the Kelvin sign folds to k elsewhere
		{`s`, []string{"S"}, []string{"\u017f"}},
		{`\$\^\(\)\|\?\*\+\{\}\[\]\/`, []string{`$^()|?*+{}[]/`}, []string{`$^()|?*+{}[]`}},
		{`a\{2\}`, []string{"a{2}"}, []string{"aa"}},
		{`^$`, []string{""}, []string{"a"}},
	} {
		p, wrong := ParsePattern(c.pattern)
		if wrong != nil {
			t.Errorf("%s: %s", c.pattern, wrong.Text)
			continue
		}
		for _, text := range c.found {
			if !p.Match(text) {
				t.Errorf("%s does not find %q", c.pattern, text)
			}
		}
		for _, text := range c.spare {
			if p.Match(text) {
				t.Errorf("%s finds %q", c.pattern, text)
			}
		}
	}
}

// TestPatternErrors has the text that is wrong within each pattern.
func TestPatternErrors(t *testing.T) {
	for _, c := range []struct{ pattern, at, says string }{
		{``, ``, "empty"},
		{`a||b`, ``, "empty"},
		{`(|a)`, ``, "empty"},
		{`()`, ``, "empty"},
		{`^`, `^`, "empty"},
		{`a|`, ``, "empty"},
		{`*a`, `*`, "behind nothing"},
		{`a|+`, `+`, "behind nothing"},
		{`a+?`, `?`, "stands behind +"},
		{`a**`, `*`, "stands behind *"},
		{`a{2,3}`, `{`, "repeats by number"},
		{`a]`, `]`, "closes no class"},
		{`a)`, `)`, "closes no group"},
		{`(a`, `(`, "not closed"},
		{`((a)`, `(`, "not closed"},
		{`[a`, `[`, "not closed"},
		{`[a-`, `[`, "not closed"},
		{`[]`, `[]`, "empty"},
		{`[^]`, `[^]`, "empty"},
		{`[z-a]`, `z-a`, "no range"},
		{`[a-\d]`, `a-\d`, "no range"},
		{`[[:alpha:]]`, `[`, "stands in a class"},
		{`[é]`, `é`, "ASCII"},
		{`(?i)a`, `(?`, "not every engine"},
		{`a(?=b)`, `(?`, "not every engine"},
		{`(a)\1`, `\1`, "back references"},
		{`\D`, `\D`, "portable subset"},
		{`\bword`, `\b`, "portable subset"},
		{`\é`, `\é`, "portable subset"},
		{`[\n]`, `\n`, "portable subset"},
		{`a\`, `\`, "at the end"},
		{`a^b`, `^`, "behind the start"},
		{`(^a)`, `^`, "behind the start"},
		{`^^a`, `^`, "behind the start"},
		{`a$b`, `$`, "before the end"},
		{`(a$)`, `$`, "in a group"},
		{strings.Repeat("(", 30) + "a", "(", "deep"},
		{strings.Repeat("a", 501), "a", "longer"},
		{"a\xff", "a\xff", "UTF-8"},
	} {
		_, wrong := ParsePattern(c.pattern)
		if wrong == nil {
			t.Errorf("%s is taken", c.pattern)
			continue
		}
		if got := c.pattern[wrong.Offset:wrong.End]; got != c.at || !strings.Contains(wrong.Text, c.says) || wrong.Remedy == "" {
			t.Errorf("%s: at %q: %s (%s); want %q, %s", c.pattern, got, wrong.Text, wrong.Remedy, c.at, c.says)
		}
	}
}

func TestPatternEverything(t *testing.T) {
	for pattern, want := range map[string]bool{
		`a*`: true, `^a*`: true, `a?$`: true, `(a?)+`: true, `a|b*`: true, `(a|b?)`: true, `(a)*`: true,
		`^a*$`: false, `a`: false, `a*b`: false, `^$`: false, `(a|b)`: false,
	} {
		p, wrong := ParsePattern(pattern)
		if wrong != nil {
			t.Fatal(pattern, wrong)
		}
		if p.Everything() != want {
			t.Errorf("%s: Everything is %v", pattern, !want)
		}
		// What is found everywhere is found in any text at all.
		if all := p.Match("") && p.Match("zz") && p.Match("\n"); all != want {
			t.Errorf("%s: finds every text: %v", pattern, all)
		}
	}
}

func TestPatternFeatures(t *testing.T) {
	for pattern, want := range map[string]string{
		`a(b)c[d]?`: "", `a|b`: "alternatives", `(a|b)+é`: "alternatives, repeated groups, characters outside ASCII", `\|`: "",
	} {
		p, wrong := ParsePattern(pattern)
		if wrong != nil || p.Features.String() != want {
			t.Errorf("%s has the features %q", pattern, p.Features)
		}
	}
}

// FuzzPattern holds the parser to its promises: no text makes it panic or take
// long, what it refuses it points at, and what it takes means the same to
// package regexp, which knows a larger language.
func FuzzPattern(f *testing.F) {
	for _, seed := range []string{`wire +transfer`, `^(a|[^b-d])*\.$`, `[\]\\]`, `((a*)*)*b`, `a{2}`, `\d\w\s`, `é`} {
		f.Add(seed, "a wire transfer b.")
	}
	f.Fuzz(func(t *testing.T, source, text string) {
		start := time.Now()
		p, wrong := ParsePattern(source)
		if wrong != nil {
			if wrong.Offset < 0 || wrong.Offset > wrong.End || wrong.End > len(source) || wrong.Text == "" || wrong.Remedy == "" {
				t.Fatalf("%q: %+v", source, wrong)
			}
			return
		}
		got := p.Match(text)
		if took := time.Since(start); len(source)+len(text) < 1000 && took > time.Second {
			t.Fatalf("%q took %s", source, took)
		}
		if isASCII(source) && isASCII(text) {
			// Within ASCII, every pattern of the subset is one of package regexp,
			// apart from white space, where ours has the vertical tab.
			theirs, err := regexp.Compile("(?is)" + source)
			if err != nil {
				t.Fatalf("%q: package regexp refuses it: %s", source, err)
			}
			if !strings.Contains(text, "\v") && theirs.MatchString(text) != got {
				t.Fatalf("%q in %q: %v, and package regexp says otherwise", source, text, got)
			}
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}
