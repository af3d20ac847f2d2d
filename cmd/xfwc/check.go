package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"xfwc/compiler"
	"xfwc/lang/diag"
)

// newCheck builds `xfwc check`.
func newCheck(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check POLICY",
		Short: "Check a policy: syntax, names, best practice, placement, its own tests",
		Long: `check reads the policy and everything it includes, resolves names, judges it by
best practice, decides where each intent is enforced, runs the policy's own
tests on the model, and prints every finding with the lines it comes from.

It exits with 1 when a finding that no waiver covers is at least as severe as
--fail-level. 'xfwc rules' lists the checks.`,
		Args: onePolicy,
	}
	format := formatFlag(cmd, "sarif", "junit", "github")
	failLevel := choiceFlag(cmd, "fail-level", "the least severity that fails", "error", "warning", "info")
	profile := choiceFlag(cmd, "profile", "the profile of checks, in place of the policy's own", "", "baseline", "strict")
	date := cmd.Flags().String("date", "", "the day on which dates are judged: of waivers, statements and feeds, YYYY-MM-DD (default today)")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		day, err := s.day(*date)
		if err != nil {
			return err
		}
		src, err := compile(args[0], day, profile.value)
		if err != nil {
			return err
		}
		src.place(day)
		if err := s.printFindings(format.value, src); err != nil {
			return err
		}
		least, _ := diag.ParseSeverity(failLevel.value)
		if diag.Worst(src.findings) >= least {
			return end(failed)
		}
		return nil
	}
	return cmd
}

// day is the day that a --date flag states, YYYY-MM-DD; today without one.
func (s *session) day(flag string) (string, error) {
	if flag == "" {
		return s.today(), nil
	}
	if _, err := time.Parse(time.DateOnly, flag); err != nil {
		return "", fmt.Errorf("--date %q is not a date: write YYYY-MM-DD", flag)
	}
	return flag, nil
}

// printFindings writes findings to standard output in the format asked for,
// and for people a closing line to standard error.
func (s *session) printFindings(format string, src *source) error {
	switch format {
	case "json":
		return diag.RenderJSON(s.out, src.findings)
	case "sarif":
		return diag.RenderSARIF(s.out, src.findings, src.shown(), checkRules()...)
	case "junit":
		return diag.RenderJUnit(s.out, src.findings)
	case "github":
		return diag.RenderGitHub(s.out, src.findings)
	}
	diag.RenderText(s.out, src.findings, src.shown(), s.color(s.outTerminal))
	closing := tally(src.findings)
	if n := fixable(src.findings); n > 0 {
		closing += fmt.Sprintf("; xfwc fix mends %d", n)
	}
	s.note("%s: %s", src.path, closing)
	return nil
}

// checkRules are the checks for a report that brings its catalogue along.
func checkRules() []diag.Rule {
	var rules []diag.Rule
	for _, c := range compiler.Checks() {
		rules = append(rules, diag.Rule{
			Code: diag.Code{Code: c.Code, Severity: c.Severity, Title: c.Title, Remedy: c.Remedy},
			Why:  c.Why, Reference: c.Reference,
		})
	}
	return rules
}

// fixable counts the findings that xfwc fix mends.
func fixable(fs []diag.Finding) int {
	n := 0
	for _, f := range fs {
		if len(f.Fix) > 0 && f.Waived == nil {
			n++
		}
	}
	return n
}

// tally counts findings by severity, for the closing line.
func tally(fs []diag.Finding) string {
	var errors, warnings, infos, waived int
	for _, f := range fs {
		switch {
		case f.Waived != nil:
			waived++
		case f.Severity == diag.Error:
			errors++
		case f.Severity == diag.Warning:
			warnings++
		default:
			infos++
		}
	}
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{errors, "error"}, {warnings, "warning"}, {infos, "note"}} {
		if p.n > 0 {
			parts = append(parts, count(p.n, p.what))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "no findings")
	}
	if waived > 0 {
		parts = append(parts, fmt.Sprintf("%d waived", waived))
	}
	return strings.Join(parts, ", ")
}
