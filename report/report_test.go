package report

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"

	"xfwc/backends"
	"xfwc/compiler"
	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// input compiles a policy file as cmd does.
func input(tb testing.TB, file, date string) Input {
	tb.Helper()
	files, texts, found := lang.Load(file, lang.OS())
	in := Input{Root: files[0].Name, Sources: texts, Date: date}
	var locked *lock.File
	if text, err := os.ReadFile(filepath.Join(filepath.Dir(file), "xfwc.lock")); err == nil {
		in.Lock = text
		locked, _ = lock.Parse("xfwc.lock", text)
	}
	return whole(in, files, found, locked)
}

func whole(in Input, files []*lang.File, found []diag.Finding, locked *lock.File) Input {
	out := compiler.Compile(compiler.Input{Files: files, Problems: found, Lock: locked, ReadFeed: os.ReadFile, Date: in.Date})
	in.Findings = append(found, out.Findings...)
	in.Waivers = compiler.Waivers(files)
	in.Name = out.Policy.Name
	if !diag.HasErrors(slices.DeleteFunc(slices.Clone(in.Findings), func(f diag.Finding) bool {
		_, listed := diag.CodeOf(f.Code)
		return !listed || f.Code == "test-failed"
	})) {
		in.Policy = out.Policy
		for _, pt := range out.Policy.Points {
			for _, b := range backends.All() {
				if pt.Engine(b.Kind()) != nil {
					in.Ledger = append(in.Ledger, b.Emit(out.Policy, pt).Ledger...)
				}
			}
		}
	}
	diag.Sort(in.Findings)
	return in
}

// fromText is input for a policy of one file.
func fromText(text string) Input {
	file, found := lang.Parse("policy.xfw", []byte(text))
	in := Input{Root: "policy.xfw", Sources: map[string][]byte{"policy.xfw": []byte(text)}, Date: "2026-11-22"}
	return whole(in, []*lang.File{file}, found, nil)
}

func render(tb testing.TB, in Input) string {
	tb.Helper()
	var b bytes.Buffer
	if err := HTML(&b, in); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// policies are those that reports are made of: the examples, and those that cmd
// opens in a browser.
func policies(tb testing.TB) []string {
	tb.Helper()
	a, err := filepath.Glob("../examples/*/policy.xfw")
	if err != nil || len(a) == 0 {
		tb.Fatalf("no examples: %v", err)
	}
	b, err := filepath.Glob("../cmd/xfwc/testdata/report/*.xfw")
	if err != nil || len(b) == 0 {
		tb.Fatalf("no policies of cmd: %v", err)
	}
	return append(a, b...)
}

// elements are all that a page is made of; attributes those that none of them
// may load, run or lead anywhere by.
var elements = strings.Fields(`html head meta title style body svg defs symbol path circle g rect text marker desc use a div nav p span ol ul li
	main header h1 h2 h3 h4 bdi b i small sup dl dt dd section figure article table thead tbody tr th td br code mark`)

// check holds a page to what every page is: elements and attributes that need
// nothing from elsewhere and run nothing, links that lead to a place of the page,
// and no text that hides or turns another.
func check(t *testing.T, page string) {
	t.Helper()
	ids, links := map[string]int{}, []string{}
	var open []string
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if len(open) > 0 {
				t.Errorf("not closed: %v", open)
			}
			for id, n := range ids {
				if n > 1 {
					t.Errorf("the id %q is there %d times", id, n)
				}
			}
			for _, l := range links {
				if name, ok := strings.CutPrefix(l, "#"); !ok || ids[name] == 0 {
					t.Errorf("%q leads nowhere", l)
				}
			}
			return
		case html.StartTagToken, html.SelfClosingTagToken:
			tok := z.Token()
			if !slices.Contains(elements, tok.Data) {
				t.Errorf("element %s", tok.Data)
			}
			if tok.Type == html.StartTagToken && !slices.Contains([]string{"meta", "br"}, tok.Data) {
				open = append(open, tok.Data)
			}
			for _, a := range tok.Attr {
				switch {
				case a.Key == "id":
					ids[a.Val]++
				case a.Key == "href":
					links = append(links, a.Val)
				case strings.HasPrefix(a.Key, "on") || slices.Contains([]string{"src", "style", "action", "formaction", "srcdoc", "xlink:href"}, a.Key):
					t.Errorf("attribute %s of %s", a.Key, tok.Data)
				case a.Key == "http-equiv" && a.Val != "Content-Security-Policy":
					t.Errorf("meta %s", a.Val)
				case strings.Contains(a.Val, "url(") && !strings.HasPrefix(a.Val, "url(#"):
					t.Errorf("%s of %s is %q", a.Key, tok.Data, a.Val)
				}
			}
		case html.EndTagToken:
			tok := z.Token()
			if len(open) == 0 || open[len(open)-1] != tok.Data {
				t.Fatalf("%s is closed within %v", tok.Data, open)
			}
			open = open[:len(open)-1]
		case html.TextToken:
			tok := z.Token()
			if i := strings.IndexFunc(tok.Data, func(r rune) bool { return unicode.In(r, unicode.Bidi_Control) || r < ' ' && r != '\n' && r != '\t' }); i >= 0 {
				t.Errorf("text %q steers", tok.Data)
			}
		}
	}
}

