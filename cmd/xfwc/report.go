package main

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"xfwc/compiler"
	"xfwc/lang/diag"
	"xfwc/report"
)

// newReport builds `xfwc report`.
func newReport(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "report POLICY [-o FILE]",
		Short: "Write the policy as one page for whoever has to judge it",
		Long: `report writes one HTML page: the verdict, the site as a picture, every finding
with its lines, the waivers with their reasons, who answers for what, what is
enforced where and how exactly, the controls of the frameworks that the policy
names, and the text that all this is about. The page needs no network and no
script, can be read on a phone, in the dark and on paper.

The same policy gives the same page. Waivers and last days are judged by --date,
and not at all without it: then the page depends on no clock.

It exits with 1, and writes the page all the same, when the policy has an error
that no waiver covers.`,
		Args: onePolicy,
	}
	out := cmd.Flags().StringP("output", "o", "", "the file to write; standard output without it")
	date := cmd.Flags().String("date", "", "the day by which waivers and last days are judged, YYYY-MM-DD")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if *date != "" {
			if _, err := s.day(*date); err != nil {
				return err
			}
		}
		if *out == "" && s.outTerminal {
			return fmt.Errorf("the page is for a browser: name a file with -o, such as report.html")
		}
		src, err := compile(args[0], *date, "")
		if err != nil {
			return err
		}
		in := report.Input{
			Root: src.files[0].Name, Sources: src.texts, Lock: src.lockText, Date: *date,
			Findings: src.findings, Waivers: compiler.Waivers(src.files),
		}
		if src.policy != nil {
			in.Name = src.policy.Name
		}
		if src.policy != nil && len(unwaived(src.findings, judging())) == 0 {
			in.Policy = src.policy
			emitted := emit(src.policy, src.policy.Points, "")
			in.Ledger = emitted.Ledger
			in.Findings = slices.Concat(in.Findings, compiler.Waive(src.files, slices.Concat(emitted.Findings, src.unheld(emitted.Ledger)), *date))
			diag.Sort(in.Findings)
		}
		var b bytes.Buffer
		if err := report.HTML(&b, in); err != nil {
			return fmt.Errorf("cannot write the report: %w", err)
		}
		if *out == "" {
			if _, err := s.out.Write(b.Bytes()); err != nil {
				return err
			}
		} else if err := writeWhole(*out, b.Bytes(), 0o644); err != nil {
			return err
		}
		if n := len(unwaived(in.Findings, func(diag.Finding) bool { return false })); n > 0 {
			return &ended{failed, fmt.Errorf("%s: %s", args[0], count(n, "error"))}
		}
		return nil
	}
	return cmd
}
