package lang

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/participle/v2"
	"github.com/rogpeppe/go-internal/txtar"

	"xfwc/lang/diag"
)

// update rewrites the goldens instead of comparing with them.
var update = os.Getenv("XFWC_UPDATE") != ""

// archiveSource reads the files of an archive.
func archiveSource(a *txtar.Archive) Source {
	return Source{
		Read: func(name string) ([]byte, error) {
			for _, f := range a.Files {
				if f.Name == filepath.ToSlash(name) {
					return f.Data, nil
				}
			}
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		},
		Glob: func(pattern string) ([]string, error) {
			var names []string
			for _, f := range slices.Backward(a.Files) { // not sorted: Load has to
				ok, err := path.Match(filepath.ToSlash(pattern), f.Name)
				if err != nil {
					return nil, err
				}
				if ok {
					names = append(names, f.Name)
				}
			}
			return names, nil
		},
	}
}

// pins writes code, severity and spans of findings, without their wording.
func pins(findings []diag.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s %s %s\n", spanText(f.Span), f.Severity, f.Code)
		for _, l := range f.Labels {
			fmt.Fprintf(&b, "  %s\n", spanText(l.Span))
		}
	}
	return b.String()
}

func spanText(s diag.Span) string {
	return fmt.Sprintf("%s:%d:%d-%d:%d", s.Start.Filename, s.Start.Line, s.Start.Column, s.End.Line, s.End.Column)
}

// outputs are the sections of an archive that tests compare with.
var outputs = []string{"findings", "files", "formatted"}

// TestGolden runs every case of golden/lang: the findings by code, severity and
// span, the files that were read, and the format. The wording of all of them is
// in golden/lang/messages.txt.
func TestGolden(t *testing.T) {
	cases, err := filepath.Glob("../golden/lang/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	var messages bytes.Buffer
	for _, file := range cases {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(archive.Comment, []byte("why: ")) {
				t.Error("the case does not say why it is there")
			}
			files, sources, findings := Load("policy.xfw", archiveSource(archive))
			got := map[string]string{"findings": pins(findings)}
			if len(files) > 1 {
				for _, f := range files {
					got["files"] += f.Name + "\n"
				}
			}
			src := sources["policy.xfw"]
			if _, own := Parse("policy.xfw", src); len(own) == 0 {
				got["formatted"] = string(Format(src))
			}
			for _, f := range files {
				checkParse(t, f.Name, sources[f.Name])
				checkFormat(t, sources[f.Name])
			}
			if len(findings) > 0 {
				fmt.Fprintf(&messages, "== %s\n\n", name)
				diag.RenderText(&messages, findings, sources, false)
				messages.WriteString("\n")
			}
			compareArchive(t, file, archive, got)
		})
	}
	compareFile(t, "../golden/lang/messages.txt", messages.Bytes())
}

// TestFormatKeepsAll puts a comment, and a blank line, at every place of a policy
// that has most of what can be written.
func TestFormatKeepsAll(t *testing.T) {
	archive, err := txtar.ParseFile("../golden/lang/format_terms.txtar")
	if err != nil {
		t.Fatal(err)
	}
	src := archive.Files[0].Data
	for _, tok := range scan("", string(src)) {
		before, after := string(src[:tok.Pos.Offset]), string(src[tok.Pos.Offset:])
		checkFormat(t, []byte(before+" # here\n"+after))
	}
	lines := strings.Split(strings.TrimSuffix(string(Format(src)), "\n"), "\n")
	blank := func(text []byte) int { return strings.Count(string(text), "\n\n") }
	for i := 1; i < len(lines); i++ {
		if lines[i-1] == "" || lines[i] == "" || strings.HasSuffix(lines[i-1], "{") || strings.HasPrefix(strings.TrimSpace(lines[i]), "}") {
			continue // there are no two of them together, and none at the edges of a block
		}
		with := []byte(strings.Join(lines[:i], "\n") + "\n\n" + strings.Join(lines[i:], "\n") + "\n")
		checkFormat(t, with)
		if got := Format(with); blank(got) != blank(with) {
			t.Errorf("a blank line before %q is lost:\n%s", lines[i], got)
		}
	}
}