// TestPages makes the page of every policy, twice, and holds it to what every
// page is.
func TestPages(t *testing.T) {
	for _, file := range policies(t) {
		t.Run(strings.TrimPrefix(file, "../"), func(t *testing.T) {
			in := input(t, file, "2026-11-22")
			page := render(t, in)
			if again := render(t, input(t, file, "2026-11-22")); again != page {
				t.Error("the same policy gives another page")
			}
			check(t, page)
			for _, f := range in.Findings {
				if !strings.Contains(page, "<code>"+f.Code+"</code>") {
					t.Errorf("the page does not name %s", f.Code)
				}
			}
			for _, f := range in.Waivers {
				if !strings.Contains(page, ">"+f.Until+"<") {
					t.Errorf("the page does not say that the waiver of %s ends on %s", f.Code, f.Until)
				}
			}
			if in.Policy != nil {
				for _, l := range in.Ledger {
					if _, id, _ := strings.Cut(l.Intent, " "); !strings.Contains(page, "<code>"+html.EscapeString(id)+"</code>") {
						t.Errorf("the page does not name %s", l.Intent)
					}
				}
			}
		})
	}
}

// TestDates: without a day nothing is judged by one, with one it is.
func TestDates(t *testing.T) {
	file := "../cmd/xfwc/testdata/report/site.xfw"
	for date, want := range map[string][]string{
		"":           nil,
		"2026-11-22": {"Judged as of", "in 23 days", "ends soon", "in 39 days"},
		"2026-12-16": {"Judged as of", "1 day ago", "expired"},
	} {
		page := render(t, input(t, file, date))
		for _, text := range []string{"Judged as of", "in 23 days", "ends soon", "in 39 days", "1 day ago", ">expired<"} {
			wanted := slices.ContainsFunc(want, func(w string) bool { return strings.Contains(text, w) })
			if strings.Contains(page, text) != wanted {
				t.Errorf("as of %q: %q is there: %v", date, text, !wanted)
			}
		}
	}
}

// TestVerdict says what came of a policy.
func TestVerdict(t *testing.T) {
	sound := "policy \"sound\" { }\nserver chat { software prosody 13.0  domain a.example  address 198.51.100.1 }\npoint box { role host of chat  nftables }\n"
	for text, want := range map[string]string{
		sound: "accepted",
		sound + "clients of chat { from any  starttls optional }":             "refused",
		"policy \"x\" { } netwrok a = 1":                                      "refused",
		sound + "network unused = 192.0.2.0/24\nclients of chat { from any }": "warned",
		sound + "waive c2s-plaintext until 2027-01-31 because \"x\"\nclients of chat { starttls optional from any limit connections 5 per source limit connections 500 global limit attempts 5/minute per source limit attempts 50/second global direct-tls port 5223 }": "",
	} {
		v := newView(fromText(text))
		if want != "" && v.Verdict.Class != want {
			t.Errorf("%s is %s, want %s", text, v.Verdict.Class, want)
		}
		if want == "" && (v.Verdict.Class == "refused" || v.waived() == 0) {
			t.Errorf("a waived error refuses: %+v", v.Verdict)
		}
	}
}

