package compiler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"xfwc/lang"
	"xfwc/lang/diag"
)

// Waive sets the findings aside that a waive statement of the files covers: by
// code and, where the statement names a subject, if the finding or one of its
// labels lies within the subject's statement. A finding that is set aside stays
// in the list, with Waived set.
//
// date is today as YYYY-MM-DD: a waiver whose date has passed sets nothing
// aside. "" judges no dates. Waive is for findings that come after a compile,
// such as those of backends: Compile has judged the statements themselves.
func Waive(files []*lang.File, found []diag.Finding, date string) []diag.Finding {
	out := slices.Clone(found)
	decls := allDecls(files)
	subjects := subjectsOf(decls)
	for _, d := range decls {
		if d == nil || d.Waive == nil {
			continue
		}
		if w, problems := readWaiver(subjects, d.Waive); len(problems) == 0 && !w.expired(date) {
			w.setAside(out)
		}
	}
	return out
}

// waive is Waive for the compiler's own findings. It also reports waivers that
// are wrong, that have expired and, if every check has run, that are of no use.
func waive(files []*lang.File, found []diag.Finding, date string, complete bool) []diag.Finding {
	out := slices.Clone(found)
	var about []diag.Finding
	decls := allDecls(files)
	subjects := subjectsOf(decls)
	for _, d := range decls {
		if d == nil || d.Waive == nil {
			continue
		}
		w, problems := readWaiver(subjects, d.Waive)
		switch {
		case len(problems) > 0:
			about = append(about, problems...)
		case w.expired(date):
			about = append(about, diag.New("waive-expired", d.Waive.Until.Span(), fmt.Sprintf("the waiver of %s ended on %s", w.code, w.until)))
		case w.setAside(out) == 0 && complete && !strings.HasPrefix(w.code, "ledger-"):
			// Backends report to the ledger after the compile.
			f := diag.New("waive-unused", d.Waive.Code.Span(), fmt.Sprintf("nothing is found that the waiver of %s sets aside", w.code))
			if file := fileOf(files, d); file != nil {
				f.Fix = file.Remove(d)
			}
			about = append(about, f)
		}
	}
	return append(out, about...)
}

// fileOf is the file that a statement is in.
func fileOf(files []*lang.File, n lang.Node) *lang.File {
	for _, f := range files {
		if f != nil && f.Name == n.Span().Start.Filename {
			return f
		}
	}
	return nil
}

func allDecls(files []*lang.File) []*lang.Decl {
	var out []*lang.Decl
	for _, f := range files {
		if f != nil {
			out = append(out, f.Decls...)
		}
	}
	return out
}

// waiver is a waive statement that was read.
type waiver struct {
	at             diag.Span
	code           string
	subjects       []diag.Span // the statements that it is about
	everywhere     bool
	until, because string
}

// readWaiver reads a waive statement, or says what is wrong with it.
func readWaiver(all subjects, d *lang.WaiveDecl) (waiver, []diag.Finding) {
	w := waiver{at: d.Span(), code: d.Code.Text, everywhere: d.On == nil, until: d.Until.Text, because: d.Because.Value()}
	var problems []diag.Finding
	report := func(code string, at diag.Span, summary, remedy string) *diag.Finding {
		f := diag.New(code, at, summary)
		f.Remedy = remedy
		problems = append(problems, f)
		return &problems[len(problems)-1]
	}
	if c, ok := diag.CodeOf(w.code); ok {
		if c.Severity == diag.Error || strings.HasPrefix(w.code, "waive-") {
			report("value-invalid", d.Code.Span(), fmt.Sprintf("%s cannot be set aside", w.code), "Mend what it reports: without that, the policy means nothing.")
		}
	} else if codes := checkCodes(); !slices.Contains(codes, w.code) {
		report("name-unknown", d.Code.Span(), fmt.Sprintf("no check is named %s", quoted(w.code)), suggest(w.code, codes)+"xfwc rules lists every check.").Fix =
			respell(d.Code, diag.MeantName(w.code, codes))
	}
	if !validDate(w.until) {
		report("value-invalid", d.Until.Span(), fmt.Sprintf("%s is no date", quoted(w.until)), "Write the last day of the waiver as 2027-01-31.")
	}
	if strings.TrimSpace(w.because) == "" {
		report("value-invalid", d.Because.Span(), "the waiver gives no reason", "Write why the finding may stay, and where that was agreed.")
	}
	if d.On != nil {
		var typed *lang.Word
		var names []string
		if w.subjects, typed, names = subjectSpans(all, d.On); len(w.subjects) == 0 {
			report("name-unknown", d.On.Span(), fmt.Sprintf("the policy has no %s", d.On), suggest(typed.Text, names)+"Name a statement of the policy.").Fix =
				respell(typed, diag.MeantName(typed.Text, names))
		}
	}
	return w, problems
}