// compareArchive compares the output sections of an archive with got, where a
// missing section is an empty one.
func compareArchive(t *testing.T, file string, archive *txtar.Archive, got map[string]string) {
	t.Helper()
	want := map[string]string{}
	inputs := slices.DeleteFunc(slices.Clone(archive.Files), func(f txtar.File) bool {
		if slices.Contains(outputs, f.Name) {
			want[f.Name] = string(f.Data)
			return true
		}
		return false
	})
	if update {
		for _, name := range outputs {
			if got[name] != "" {
				inputs = append(inputs, txtar.File{Name: name, Data: []byte(got[name])})
			}
		}
		archive.Files = inputs
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, name := range outputs {
		if got[name] != want[name] {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got[name], want[name])
		}
	}
}

func compareFile(t *testing.T, file string, got []byte) {
	t.Helper()
	if update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; got:\n%s", file, got)
	}
}

// TestExamples reads every example as it is shipped: without findings, and
// formatted already.
func TestExamples(t *testing.T) {
	for _, file := range exampleFiles(t) {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, findings := Parse(file, src)
		for _, f := range findings {
			t.Errorf("%s: %s: %s", spanText(f.Span), f.Code, f.Summary)
		}
		if got := Format(src); !bytes.Equal(got, src) {
			t.Errorf("%s is not formatted; want:\n%s", file, got)
		}
		checkParse(t, file, src)
		checkFormat(t, src)
	}
}

func exampleFiles(tb testing.TB) []string {
	tb.Helper()
	files, err := filepath.Glob("../examples/*/*.xfw")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no examples: %v", err)
	}
	return files
}

// checkParse asserts what holds for every input.
func checkParse(t *testing.T, name string, src []byte) {
	t.Helper()
	var b strings.Builder
	for _, tok := range scan(name, string(src)) {
		b.WriteString(tok.Value)
	}
	if b.String() != string(src) {
		t.Fatal("the tokens are not the source")
	}
	started := time.Now()
	file, findings := Parse(name, src)
	for tries := 1; len(src) < 4096 && time.Since(started) > time.Second; tries++ {
		if tries == 3 { // a busy machine stalls once, and seldom three times
			t.Fatalf("%d bytes took more than a second three times", len(src))
		}
		started = time.Now()
		Parse(name, src)
	}
	starts := []int{0} // of the lines
	for i, c := range src {
		if c == '\n' {
			starts = append(starts, i+1)
		}
	}
	checkSpan := func(what string, s diag.Span) {
		t.Helper()
		if s.Start.Filename != name || !s.Start.IsValid() || !s.End.IsValid() || s.End.Offset < s.Start.Offset || s.End.Offset > len(src) {
			t.Errorf("%s: bad span %+v in %d bytes", what, s, len(src))
			return
		}
		for _, p := range []diag.Pos{s.Start, s.End} {
			offset := starts[p.Line-1] + p.Column - 1
			if offset != p.Offset {
				t.Errorf("%s: line %d column %d is offset %d, not %d", what, p.Line, p.Column, offset, p.Offset)
			}
		}
	}
	for _, f := range findings {
		checkSpan(f.Code, f.Span)
		for _, l := range f.Labels {
			checkSpan(f.Code+" label", l.Span)
		}
		if f.Summary == "" || f.Remedy == "" {
			t.Errorf("%s at %s lacks a summary or a remedy", f.Code, spanText(f.Span))
		}
	}
	var parents []diag.Span
	Walk(file, func(n Node) bool {
		checkSpan(fmt.Sprintf("%T", n), n.Span())
		switch n := n.(type) {
		case *Str:
			_ = n.Value()
		case *Subject:
			_ = n.String()
		case *Decl:
			parents = append(parents, n.Span())
		}
		return true
	})
	for i := 1; i < len(parents); i++ {
		if parents[i].Start.Offset < parents[i-1].End.Offset {
			t.Errorf("statements overlap: %+v and %+v", parents[i-1], parents[i])
		}
	}
}

// checkFormat asserts that formatting changes whitespace alone.
func checkFormat(t *testing.T, src []byte) {
	t.Helper()
	file, findings := Parse("", src)
	got := Format(src)
	if len(findings) > 0 {
		if !bytes.Equal(got, src) {
			t.Fatalf("text with findings was changed: %q to %q", src, got)
		}
		return
	}
	if again := Format(got); !bytes.Equal(again, got) {
		t.Fatalf("not idempotent:\n%s\nthen:\n%s", got, again)
	}
	if a, b := visible(src), visible(got); a != b {
		t.Fatalf("tokens changed:\n%s\nto:\n%s", a, b)
	}
	formatted, findings := Parse("", got)
	if len(findings) > 0 {
		t.Fatalf("formatted text has findings: %s\n%s", pins(findings), got)
	}
	if a, b := shape(file), shape(formatted); a != b {
		t.Fatalf("tree changed:\n%s\nto:\n%s", a, b)
	}
	for i, line := range strings.Split(string(got), "\n") {
		if strings.TrimRight(line, " \t\r") != line {
			t.Errorf("line %d ends with whitespace: %q", i+1, line)
		}
	}
}

