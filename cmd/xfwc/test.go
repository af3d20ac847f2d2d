package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"xfwc/compiler"
	"xfwc/lang/diag"
)

// newTest builds `xfwc test`.
func newTest(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test POLICY",
		Short: "Run the policy's own tests on the model, or as real packets with --kernel",
		Long: `test judges every line of the policy's test blocks. On the model a line about
"any" is judged for every source that the policy distinguishes, not for a
sample. With --kernel the artefacts are also loaded into throw-away network
namespaces and real packets are sent.

It exits with 1 when a line does not hold, and when the policy has an error of
another kind, such as by best practice, that no waiver covers.`,
		Args: onePolicy,
	}
	kernel := cmd.Flags().Bool("kernel", false, "also send real packets, in throw-away network namespaces")
	format := formatFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		src, err := s.loadToAsk(args[0])
		if err != nil {
			return err
		}
		if *kernel {
			return s.runTry(src, format.value, true)
		}
		lines := src.testLines(compiler.RunTests(src.policy), compiler.RunCases(src.policy))
		if format.value == "json" {
			err = writeJSON(s.out, map[string]any{"policy": src.policy.Name, "tests": lines})
		} else {
			err = printTests(s.out, lines)
		}
		if err != nil {
			return err
		}
		return s.soundToo(src, s.closeTests(lines, "the model"))
	}
	return cmd
}

// soundToo ends a command that tested a policy: tests that hold do not make a
// policy sound that xfwc check refuses. Its errors are printed, apart from tests
// that fail, which the command has told already, all but untold; tested is how
// the tests ended.
func (s *session) soundToo(src *source, tested error, untold ...compiler.CaseResult) error {
	found := src.findings
	if !diag.HasErrors(found) {
		found = compiler.Waive(src.files, emit(src.policy, src.policy.Points, "").Findings, "")
	}
	bad := unwaived(found, func(f diag.Finding) bool {
		return f.Code == "test-failed" && !slices.ContainsFunc(untold, func(r compiler.CaseResult) bool { return r.Case.Origin.Span == f.Span })
	})
	if len(bad) == 0 {
		return tested
	}
	diag.Sort(bad)
	diag.RenderText(s.err, bad, src.shown(), s.color(s.errTerminal))
	s.note("%s: %s beside the tests; such a policy is not compiled or applied", src.path, count(len(bad), "error"))
	if tested == nil {
		tested = end(failed)
	}
	return tested
}

// testLine is what became of one line of a test block.
type testLine struct {
	Test    string     `json:"test"`
	Line    string     `json:"line"` // file:line
	Expect  string     `json:"expect"`
	States  string     `json:"states"` // the line as it is written
	OK      bool       `json:"ok"`
	Packets int        `json:"packets"` // how many were judged; 0 of a line about a content rule
	Witness *explained `json:"witness,omitempty"`
	By      []string   `json:"by,omitempty"` // the conditions that found a text, as written

	at diag.Pos
}

// testLines gives all lines of the test blocks in the order of the policy.
func (src *source) testLines(rs []compiler.TestResult, cases []compiler.CaseResult) []testLine {
	lines := []testLine{}
	for _, r := range cases {
		l := testLine{
			Test: r.Case.Name, Line: place(r.Case.Origin), Expect: "pass", States: src.text(r.Case.Origin.Span), OK: r.OK, at: r.Case.Origin.Span.Start,
		}
		if r.Case.Catch {
			l.Expect = "catch"
		}
		for _, c := range r.By {
			l.By = append(l.By, src.text(c.Origin.Span))
		}
		lines = append(lines, l)
	}
	for _, r := range rs {
		l := testLine{
			Test: r.Test.Name, Line: place(r.Test.Origin), Expect: string(r.Test.Kind),
			States: src.text(r.Test.Origin.Span), OK: r.OK, Packets: r.Packets, at: r.Test.Origin.Span.Start,
		}
		if r.Witness != nil {
			w := explainPacket(*r.Witness)
			l.Witness = &w
		}
		lines = append(lines, l)
	}
	order := map[string]int{}
	for i, f := range src.files {
		order[f.Name] = i
	}
	slices.SortStableFunc(lines, func(a, b testLine) int {
		return cmp.Or(cmp.Compare(order[a.at.Filename], order[b.at.Filename]), cmp.Compare(a.at.Offset, b.at.Offset))
	})
	return lines
}

// printTests writes the lines below their test, with the packet that
// contradicts an expectation.
func printTests(w io.Writer, lines []testLine) error {
	for i, l := range lines {
		if i == 0 || lines[i-1].Test != l.Test {
			if _, err := fmt.Fprintf(w, "%s\n", l.Test); err != nil {
				return err
			}
		}
		state := "ok  "
		if !l.OK {
			state = "FAIL"
		}
		judged := count(l.Packets, "packet")
		if l.Expect == "catch" || l.Expect == "pass" {
			judged = "no match"
			if len(l.By) > 0 {
				judged = "by " + strings.Join(l.By, " and ")
			}
		}
		if _, err := fmt.Fprintf(w, "  %s  %s  %s  (%s)\n", state, l.Line, l.States, judged); err != nil {
			return err
		}
		if l.Witness != nil {
			var b strings.Builder
			if err := l.Witness.print(&b); err != nil {
				return err
			}
			for line := range strings.Lines(b.String()) {
				if _, err := io.WriteString(w, "        "+line); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// closeTests says how many lines hold; one that does not is exit code 1.
func (s *session) closeTests(lines []testLine, where string) error {
	bad := 0
	for _, l := range lines {
		if !l.OK {
			bad++
		}
	}
	if bad > 0 {
		return &ended{failed, fmt.Errorf("%d of %s do not hold on %s", bad, count(len(lines), "expectation"), where)}
	}
	if len(lines) == 0 {
		s.note("the policy has no test block: nothing was tested")
		return nil
	}
	if len(lines) == 1 {
		s.note("the one expectation holds on %s", where)
		return nil
	}
	s.note("%s hold on %s", count(len(lines), "expectation"), where)
	return nil
}