// Waiver is a waive statement as a reader of the policy has to know it.
type Waiver struct {
	Span           diag.Span
	Code           string
	On             string // its subject; "" where it is about the whole policy
	Until, Because string
}

// Waivers lists the waive statements of a policy, in reading order; those that
// are wrong in themselves are findings, and left out.
func Waivers(files []*lang.File) []Waiver {
	var out []Waiver
	decls := allDecls(files)
	subjects := subjectsOf(decls)
	for _, d := range decls {
		if d == nil || d.Waive == nil {
			continue
		}
		if w, problems := readWaiver(subjects, d.Waive); len(problems) == 0 {
			on := ""
			if d.Waive.On != nil {
				on = d.Waive.On.String()
			}
			out = append(out, Waiver{w.at, w.code, on, w.until, w.because})
		}
	}
	return out
}

// checkCodes are the codes of all best-practice checks.
var checkCodes = sync.OnceValue(func() []string {
	var out []string
	for _, c := range Checks() {
		out = append(out, c.Code)
	}
	return out
})

// expired reports whether the last day of the waiver lies before date.
func (w waiver) expired(date string) bool {
	return date != "" && w.until < date // both are YYYY-MM-DD
}

// setAside marks the findings that the waiver covers, and counts them.
func (w waiver) setAside(found []diag.Finding) int {
	n := 0
	for i := range found {
		f := &found[i]
		if f.Code == w.code && f.Waived == nil && w.holds(f) {
			f.Waived = &diag.Waived{Span: w.at, Until: w.until, Because: w.because}
			n++
		}
	}
	return n
}

// holds reports whether the finding is about one of the waiver's subjects.
func (w waiver) holds(f *diag.Finding) bool {
	if w.everywhere {
		return true
	}
	for _, subject := range w.subjects {
		if spanHolds(subject, f.Span) {
			return true
		}
		for _, l := range f.Labels {
			if spanHolds(subject, l.Span) {
				return true
			}
		}
	}
	return false
}

// spanHolds reports whether inner starts within outer.
func spanHolds(outer, inner diag.Span) bool {
	return outer.IsValid() && inner.IsValid() && outer.Start.Filename == inner.Start.Filename &&
		outer.Start.Offset <= inner.Start.Offset && inner.Start.Offset < max(outer.End.Offset, outer.Start.Offset+1)
}

// subjectSpans finds the statements that a subject means. Where it means none,
// typed is the word that is wrong, and names are what could stand there.
func subjectSpans(all subjects, meant *lang.Subject) (spans []diag.Span, typed *lang.Word, names []string) {
	var servers []string
	same := func(want, have *lang.Word) bool {
		return want == nil || have != nil && strings.EqualFold(want.Text, have.Text)
	}
	for _, s := range all[meant.Kind] {
		sameName, sameOf := same(meant.Name, s.name), same(meant.Of, s.of)
		switch {
		case sameName && sameOf:
			spans = append(spans, s.at)
		case sameName && s.of != nil:
			servers = append(servers, s.of.Text)
		case sameOf && s.name != nil:
			names = append(names, s.name.Text)
		}
	}
	// Where another of that name exists, it is the server that is wrong.
	typed = cmp.Or(meant.Name, meant.Of, &lang.Word{})
	if meant.Of != nil && (meant.Name == nil || len(servers) > 0) {
		typed, names = meant.Of, servers
	}
	slices.Sort(names)
	return spans, typed, slices.Compact(names)
}

