package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"xfwc/compiler"
	"xfwc/deploy"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// newFix builds `xfwc fix`.
func newFix(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fix [-w | -d | --check] POLICY",
		Short: "Mend what has just one right way to be mended",
		Long: `fix makes the edits that need no judgement: a misspelt word of the language or
name of the policy, bits set behind the length of a prefix, IPv4 addresses in
IPv6 spelling, capitals where none belong, entries that stand twice in a list,
signs of other languages, waivers that set nothing aside. It never chooses what
is allowed, and leaves what a person has to decide to xfwc check.

Without a flag it lists what it would mend. With -w it writes the files of the
policy, all of them or none; comments stay. Unless it writes, it exits with 2
when there is something to mend.`,
		Args: onePolicy,
	}
	write := cmd.Flags().BoolP("write", "w", false, "write the result to the policy's files")
	showDiff := cmd.Flags().BoolP("diff", "d", false, "print what would change as unified diffs")
	check := cmd.Flags().Bool("check", false, "name the files that would change")
	format := formatFlag(cmd)
	cmd.MarkFlagsMutuallyExclusive("write", "diff", "check")
	cmd.MarkFlagsMutuallyExclusive("format", "diff")
	cmd.MarkFlagsMutuallyExclusive("format", "check")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		src, err := read(args[0], lang.OS())
		if err != nil {
			return err
		}
		mended, made, err := mend(args[0], src.texts)
		if err != nil {
			return err
		}
		names := slices.Sorted(maps.Keys(mended))
		switch {
		case *showDiff:
			for _, n := range names {
				if _, err := io.WriteString(s.out, deploy.CompareText(n, n+" (mended)", src.texts[n], mended[n])); err != nil {
					return err
				}
			}
		case *check:
			for _, n := range names {
				if _, err := fmt.Fprintln(s.out, n); err != nil {
					return err
				}
			}
		default:
			if *write {
				if err := replace(mended); err != nil {
					return err
				}
			}
			if err := s.printMended(format.value, made); err != nil {
				return err
			}
		}
		switch {
		case len(made) == 0:
			s.note("%s: nothing to mend", args[0])
		case *write:
			s.note("%s: %s mended in %s", args[0], count(len(made), "finding"), count(len(mended), "file"))
		default:
			s.note("%s: %s to mend in %s; -w does it", args[0], count(len(made), "finding"), count(len(mended), "file"))
			return end(differs)
		}
		return nil
	}
	return cmd
}

// mend mends a policy whose files are texts.
func mend(path string, texts map[string][]byte) (mended map[string][]byte, made []diag.Finding, err error) {
	mended, made = compiler.Mend(texts, func(texts map[string][]byte) []diag.Finding {
		disk := lang.OS()
		src, failed := compileFrom(path, "", "", lang.Source{Glob: disk.Glob, Read: func(name string) ([]byte, error) {
			if text, ok := texts[name]; ok {
				return text, nil
			}
			return disk.Read(name)
		}})
		if failed != nil {
			err = failed
			return nil
		}
		return src.findings
	})
	return mended, made, err
}

// printMended lists findings with what mends them.
func (s *session) printMended(format string, made []diag.Finding) error {
	if format == "json" {
		return diag.RenderJSON(s.out, made)
	}
	for _, f := range made {
		if _, err := fmt.Fprintf(s.out, "%s:%d:%d: %s: %s (%s)\n", f.Span.Start.Filename, f.Span.Start.Line, f.Span.Start.Column, what(f.Fix), f.Summary, f.Code); err != nil {
			return err
		}
	}
	return nil
}

// what says what edits do.
func what(edits []diag.Edit) string {
	var words []string
	for _, e := range edits {
		if e.New != "" && !slices.Contains(words, e.New) {
			words = append(words, e.New)
		}
	}
	if words == nil {
		return "remove"
	}
	return "write " + strings.Join(words, " ")
}