// visible lists the tokens that are not whitespace.
func visible(src []byte) string {
	var b strings.Builder
	for _, tok := range scan("", string(src)) {
		if tok.Type != tokSpace && tok.Type != tokNewline {
			fmt.Fprintf(&b, "%d %q\n", tok.Type, tok.Value)
		}
	}
	return b.String()
}

// shape writes a tree without its places: a line for each node, with the name
// of its field, its text and what is below it.
func shape(n Node) string {
	var b strings.Builder
	var write func(v reflect.Value, name string, depth int)
	write = func(v reflect.Value, name string, depth int) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				write(v.Elem(), name, depth)
			}
		case reflect.Slice:
			for i := range v.Len() {
				write(v.Index(i), name, depth)
			}
		case reflect.String, reflect.Bool:
			if !v.IsZero() {
				fmt.Fprintf(&b, "%s%s: %v\n", strings.Repeat("  ", depth), name, v)
			}
		case reflect.Struct:
			if w, ok := v.Interface().(Word); ok {
				fmt.Fprintf(&b, "%s%s: %s\n", strings.Repeat("  ", depth), name, w.Text)
				return
			}
			if s, ok := v.Interface().(Str); ok {
				fmt.Fprintf(&b, "%s%s: %s\n", strings.Repeat("  ", depth), name, s.Raw)
				return
			}
			fmt.Fprintf(&b, "%s%s\n", strings.Repeat("  ", depth), name)
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() {
					write(v.Field(i), f.Name, depth+1)
				}
			}
		}
	}
	write(reflect.ValueOf(n), "File", 0)
	return b.String()
}

// TestTree pins what the tree holds for one statement of every kind.
func TestTree(t *testing.T) {
	var b strings.Builder
	for i, way := range everyForm() {
		file, findings := Parse("p", []byte(way))
		if len(findings) > 0 {
			t.Errorf("%s: %s: %s", way, spanText(findings[0].Span), findings[0].Summary)
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "# %s\n%s", way, shape(file))
	}
	compareFile(t, "testdata/tree.txt", []byte(b.String()))
}

// everyForm writes each form of the language as a file.
func everyForm() []string {
	top := sections[reflect.TypeFor[*Decl]()]
	var all []string
	var add func(s *section, before, after string)
	add = func(s *section, before, after string) {
		for _, f := range s.forms {
			for _, way := range f.looks {
				head, _, isBlock := strings.Cut(way, " { … }")
				if isBlock {
					all = append(all, before+head+" { }"+after)
					add(sections[f.block], before+head+" { ", " }"+after)
					continue
				}
				all = append(all, before+way+after)
			}
		}
	}
	add(top, "", "")
	return all
}

// TestFormsMatchGrammar holds the table of forms and the grammar together, both
// ways: every form parses (TestTree), and every literal word of the grammar is
// a keyword of the section or a known later part of a statement.
func TestFormsMatchGrammar(t *testing.T) {
	later := append([]string{"of", "feed", "port", "network", ",", "=", "->", "{", "}", "~", "auth", "prefix", "default", "words", "domains"}, clauses...)
	literal := regexp.MustCompile(`"([^"]+)"`)
	for typ, s := range sections {
		for _, production := range strings.Split(s.syntax(), "\n") {
			if strings.HasPrefix(production, "Subject ") {
				continue // its words are kinds of statements, and what may not be a name
			}
			for _, m := range literal.FindAllStringSubmatch(production, -1) {
				if s.form(m[1]) == nil && !slices.Contains(later, m[1]) {
					t.Errorf("%v: the grammar has %q, the forms do not", typ, m[1])
				}
			}
		}
		for _, f := range s.forms {
			if f.keyword != strings.Fields(f.looks[0])[0] {
				t.Errorf("%v: the form of %s shows another statement: %s", typ, f.keyword, f.looks[0])
			}
		}
	}
}

func TestEBNF(t *testing.T) {
	compareFile(t, "testdata/grammar.ebnf", []byte(EBNF()))
}