// TestHostileText: whatever stands in a policy is shown, and is nothing else.
func TestHostileText(t *testing.T) {
	hostile := `</script><script>alert(1)</script>" onload="x" <!-- ' &amp; ]]> {{.}} javascript:x`
	text := fmt.Sprintf("policy %q { owner %q }\n# %s\u202e\n\x00", hostile, hostile, hostile)
	in := fromText(text)
	in.Findings = append(in.Findings, diag.Finding{
		Code: "value-invalid", Severity: diag.Error, Summary: hostile + "\u202e", Remedy: hostile, Reference: hostile,
		Labels: []diag.Label{{Text: hostile}}, Waived: &diag.Waived{Until: hostile, Because: hostile},
	})
	page := render(t, in)
	check(t, page)
	if strings.Contains(page, "<script") || !strings.Contains(html.UnescapeString(page), "⟨U+202E⟩") {
		t.Error("text is not shown as it is")
	}
}

// crowd is a site with n of everything.
func crowd(n int) string {
	var b strings.Builder
	b.WriteString("policy \"crowd\" { }\nnetwork ops = 10.9.0.0/24\n")
	for i := range n {
		fmt.Fprintf(&b, "point gate-%d { role gateway  nftables  interface eth0 faces internet  interface eth1 faces ops  address 198.51.100.%d }\n", i, i+1)
		fmt.Fprintf(&b, "server s%d { software prosody 13.0  domain s%d.example  address 198.51.100.%d }\npoint host-%d { role host of s%d  nftables }\n", i, i, 100+i, i, i)
		fmt.Fprintf(&b, "clients of s%d { from any }\ncomponent bridge-%d of s%d { port 5347  from 10.0.%d.4 }\n", i, i, i, i)
		fmt.Fprintf(&b, "network net-%d = 10.20.%d.0/24\nallow network net-%d to ssh of host-%d\nnetwork bad-%d = 10.30.%d.0/24\ndeny network bad-%d\n", i, i, i, i, i, i, i)
	}
	b.WriteString("federation of s0 {\n  default deny\n")
	for i := range n {
		fmt.Fprintf(&b, "  peer p%d.example { address 203.0.113.%d }\n", i, i+1)
	}
	b.WriteString("}\n")
	return b.String()
}

// TestPicture: boxes lie within the picture and beside each other, lines end at
// boxes, and a crowd is drawn in groups.
func TestPicture(t *testing.T) {
	inputs := map[string]Input{}
	for _, file := range policies(t) {
		inputs[filepath.Base(filepath.Dir(file))+"/"+filepath.Base(file)] = input(t, file, "")
	}
	for _, n := range []int{1, 3, 4, 10, 13, 40} {
		inputs[fmt.Sprint("crowd of ", n)] = fromText(crowd(n))
	}
	for name, in := range inputs {
		if in.Policy == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			for _, m := range []measure{wide, narrow} {
				s := newSite(in.Policy)
				pic := draw(s, m)
				if len(s.gates) > mostGates || len(s.homes) > mostHomes || len(s.sources) > 4*mostSources+5 {
					t.Errorf("%d sources, %d gateways, %d homes", len(s.sources), len(s.gates), len(s.homes))
				}
				boxes := slices.Concat(pic.Boxes, pic.Walls)
				for i, b := range boxes {
					if b.X < 0 || b.Y < 0 || b.X+b.W > pic.Width+.1 || b.Y+b.H > pic.Height+.1 {
						t.Errorf("%s: %v leaves the picture of %v by %v", m.id, b.Labels[0].Text, pic.Width, pic.Height)
					}
					for _, o := range boxes[:i] {
						if b.X < o.X+o.W-.1 && o.X < b.X+b.W-.1 && b.Y < o.Y+o.H-.1 && o.Y < b.Y+b.H-.1 {
							t.Errorf("%s: %s lies over %s", m.id, b.Labels[0].Text, o.Labels[0].Text)
						}
					}
				}
				if len(pic.Under)+len(pic.Over) != len(s.lines) {
					t.Errorf("%d lines are drawn of %d", len(pic.Under)+len(pic.Over), len(s.lines))
				}
				drawn := slices.Concat(s.sources, s.gates, s.homes)
				for _, l := range s.lines {
					for _, e := range []end{l.from, l.to} {
						if !slices.Contains(drawn, e.place) || e.row != nil && !slices.Contains(e.place.rows, e.row) {
							t.Errorf("a line ends at %s, which is not drawn", e.place.name)
						}
					}
					if !l.there && !l.back || len(l.says) == 0 {
						t.Errorf("a line from %s to %s that says nothing", l.from.place.name, l.to.place.name)
					}
				}
			}
		})
	}
}

