package diag

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schema reads a JSON schema. A closed one also refuses fields that it does not
// name, so that every field of an output is documented.
func schema(tb testing.TB, file string, closed bool) *jsonschema.Schema {
	tb.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		tb.Fatal(err)
	}
	if closed {
		shut(tree)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(file, tree); err != nil {
		tb.Fatal(err)
	}
	s, err := c.Compile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// shut forbids what a schema does not name.
func shut(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["properties"].(map[string]any); ok && v["additionalProperties"] == nil {
			v["additionalProperties"] = false
		}
		for _, field := range v {
			shut(field)
		}
	case []any:
		for _, item := range v {
			shut(item)
		}
	}
}

// holds validates an output.
func holds(tb testing.TB, s *jsonschema.Schema, output []byte) {
	tb.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(output))
	if err != nil {
		tb.Fatalf("no JSON: %v\n%s", err, output)
	}
	if err := s.Validate(v); err != nil {
		tb.Errorf("%v\n%s", err, output)
	}
}

// TestSchemas holds the reports to their schemas, and the schemas to refusing
// what is none.
func TestSchemas(t *testing.T) {
	own := schema(t, "../../docs/schema/findings.schema.json", true)
	standard := schema(t, "testdata/sarif-2.1.0.schema.json", false)
	for _, fs := range [][]Finding{nil, findingsForTest()} {
		var b bytes.Buffer
		if err := RenderJSON(&b, fs); err != nil {
			t.Fatal(err)
		}
		holds(t, own, b.Bytes())
		b.Reset()
		if err := RenderSARIF(&b, fs, sourcesForTest()); err != nil {
			t.Fatal(err)
		}
		holds(t, standard, b.Bytes())
	}
	for _, bad := range []string{`{}`, `{"version": 2, "counts": {"error": 0, "warning": 0, "info": 0, "waived": 0}, "findings": []}`} {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
		if err != nil {
			t.Fatal(err)
		}
		if own.Validate(v) == nil || standard.Validate(v) == nil {
			t.Errorf("a schema takes %s", bad)
		}
	}
}

// fuzzed makes findings of whatever comes: one with every part, and one that is
// waived. Lines and columns are what they are in the source.
func fuzzed(source, text, more string, from, to int) ([]Finding, map[string][]byte) {
	at := func(offset int) Pos {
		offset = min(max(offset, 0), len(source))
		before := source[:offset]
		return Pos{more, offset, strings.Count(before, "\n") + 1, offset - strings.LastIndex(before, "\n")}
	}
	span := Span{at(from), at(to)}
	f := Finding{
		Code: "value-invalid", Severity: Error, Span: span, Summary: text, Remedy: more, Reference: text,
		Labels: []Label{{span, more}, {Span{}, text}, {Span{Start: at(to)}, text}},
	}
	if from <= to {
		f.Fix = []Edit{{span, more}}
	}
	w := Finding{Code: "any-check", Severity: Info, Summary: more, Waived: &Waived{span, text, more}}
	return []Finding{f, w}, map[string][]byte{more: []byte(source)}
}

func addSeeds(f *testing.F) {
	f.Add(policySource, "lax is no profile", "policy.xfw", 30, 33)
	f.Add("a\nb\r\nc", "]]> <x> & \" ' %25 ::error::", "multi\nline, a:b.xfw", 2, 1)
	f.Add("\xff\u2028\u202e漢", "\xff\x00\x1b[2J\ufffe", "\xc3", 1, 9)
	f.Add("", "", "", 0, 0)
}

// FuzzJSON: whatever findings hold, the report is of the schema.
func FuzzJSON(f *testing.F) {
	addSeeds(f)
	own := schema(f, "../../docs/schema/findings.schema.json", true)
	f.Fuzz(func(t *testing.T, source, text, more string, from, to int) {
		if text == "" || more == "" {
			return // every finding has a summary
		}
		fs, _ := fuzzed(source, text, more, from, to)
		var b bytes.Buffer
		if err := RenderJSON(&b, fs); err != nil {
			t.Fatal(err)
		}
		holds(t, own, b.Bytes())
	})
}

// FuzzSARIF: whatever findings hold, the report is of the standard's schema, and
// its columns lie in the text.
func FuzzSARIF(f *testing.F) {
	addSeeds(f)
	standard := schema(f, "testdata/sarif-2.1.0.schema.json", false)
	f.Fuzz(func(t *testing.T, source, text, more string, from, to int) {
		fs, sources := fuzzed(source, text, more, from, to)
		var b bytes.Buffer
		if err := RenderSARIF(&b, fs, sources); err != nil {
			t.Fatal(err)
		}
		holds(t, standard, b.Bytes())
		var report struct {
			Runs []struct {
				Results []struct {
					Locations []struct {
						PhysicalLocation struct {
							Region struct{ StartLine, StartColumn, ByteOffset int }
						}
					}
				}
			}
		}
		if err := json.Unmarshal(b.Bytes(), &report); err != nil {
			t.Fatal(err)
		}
		for _, r := range report.Runs[0].Results {
			for _, l := range r.Locations {
				g := l.PhysicalLocation.Region
				before := source[:g.ByteOffset]
				if line := strings.Count(before, "\n") + 1; g.StartLine != line {
					t.Errorf("byte %d is on line %d, not %d", g.ByteOffset, line, g.StartLine)
				}
				head := before[strings.LastIndex(before, "\n")+1:]
				if column := utf8.RuneCountInString(head) + 1; g.StartColumn != column && !strings.HasSuffix(head, "\r") {
					t.Errorf("byte %d is in column %d, not %d", g.ByteOffset, column, g.StartColumn)
				}
			}
		}
	})
}

// FuzzJUnit: whatever findings hold, the report is XML with one case for each.
func FuzzJUnit(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, source, text, more string, from, to int) {
		fs, _ := fuzzed(source, text, more, from, to)
		var b bytes.Buffer
		if err := RenderJUnit(&b, fs); err != nil {
			t.Fatal(err)
		}
		var suite junitSuite
		dec := xml.NewDecoder(&b)
		if err := dec.Decode(&suite); err != nil {
			t.Fatal(err)
		}
		if _, err := dec.Token(); err != io.EOF && err != nil {
			t.Fatal(err)
		}
		if suite.Tests != 2 || suite.Failures != 1 || suite.Skipped != 1 || len(suite.Cases) != 2 {
			t.Errorf("%+v", suite)
		}
	})
}

// FuzzGitHub: whatever findings hold, each is one workflow command on a line of
// its own, and none is another command.
func FuzzGitHub(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, source, text, more string, from, to int) {
		fs, _ := fuzzed(source, text, more, from, to)
		var b bytes.Buffer
		if err := RenderGitHub(&b, fs); err != nil {
			t.Fatal(err)
		}
		// A runner ends a line at \n, and at \r as well.
		lines := strings.FieldsFunc(b.String(), func(r rune) bool { return r == '\n' || r == '\r' })
		if len(lines) != 2 {
			t.Fatalf("%d lines: %q", len(lines), lines)
		}
		for _, l := range lines {
			command, properties, ok := strings.Cut(strings.TrimPrefix(l, "::"), " ")
			properties, _, closed := strings.Cut(properties, "::")
			if !ok || !closed || !slices.Contains([]string{"error", "notice"}, command) {
				t.Fatalf("no workflow command: %q", l)
			}
			for _, p := range strings.Split(properties, ",") {
				if key, _, ok := strings.Cut(p, "="); !ok || !slices.Contains([]string{"file", "line", "endLine", "col", "endColumn", "title"}, key) {
					t.Errorf("property %q of %q", p, l)
				}
			}
		}
	})
}
