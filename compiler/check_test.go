package compiler

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// checkLock is what DNS says of the domains that the examples of checks name.
// branch.example is the one whose addresses they leave to it; pinned.example is
// deliberately not there.
const checkLock = `{
  "version": 1,
  "peers": {
    "branch.example": {
      "srv": [{"service": "_xmpp-server", "target": "xmpp.branch.example", "port": 5269, "priority": 10, "weight": 5, "ttl": 3600}],
      "addresses": {"xmpp.branch.example": ["203.0.113.50"]},
      "dnssec": "unknown"
    },
    "legacy.example":  {"fallback": true, "addresses": {"legacy.example": ["203.0.113.60"]}},
    "one.example":     {"fallback": true, "addresses": {"one.example": ["203.0.113.20"]}},
    "partner.example": {"fallback": true, "addresses": {"partner.example": ["203.0.113.20"]}},
    "second.example":  {"fallback": true, "addresses": {"second.example": ["203.0.113.5"]}},
    "signed.example":  {"fallback": true, "addresses": {"signed.example": ["203.0.113.51"]}, "dnssec": "secure"},
    "two.example":     {"fallback": true, "addresses": {"two.example": ["203.0.113.21"]}},
    "twoports.example": {
      "srv": [
        {"service": "_xmpp-server", "target": "xmpp.twoports.example", "port": 5299},
        {"service": "_xmpps-server", "target": "xmpp.twoports.example", "port": 5270}
      ],
      "addresses": {"xmpp.twoports.example": ["203.0.113.53"]}
    },
    "unsigned.example": {"fallback": true, "addresses": {"unsigned.example": ["203.0.113.52"]}, "dnssec": "insecure"}
  },
  "own": {
    "irc.published.example": {
      "srv": [{"service": "_xmpp-server", "target": "chat.published.example", "port": 5269}],
      "addresses": {"chat.published.example": ["198.51.100.10"]}
    },
    "irc.byaddress.example": {"fallback": true, "addresses": {"irc.byaddress.example": ["198.51.100.10"]}},
    "irc.absent.example": {"srv": [{"service": "_xmpp-server", "target": ".", "port": 0}], "addresses": {}},
    "txt.example": {"fallback": true, "addresses": {"txt.example": []}, "xmppconnect": true},
    "direct.example": {
      "srv": [{"service": "_xmpp-client", "target": "chat.direct.example", "port": 5223}],
      "fallback": true,
      "addresses": {"chat.direct.example": ["198.51.100.10"], "direct.example": []}
    },
    "edge.example": {
      "srv": [
        {"service": "_xmpp-client", "target": "edge.edge.example", "port": 443},
        {"service": "_xmpps-client", "target": "edge.edge.example", "port": 443},
        {"service": "_xmpp-server", "target": "elsewhere.edge.example", "port": 5299}
      ],
      "addresses": {"edge.edge.example": ["198.51.100.1"], "elsewhere.edge.example": ["203.0.113.77"]}
    },
    "only443.example": {
      "srv": [{"service": "_xmpps-client", "target": "edge.only443.example", "port": 443}],
      "fallback": true,
      "addresses": {"edge.only443.example": ["198.51.100.1"], "only443.example": ["198.51.100.1"]}
    },
    "published.example": {
      "srv": [
        {"service": "_xmpp-client", "target": "chat.published.example", "port": 5222},
        {"service": "_xmpps-client", "target": "chat.published.example", "port": 5223},
        {"service": "_xmpp-server", "target": "chat.published.example", "port": 5269}
      ],
      "addresses": {"chat.published.example": ["198.51.100.10"]}
    },
    "moved.example": {
      "srv": [{"service": "_xmpp-server", "target": "chat.moved.example", "port": 5299}],
      "addresses": {"chat.moved.example": ["198.51.100.10"]}
    },
    "rooms.published.example": {"fallback": true, "addresses": {"rooms.published.example": []}},
    "silent.example": {
      "srv": [{"service": "_xmpp-server", "target": ".", "port": 0}],
      "addresses": {}
    },
    "starttls.example": {
      "srv": [
        {"service": "_xmpp-client", "target": "chat.starttls.example", "port": 5222},
        {"service": "_xmpp-server", "target": "chat.starttls.example", "port": 5269}
      ],
      "addresses": {"chat.starttls.example": ["198.51.100.10"]}
    },
    "swapped.example": {
      "srv": [
        {"service": "_xmpps-client", "target": "chat.swapped.example", "port": 5222},
        {"service": "_xmpps-server", "target": "chat.swapped.example", "port": 5269}
      ],
      "addresses": {"chat.swapped.example": ["198.51.100.10"]}
    }
  },
  "feeds": {
    "feeds/spam.txt": {"digest": "sha256:28875fc4230de6bace90d979ec1b11bffb20c05af7946149f13b15de1689b7b6", "entries": 2, "date": "2025-12-31"}
  }
}
`

