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

// newRules builds `xfwc rules`.
func newRules(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules [CODE]",
		Short: "List every finding code, or explain one: why, reference, remedy, example",
		Args:  cobra.MaximumNArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var codes []string
			if len(args) == 0 {
				for _, r := range rules() {
					codes = append(codes, r.Code+"\t"+r.Title)
				}
			}
			return codes, cobra.ShellCompDirectiveNoFileComp
		},
	}
	format := formatFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		all := rules()
		if len(args) == 0 {
			if format.value == "json" {
				return writeJSON(s.out, all)
			}
			return listRules(s.out, all)
		}
		i := slices.IndexFunc(all, func(r rule) bool { return r.Code == args[0] })
		if i < 0 {
			return fmt.Errorf("there is no rule %q; 'xfwc rules' lists them all", args[0])
		}
		if format.value == "json" {
			return writeJSON(s.out, all[i])
		}
		return all[i].print(s.out)
	}
	return cmd
}

// rule is one finding code: a best-practice check, or what a stage reports.
type rule struct {
	Code      string `json:"code"`
	Severity  string `json:"severity"`
	Title     string `json:"title"`
	Why       string `json:"why,omitempty"`
	Remedy    string `json:"remedy"`
	Reference string `json:"reference,omitempty"`
	Since     string `json:"since,omitempty"`
	// Profile is the profile that switches the check on; empty for every policy.
	Profile string `json:"profile,omitempty"`
	// Comply are the frameworks that switch the check on where comply names one;
	// empty for every policy.
	Comply []string `json:"comply,omitempty"`
	Bad    string   `json:"bad,omitempty"`
	Good   string   `json:"good,omitempty"`
}

// rules is the whole catalogue, ordered by code.
func rules() []rule {
	var all []rule
	for _, c := range compiler.Checks() {
		all = append(all, rule{
			Code: c.Code, Severity: c.Severity.String(), Title: c.Title, Why: c.Why, Remedy: c.Remedy,
			Reference: c.Reference, Since: c.Since, Profile: c.Profile, Comply: c.Frameworks, Bad: c.Bad, Good: c.Good,
		})
	}
	for _, c := range diag.Codes() {
		all = append(all, rule{Code: c.Code, Severity: c.Severity.String(), Title: c.Title, Remedy: c.Remedy})
	}
	slices.SortFunc(all, func(a, b rule) int { return cmp.Compare(a.Code, b.Code) })
	return all
}

func listRules(w io.Writer, all []rule) error {
	width := 0
	for _, r := range all {
		width = max(width, len(r.Code))
	}
	for _, r := range all {
		title := r.Title
		if r.Profile == "strict" {
			title += " [strict]"
		}
		if r.Comply != nil {
			title += " [comply " + strings.Join(r.Comply, ", ") + "]"
		}
		if _, err := fmt.Fprintf(w, "%-*s  %-7s  %s\n", width, r.Code, r.Severity, title); err != nil {
			return err
		}
	}
	return nil
}

func (r rule) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s): %s\n", r.Code, r.Severity, r.Title)
	for _, part := range []struct{ head, text string }{
		{"Why", r.Why}, {"Remedy", r.Remedy}, {"Reference", r.Reference}, {"Since", r.Since}, {"Profile", r.Profile},
		{"Comply", strings.Join(r.Comply, ", ")},
	} {
		if part.text != "" {
			fmt.Fprintf(&b, "\n%s: %s\n", part.head, part.text)
		}
	}
	for _, part := range []struct{ head, text string }{{"Has this finding", r.Bad}, {"Has not", r.Good}} {
		if part.text == "" {
			continue
		}
		fmt.Fprintf(&b, "\n%s:\n\n", part.head)
		for line := range strings.Lines(strings.TrimRight(part.text, "\n") + "\n") {
			if line != "\n" {
				line = "    " + line
			}
			b.WriteString(line)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