// TestBadInput feeds what is no policy: few findings, at the right place, fast.
func TestBadInput(t *testing.T) {
	garbage := make([]byte, 64<<10)
	for i := range garbage {
		garbage[i] = byte(i*i>>3 ^ i*7)
	}
	tests := []struct {
		name  string
		src   string
		want  string // the first findings
		atMax int    // findings at most; 0: as many as want has
	}{
		{"nothing", "", "", 0},
		{"nul", "server \x00\x00 chat { }", "p:1:8-1:9 error syntax-character\n", 0},
		{"nul far down", "x\n" + strings.Repeat("y\n", 1<<10) + "# \x00", "p:1026:3-1026:4 error syntax-character\n", 0},
		{"UTF-16", "\xff\xfep\x00o\x00l\x00", "p:1:1-1:3 error syntax-character\n", 0},
		{"20 unreadable places", strings.Repeat("# \xff\n", 20), "p:1:3-1:4 error syntax-character\n", 20},
		{"21 unreadable places", "x\n" + strings.Repeat("# \x01\xff\n", 21), "p:2:3-2:5 error syntax-character\n", 0},
		{"many curly quotes", strings.Repeat("policy “x” { }\n", 15), "p:1:8-1:11 error syntax-character\np:1:12-1:15 error syntax-character\n", 30},
		{"not UTF-8", "server chat { } \xff\xfe", "p:1:17-1:19 error syntax-character\n", 0},
		{"byte order mark", "\ufeffserver chat { }", "p:1:1-1:4 error syntax-character\n", 0},
		{"control character in a string", "policy \"a\x01b\" { }", "p:1:10-1:11 error syntax-string\n", 0},
		{"tab in a string", "policy \"a\tb\" { }", "p:1:10-1:11 error syntax-string\n", 0},
		{"bad bytes in a comment", "# \xff\n", "p:1:3-1:4 error syntax-character\n", 0},
		{"quote at the end", `policy "`, "p:1:8-1:9 error syntax-string\n", 0},
		{"escaped quote at the end", `policy "\`, "p:1:8-1:10 error syntax-string\n", 0},
		{"brace at the end", "server chat {", "p:1:13-1:14 error syntax-block\n  p:1:14-1:14\n", 0},
		{"keyword at the end", "server", "p:1:1-1:7 error syntax-statement\n", 0},
		{"binary", string(garbage), "", 1},
		{"65 levels", strings.Repeat("{", 65) + strings.Repeat("}", 65), "p:1:1-1:2 error syntax-block\np:1:65-1:66 error syntax-size\n", 0},
		{"64 levels", strings.Repeat("{", 64) + strings.Repeat("}", 64), "p:1:1-1:2 error syntax-block\n", 0},
		{"only openers", strings.Repeat("{", 1<<17), "p:1:1-1:2 error syntax-block\n", 2 * maxDepth},
		{"only closers", strings.Repeat("}", 1<<17), "p:1:1-1:2 error syntax-block\n", maxFindings + 1},
		{"blocks in blocks", strings.Repeat("server x {\n", 1<<13), "p:1:10-1:11 error syntax-block\n", maxFindings + 1},
		{"many faults", strings.Repeat("x\n", 1<<16), "p:1:1-1:2 error syntax-keyword\n", maxFindings + 1},
		{"commas", "network a = " + strings.Repeat("a,", 1<<16), "", 1},
		{"one long word", strings.Repeat("x", 1<<17), "p:1:1-1:131073 error syntax-keyword\n", 0},
		{"10 MB", strings.Repeat("server chat { }\n", 10<<20/16), "p:1:1-1:1 error syntax-size\n", 0},
	}
	if maxSize/2 > participle.MaxIterations {
		t.Errorf("a file of %d bytes may hold more values than the %d that the library counts to", maxSize, participle.MaxIterations)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			started := time.Now()
			_, findings := Parse("p", []byte(test.src))
			if d := time.Since(started); d > 20*time.Second {
				t.Errorf("took %v", d)
			}
			got := pins(findings)
			if test.atMax == 0 && got != test.want || !strings.HasPrefix(got, test.want) {
				t.Errorf("got:\n%.400s\nwant:\n%s", got, test.want)
			}
			if test.atMax > 0 && len(findings) > test.atMax {
				t.Errorf("%d findings, want at most %d", len(findings), test.atMax)
			}
			if len(test.src) < maxSize/8 {
				checkParse(t, "p", []byte(test.src))
				checkFormat(t, []byte(test.src))
			}
		})
	}
}

// TestParseIsConcurrent parses in several goroutines for the race detector.
func TestParseIsConcurrent(t *testing.T) {
	src := []byte("federation of chat { peer a.example { address 192.0.2.1 } }\n")
	done := make(chan string)
	for range 4 {
		go func() {
			file, _ := Parse("p", src)
			done <- shape(file)
		}()
	}
	first := <-done
	for range 3 {
		if got := <-done; got != first {
			t.Errorf("trees differ:\n%s\n%s", got, first)
		}
	}
}

// TestLoadOS reads real files: a missing root, symbolic links that make a chain
// without end, a directory in place of a file.
func TestLoadOS(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	files, _, findings := Load(filepath.Join(dir, "none.xfw"), OS())
	if len(files) != 0 || len(findings) != 1 || findings[0].Code != "syntax-include" || !findings[0].Span.IsValid() {
		t.Errorf("missing root: %d files, %+v", len(files), findings)
	}
	if err := os.Symlink(".", filepath.Join(dir, "again")); err != nil {
		t.Fatal(err)
	}
	root := write("chain.xfw", `include "again/chain.xfw"`)
	_, _, findings = Load(root, OS())
	if len(findings) != 1 || findings[0].Code != "syntax-include" {
		t.Errorf("chain through a link: %s", pins(findings))
	}
	if err := os.Mkdir(filepath.Join(dir, "folder.xfw"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, _, findings = Load(write("folders.xfw", `include "folder.xfw"`), OS())
	if len(findings) != 1 || findings[0].Code != "syntax-include" {
		t.Errorf("folder: %s", pins(findings))
	}
	big := write("big.xfw", strings.Repeat("#\n", maxSize))
	_, sources, findings := Load(big, OS())
	if len(findings) != 1 || findings[0].Code != "syntax-size" || !strings.Contains(findings[0].Summary, "larger than 2,000,000 bytes") || len(sources[big]) > maxSize+1 {
		t.Errorf("big file: %s, %d bytes read", pins(findings), len(sources[big]))
	}
}

// seeds are all inputs of the goldens and the examples.
func seeds(tb testing.TB) [][]byte {
	tb.Helper()
	var out [][]byte
	cases, err := filepath.Glob("../golden/lang/*.txtar")
	if err != nil {
		tb.Fatal(err)
	}
	for _, file := range cases {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		for _, f := range archive.Files {
			if !slices.Contains(outputs, f.Name) {
				out = append(out, f.Data)
			}
		}
	}
	for _, file := range exampleFiles(tb) {
		src, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, src)
	}
	for _, way := range everyForm() {
		out = append(out, []byte(way))
	}
	return out
}

func FuzzParse(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src []byte) { checkParse(t, "p", src) })
}

func FuzzFormat(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src []byte) { checkFormat(t, src) })
}

// TestOneFaultOneFinding makes one mistake after the other in an example that
// uses most of the language, and counts what is reported: a slip must not drown
// its author in findings, and the finding has to be where the slip is.
func TestOneFaultOneFinding(t *testing.T) {
	const file = "../examples/office/policy.xfw"
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, tok := range scan("", string(src)) {
		if !significant(tok) {
			continue
		}
		before, after := string(src[:tok.Pos.Offset]), string(src[tok.Pos.Offset+len(tok.Value):])
		slips := []string{tok.Value + " bogus", `"s" ` + tok.Value, tok.Value + ",", `"` + tok.Value, tok.Value + ";"}
		slip := slips[i%len(slips)]
		if isBrace(tok, "{") || isBrace(tok, "}") {
			slip = tok.Value + tok.Value
		}
		for _, fault := range []string{"", slip} {
			_, findings := Parse("p", []byte(before+fault+after))
			if len(findings) > 1 {
				t.Errorf("%s:%d: %q in place of %q gives %d findings:\n%s", file, tok.Pos.Line, fault, tok.Value, len(findings), pins(findings))
			}
			for _, f := range findings {
				near := f.Span.Start.Line >= tok.Pos.Line-1 && f.Span.Start.Line <= tok.Pos.Line+1
				if !near && !isBrace(tok, "}") {
					t.Errorf("%s:%d: %q in place of %q is reported in line %d", file, tok.Pos.Line, fault, tok.Value, f.Span.Start.Line)
				}
			}
		}
	}
}