// checkFeeds are the feeds that the examples of checks name.
var checkFeeds = map[string]string{"feeds/spam.txt": "spam.example\nworse.example\n"}

func readCheckFeed(path string) ([]byte, error) {
	if text, ok := checkFeeds[path]; ok {
		return []byte(text), nil
	}
	return nil, os.ErrNotExist
}

// checkPolicy compiles a policy that stands alone.
func checkPolicy(t testing.TB, name, text string) []diag.Finding {
	t.Helper()
	file, found := lang.Parse(name, []byte(text))
	locked, lockFound := lock.Parse("xfwc.lock", []byte(checkLock))
	found = append(found, lockFound...)
	found = append(found, Compile(Input{Files: []*lang.File{file}, Lock: locked, ReadFeed: readCheckFeed, Date: "2026-01-01"}).Findings...)
	diag.Sort(found)
	return found
}

func isCheck(code string) bool {
	return slices.ContainsFunc(Checks(), func(c Check) bool { return c.Code == code })
}

// checkGolden compares text with a file, or writes the file under XFWC_UPDATE=1.
func checkGolden(t *testing.T, path, got string) {
	t.Helper()
	path = filepath.Join("..", path)
	if os.Getenv("XFWC_UPDATE") == "1" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Errorf("%s differs from line %d on; XFWC_UPDATE=1 rewrites it\n got: %s\nwant: %s", path, i+1, at(g, i), at(w, i))
			return
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(end)"
}