// TestSite pins what the picture of the example of an office says.
func TestSite(t *testing.T) {
	s := newSite(input(t, "../examples/office/policy.xfw", "").Policy)
	var b strings.Builder
	for _, l := range s.lines {
		name := func(e end) string {
			if e.row != nil {
				return e.place.name + " [" + e.row.label + "]"
			}
			return e.place.name
		}
		arrow := map[[2]bool]string{{true, false}: "->", {true, true}: "<->", {false, true}: "<-"}[[2]bool{l.there, l.back}]
		var gates []string
		for _, g := range l.gates {
			gates = append(gates, g.name)
		}
		fmt.Fprintf(&b, "%s %s %s: %s by %v\n", name(l.from), arrow, name(l.to), l.sees, gates)
	}
	for _, pl := range s.sources {
		fmt.Fprintf(&b, "%s %s: %s\n", pl.kind, pl.name, pl.behind)
	}
	want := `anyone -> chat [5222 clients]: starttls by [edge]
anyone -> chat [5223 clients]: tls by [edge]
partner.example <-> chat [5269 federation]: starttls by [edge]
supplier.example <-> chat [5269 federation]: starttls by [edge]
campus.example <-> chat [5269 federation]: starttls by [edge]
branch.example <-> chat [5269 federation]: starttls by [edge]
legacy.example <-> chat [5269 federation]: clear by [edge]
irc -> chat [5347 component]: clear by [edge]
anyone -> edge [443 web]: tls by []
edge [443 web] -> chat [5280 web]: clear by []
ops -> chat [5280 admin]: clear by [edge]
ops -> chat [5443 admin]: tls by [edge]
ops -> edge [22 ssh]: tls by []
ops -> chat [22 ssh]: tls by [edge]
network drop: Internet
internet anyone: Internet
peer partner.example: Internet
peer supplier.example: Internet
peer campus.example: Internet
peer branch.example: Internet
peer legacy.example: Internet
component irc: behind svc0 of edge
network ops: behind lan0 of edge
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// FuzzHTML: whatever the policy, its page is a page and nothing else.
func FuzzHTML(f *testing.F) {
	for _, file := range policies(f) {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), "</style><script>", "\u202e'\"")
	}
	f.Add("policy \"</script>\" { owner \"<!--\" }", "<", "javascript:alert(1)")
	f.Fuzz(func(t *testing.T, text, more, name string) {
		in := fromText(text)
		in.Name = cmp.Or(in.Name, name)
		in.Findings = append(in.Findings, diag.Finding{
			Code: "value-invalid", Severity: diag.Warning, Summary: more, Remedy: more, Reference: name,
			Labels: []diag.Label{{Text: name}}, Fix: []diag.Edit{{New: more}},
		}, diag.Finding{Code: "any-check", Severity: diag.Error, Summary: name, Waived: &diag.Waived{Until: more, Because: name}})
		check(t, render(t, in))
	})
}
