package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"xfwc/deploy"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// newFmt builds `xfwc fmt`.
func newFmt(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fmt [-w | -d | --check] [FILE...]",
		Short: "Format policy files in the one way, comments kept",
		Long: `fmt prints the formatted text of the files, or of standard input when no file or
- is named. Only white space changes. With -d or --check it exits with 2 when
formatting differs. A file that does not parse is left alone.`,
	}
	write := cmd.Flags().BoolP("write", "w", false, "write the result to the files")
	showDiff := cmd.Flags().BoolP("diff", "d", false, "print what would change; exit with 2 when anything would")
	check := cmd.Flags().Bool("check", false, "name the files that are not formatted; exit with 2 when there is one")
	cmd.MarkFlagsMutuallyExclusive("write", "diff", "check")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			args = []string{"-"}
		}
		worst := fine
		for _, name := range args {
			got, err := s.formatFile(name, *write, *showDiff, *check)
			if err != nil {
				s.note("%v", err)
				got = failed
			}
			// One bad file must not hide behind a badly formatted one.
			if got == failed || worst == fine {
				worst = got
			}
		}
		return end(worst)
	}
	return cmd
}

// formatFile formats one file, or standard input for "-".
func (s *session) formatFile(name string, write, showDiff, check bool) (ending, error) {
	var text []byte
	var err error
	if name == "-" {
		if write {
			return failed, errors.New("-w needs the name of a file; standard input cannot be written to")
		}
		text, err = io.ReadAll(s.in)
	} else {
		text, err = lang.ReadFile(name)
	}
	if err != nil {
		return failed, fmt.Errorf("cannot read %w", err)
	}
	if _, findings := lang.Parse(name, text); diag.HasErrors(findings) {
		diag.Sort(findings)
		diag.RenderText(s.err, findings, map[string][]byte{name: text}, s.color(s.errTerminal))
		return failed, nil
	}
	formatted := lang.Format(text)
	same := bytes.Equal(text, formatted)
	switch {
	case write:
		if same {
			return fine, nil
		}
		return fine, replace(map[string][]byte{name: formatted})
	case same && (showDiff || check):
		return fine, nil
	case showDiff:
		_, err = io.WriteString(s.out, deploy.CompareText(name, name+" (formatted)", text, formatted))
		return differs, err
	case check:
		_, err = fmt.Fprintln(s.out, name)
		return differs, err
	}
	_, err = s.out.Write(formatted)
	return fine, err
}