// A literal that lacks a part would show only in the documentation.
func TestChecksAreWhole(t *testing.T) {
	checks := Checks()
	if len(checks) < 25 {
		t.Errorf("%d checks, want at least 25", len(checks))
	}
	code := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`)
	version := regexp.MustCompile(`^[0-9]+\.[0-9]+$`)
	for i, c := range checks {
		if !code.MatchString(c.Code) {
			t.Errorf("%s: not a code", c.Code)
		}
		if i > 0 && checks[i-1].Code >= c.Code {
			t.Errorf("%s: not after %s", c.Code, checks[i-1].Code)
		}
		if _, taken := diag.CodeOf(c.Code); taken {
			t.Errorf("%s: the code is also one of the catalogue in lang/diag", c.Code)
		}
		if c.Severity != diag.Info && c.Severity != diag.Warning && c.Severity != diag.Error {
			t.Errorf("%s: severity %v", c.Code, c.Severity)
		}
		if c.Profile != "baseline" && c.Profile != "strict" {
			t.Errorf("%s: profile %q", c.Code, c.Profile)
		}
		if !version.MatchString(c.Since) {
			t.Errorf("%s: since %q", c.Code, c.Since)
		}
		if c.Title == "" || strings.HasSuffix(c.Title, ".") {
			t.Errorf("%s: title %q", c.Code, c.Title)
		}
		for what, text := range map[string]string{"why": c.Why, "remedy": c.Remedy} {
			if !strings.HasSuffix(text, ".") || strings.TrimSpace(text) != text {
				t.Errorf("%s: %s is no sentence: %q", c.Code, what, text)
			}
		}
		for what, text := range map[string]string{"bad": c.Bad, "good": c.Good} {
			if formatted := string(lang.Format([]byte(text))); formatted != text {
				t.Errorf("%s: the %s policy is not formatted; it should be\n%s", c.Code, what, formatted)
			}
		}
	}
}

// Bad has the finding, Good has nothing that needs mending: people copy it.
func TestChecksFireOnBadOnly(t *testing.T) {
	for _, c := range Checks() {
		t.Run(c.Code, func(t *testing.T) {
			fired := false
			for _, f := range checkPolicy(t, "bad.xfw", c.Bad) {
				if f.Code != c.Code {
					if f.Severity == diag.Error && !isCheck(f.Code) {
						t.Errorf("bad: %d:%d %s: %s", f.Span.Start.Line, f.Span.Start.Column, f.Code, f.Summary)
					}
					continue
				}
				fired = true
				if f.Severity != c.Severity || f.Remedy != c.Remedy || f.Reference != c.Reference {
					t.Errorf("the finding differs from the literal: %+v", f)
				}
				if !f.Span.IsValid() {
					t.Errorf("the finding has no place: %s", f.Summary)
				}
			}
			if !fired {
				t.Errorf("does not fire on\n%s", c.Bad)
			}
			for _, f := range checkPolicy(t, "good.xfw", c.Good) {
				if f.Code == c.Code || f.Severity >= diag.Warning {
					t.Errorf("good: %d:%d %s: %s", f.Span.Start.Line, f.Span.Start.Column, f.Code, f.Summary)
				}
			}
		})
	}
}

// Strict checks stay out of the baseline.
func TestChecksFollowTheProfile(t *testing.T) {
	for _, c := range Checks() {
		if c.Profile != "strict" {
			continue
		}
		lax := strings.Replace(c.Bad, "profile strict", "profile baseline", 1)
		if lax == c.Bad {
			t.Errorf("%s: the bad policy does not state profile strict", c.Code)
		}
		for _, f := range checkPolicy(t, "bad.xfw", lax) {
			if f.Code == c.Code {
				t.Errorf("%s fires under profile baseline", c.Code)
			}
		}
	}
}

func placeOf(s diag.Span) string {
	return fmt.Sprintf("%d:%d-%d:%d", s.Start.Line, s.Start.Column, s.End.Line, s.End.Column)
}

// Codes, severities and places are pinned apart from the wording, so that the
// wording can be improved freely.
func TestCheckFindings(t *testing.T) {
	var b strings.Builder
	for _, c := range Checks() {
		fmt.Fprintf(&b, "== %s\n", c.Code)
		for _, f := range checkPolicy(t, "bad.xfw", c.Bad) {
			fmt.Fprintf(&b, "%s %s %s\n", placeOf(f.Span), f.Severity, f.Code)
			for _, l := range f.Labels {
				fmt.Fprintf(&b, "  %s\n", placeOf(l.Span))
			}
		}
	}
	checkGolden(t, "golden/checks/findings.txt", b.String())
}

func TestCheckCatalogue(t *testing.T) {
	var b strings.Builder
	for _, c := range Checks() {
		fmt.Fprintf(&b, "%s %s %s since %s\n  title: %s\n  why: %s\n  remedy: %s\n", c.Code, c.Severity, c.Profile, c.Since, c.Title, c.Why, c.Remedy)
		if c.Reference != "" {
			fmt.Fprintf(&b, "  reference: %s\n", c.Reference)
		}
		for _, f := range checkPolicy(t, "bad.xfw", c.Bad) {
			if f.Code == c.Code {
				fmt.Fprintf(&b, "  says: %s\n", f.Summary)
				for _, l := range f.Labels {
					fmt.Fprintf(&b, "    label: %s\n", l.Text)
				}
			}
		}
		b.WriteByte('\n')
	}
	checkGolden(t, "golden/checks/catalogue.txt", b.String())
}

// The page is made from the literals, so the two agree in both directions.
func TestCheckDocumentation(t *testing.T) {
	checkGolden(t, "docs/checks.md", checksPage())
}

func checksPage() string {
	var b strings.Builder
	checks := Checks()
	fmt.Fprintf(&b, `# Best-practice checks

xfwc check judges every policy by these %d checks. Those of profile strict run
only where the policy states %s, those that name a framework only where
its %s does. A finding that is known and accepted is set aside with a %s
statement, which names the code, a date and a reason. Codes never change meaning.

This page is made from the checks themselves: XFWC_UPDATE=1 go test ./compiler
writes it anew.

| code | severity | profile | what is wrong |
|---|---|---|---|
`, len(checks), "`profile strict`", "`comply`", "`waive`")
	for _, c := range checks {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %s |\n", c.Code, c.Code, c.Severity, strings.Join(append([]string{c.Profile}, c.Frameworks...), ", "), c.Title)
	}
	for _, c := range checks {
		fmt.Fprintf(&b, "\n## %s\n\n%s: %s.\n\n%s\n\n%s\n\n", c.Code, strings.ToUpper(c.Severity.String()[:1])+c.Severity.String()[1:], c.Title, c.Why, c.Remedy)
		if c.Reference != "" {
			fmt.Fprintf(&b, "Reference: %s. ", c.Reference)
		}
		fmt.Fprintf(&b, "Since %s, profile %s", c.Since, c.Profile)
		if c.Frameworks != nil {
			fmt.Fprintf(&b, ", where the policy states `comply %s`", strings.Join(c.Frameworks, "` or `comply "))
		}
		b.WriteString(".\n\n")
		fmt.Fprintf(&b, "Has the finding:\n\n```\n%s```\n\nHas not:\n\n```\n%s```\n", c.Bad, c.Good)
	}
	return b.String()
}

// Cases on the edge of a check: each archive holds policies, and each policy
// says in comments which findings of which checks it has: `# want: CODE LINE`.
func TestCheckJudgement(t *testing.T) {
	want := regexp.MustCompile(`(?m)^# want: (\S+) (\d+)$`)
	forEachCase(t, func(archive, name, text string) {
		t.Run(archive+"/"+name, func(t *testing.T) {
			var wanted, got []string
			for _, m := range want.FindAllStringSubmatch(text, -1) {
				wanted = append(wanted, m[1]+" "+m[2])
			}
			for _, d := range checkPolicy(t, name, text) {
				if isCheck(d.Code) {
					got = append(got, fmt.Sprintf("%s %d", d.Code, d.Span.Start.Line))
				} else if d.Severity == diag.Error {
					t.Errorf("%d:%d %s: %s", d.Span.Start.Line, d.Span.Start.Column, d.Code, d.Summary)
				}
			}
			slices.Sort(wanted)
			slices.Sort(got)
			if !slices.Equal(got, wanted) {
				t.Errorf("findings\n got %q\nwant %q", got, wanted)
			}
		})
	})
}

// forEachCase calls f for every policy of the archives.
func forEachCase(t *testing.T, f func(archive, name, text string)) {
	t.Helper()
	archives, err := filepath.Glob("../golden/checks/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal("no archives", err)
	}
	for _, path := range archives {
		for _, file := range txtar.Parse([]byte(readFile(t, path))).Files {
			f(filepath.Base(path), file.Name, string(file.Data))
		}
	}
}

// The examples are what people start from: they have no error and no warning
// but those that they set aside.
func TestChecksOnExamples(t *testing.T) {
	policies, err := filepath.Glob("../examples/*/policy.xfw")
	if err != nil || len(policies) < 4 {
		t.Fatalf("%d examples, want at least 4 (%v)", len(policies), err)
	}
	waived := map[string][]string{
		"office":              {"fed-cleartext-peer", "fed-dialback-no-tls"},
		"federation-dialback": {"fed-cleartext-peer", "fed-dialback-no-tls"},
		"anonymous-guests":    {"content-opaque"},
		"web-edge":            {"ws-not-served"},
	}
	for _, path := range policies {
		name := filepath.Base(filepath.Dir(path))
		t.Run(name, func(t *testing.T) {
			files, _, found := lang.Load(path, lang.OS())
			in := Input{Files: files, ReadFeed: os.ReadFile, Date: "2026-11-22"}
			if src, err := os.ReadFile(filepath.Join(filepath.Dir(path), "xfwc.lock")); err == nil {
				locked, lockFound := lock.Parse("xfwc.lock", src)
				found = append(found, lockFound...)
				in.Lock = locked
			}
			found = append(found, Compile(in).Findings...)
			var set []string
			for _, f := range found {
				switch {
				case !isCheck(f.Code): // others have tests of their own
				case f.Waived != nil:
					set = append(set, f.Code)
				case f.Severity >= diag.Warning:
					t.Errorf("%s:%d:%d %s %s: %s", f.Span.Start.Filename, f.Span.Start.Line, f.Span.Start.Column, f.Severity, f.Code, f.Summary)
				}
			}
			slices.Sort(set)
			if !slices.Equal(set, waived[name]) {
				t.Errorf("set aside are %q, want %q", set, waived[name])
			}
		})
	}
}

// Whatever a policy says, judging it ends and gives findings with a place.
func FuzzChecks(f *testing.F) {
	for _, c := range Checks() {
		f.Add([]byte(c.Bad))
		f.Add([]byte(c.Good))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		file, _ := lang.Parse("fuzz.xfw", src)
		out := Compile(Input{Files: []*lang.File{file}})
		for _, d := range out.Findings {
			if isCheck(d.Code) && (!d.Span.IsValid() || d.Summary == "" || bytes.ContainsRune([]byte(d.Summary), '\n')) {
				t.Errorf("%+v", d)
			}
		}
	})
}