// SubjectAt names the innermost statement around a place as a waiver would; ""
// where no statement there can be named.
func SubjectAt(files []*lang.File, at diag.Span) string {
	var words []string
	var innermost diag.Span
	for kind, all := range subjectsOf(allDecls(files)) {
		for _, s := range all {
			if !spanHolds(s.at, at) || s.at.Start.Offset < innermost.Start.Offset || s.name != nil && strings.ContainsAny(s.name.Text, " \"\\") {
				continue // elsewhere, around another one, or a test whose name is no word
			}
			innermost, words = s.at, []string{kind}
			if s.name != nil {
				words = append(words, s.name.Text)
			}
			if s.of != nil {
				words = append(words, "of", s.of.Text)
			}
		}
	}
	return strings.Join(words, " ")
}

// subjects are the statements that a waiver can name, by what they are.
type subjects map[string][]subject

// subject is the name of a statement, the server that it is about, and where it
// is.
type subject struct {
	name, of *lang.Word
	at       diag.Span
}

func subjectsOf(decls []*lang.Decl) subjects {
	all := subjects{}
	f := func(kind string, name, of *lang.Word, at diag.Span) {
		all[kind] = append(all[kind], subject{name, of, at})
	}
	for _, d := range decls {
		switch {
		case d == nil:
		case d.Policy != nil:
			f("policy", nil, nil, d.Policy.Span())
		case d.Network != nil:
			f("network", d.Network.Name, nil, d.Network.Span())
		case d.Zone != nil:
			f("zone", d.Zone.Name, nil, d.Zone.Span())
		case d.Domains != nil:
			f("domains", d.Domains.Name, nil, d.Domains.Span())
		case d.Words != nil:
			f("words", d.Words.Name, nil, d.Words.Span())
		case d.Pattern != nil:
			f("pattern", d.Pattern.Name, nil, d.Pattern.Span())
		case d.Window != nil:
			f("window", d.Window.Name, nil, d.Window.Span())
		case d.Server != nil:
			f("server", d.Server.Name, nil, d.Server.Span())
		case d.Point != nil:
			f("point", d.Point.Name, nil, d.Point.Span())
		case d.Clients != nil:
			f("clients", nil, d.Clients.Server, d.Clients.Span())
		case d.Federation != nil:
			f("federation", nil, d.Federation.Server, d.Federation.Span())
			for _, i := range d.Federation.Body.Items {
				if i.Peer != nil {
					f("peer", i.Peer.Domain, d.Federation.Server, i.Peer.Span())
				}
			}
		case d.Component != nil:
			f("component", d.Component.Name, d.Component.Server, d.Component.Span())
		case d.Web != nil:
			f("web", nil, d.Web.Server, d.Web.Span())
		case d.Anonymous != nil:
			f("anonymous", nil, d.Anonymous.Server, d.Anonymous.Span())
		case d.Media != nil:
			f("media", nil, d.Media.Server, d.Media.Span())
		case d.Admin != nil:
			f("admin", nil, d.Admin.Server, d.Admin.Span())
		case d.Cluster != nil:
			f("cluster", nil, d.Cluster.Server, d.Cluster.Span())
		case d.Egress != nil:
			f("egress", nil, d.Egress.Server, d.Egress.Span())
		case d.Serverless != nil:
			f("serverless", nil, nil, d.Serverless.Span())
		case d.Content != nil:
			f("content", d.Content.Name, nil, d.Content.Span())
		case d.Test != nil:
			f("test", &lang.Word{Text: d.Test.Name.Value()}, nil, d.Test.Span())
		}
	}
	return all
}
