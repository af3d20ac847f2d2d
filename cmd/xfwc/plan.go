package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"xfwc/deploy"
)

// newPlan builds `xfwc plan`.
func newPlan(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan POLICY",
		Short: "Show what apply would change on this machine",
		Long: `plan reads the live packet filter, changes nothing, and prints what apply would
change: first in the words of the policy, then as text. It exits with 2 when
there is something to change.

A plan saved with -o can be applied later with 'xfwc apply FILE'. It is bound to
the policy, the lock and the live state, and refused when any of them changed.`,
		Args: onePolicy,
	}
	out := cmd.Flags().StringP("output", "o", "", "also save the plan to this file, for xfwc apply")
	point := pointFlag(cmd)
	format := formatFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		w, err := s.wanted(args[0], *point)
		if err != nil {
			return err
		}
		p, err := deploy.MakePlan(s.options("plan"), w)
		if err != nil {
			return err
		}
		if *out != "" {
			if err := p.Save(*out); err != nil {
				return err
			}
			s.note("the plan is saved in %s", *out)
		}
		if format.value == "json" {
			err = writeJSON(s.out, p)
		} else {
			err = printPlan(s.out, p)
		}
		if err == nil && !p.Empty() {
			err = end(differs)
		}
		return err
	}
	return cmd
}

// pointFlag adds --point.
func pointFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("point", "", "the point that this machine is (default: the one whose name or hostname matches)")
}

// options are what every call of the running side gets.
func (s *session) options(command string) deploy.Options {
	return deploy.Options{StateDir: s.stateDir, Command: command}
}

// wanted is what the policy asks of the point that this machine is.
func (s *session) wanted(path, point string) (*deploy.Wanted, error) {
	src, err := s.load(path)
	if err != nil {
		return nil, err
	}
	pt, err := s.pointHere(src.policy, point)
	if err != nil {
		return nil, err
	}
	// A plan or a record may be used from another folder than it was made in.
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cannot tell where the policy is: %w", err)
	}
	texts, err := besides(whole, src.texts)
	if err != nil {
		return nil, err
	}
	return &deploy.Wanted{Policy: src.policy, Point: pt, Path: whole, Sources: texts, Lock: src.lockText}, nil
}

// besides names a policy's files as they lie from the folder of the root file:
// the same policy is the same, wherever the command was run.
func besides(root string, texts map[string][]byte) (map[string][]byte, error) {
	named := make(map[string][]byte, len(texts))
	for name, text := range texts {
		whole, err := filepath.Abs(name)
		if err == nil {
			name, err = filepath.Rel(filepath.Dir(root), whole)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot tell where %s is: %w", name, err)
		}
		named[filepath.ToSlash(name)] = text
	}
	return named, nil
}

// printPlan writes a plan for people: by statement of the policy, then step by
// step, then as text.
func printPlan(w io.Writer, p *deploy.Plan) error {
	var b strings.Builder
	head := fmt.Sprintf("policy %s at point %s", p.Policy, p.Point)
	switch {
	case p.Empty():
		fmt.Fprintf(&b, "%s: nothing to do\n", head)
	case p.Install:
		fmt.Fprintf(&b, "%s: first install\n", head)
	default:
		fmt.Fprintf(&b, "%s: %s\n", head, count(len(p.Changes), "change"))
	}
	moved := 0
	for _, i := range p.Intents {
		switch i.Effect {
		case deploy.Added:
			fmt.Fprintf(&b, "  + %s\n", from(i.Statement, i.Line))
		case deploy.Removed:
			fmt.Fprintf(&b, "  - %s\n", from(i.Statement, i.Line))
		case deploy.Renumbered:
			moved++
		default:
			fmt.Fprintf(&b, "  ~ %s, %s\n", from(i.Statement, i.Line), count(i.Changes, "change"))
		}
	}
	if moved > 0 {
		fmt.Fprintf(&b, "  = %s now on another line of the policy\n", count(moved, "statement"))
	}
	// On a first install every step is the same: all of it is new.
	if !p.Install && !p.Empty() {
		b.WriteString("\nsteps:\n")
		for _, c := range p.Changes {
			if c.What == "comment" {
				continue // only the line that a rule is traced to
			}
			fmt.Fprintf(&b, "  %s %s\n", sign(c.Class), from(c.Step, c.Origin))
			if c.Witness != "" {
				fmt.Fprintf(&b, "      for example %s\n", c.Witness)
			}
		}
	}
	if len(p.Cuts) > 0 {
		fmt.Fprintf(&b, "\nsessions that the new policy denies (%d):\n", len(p.Cuts))
		for _, c := range p.Cuts {
			accepted := ""
			if c.Allowed {
				accepted = ", accepted by --allow-cut"
			}
			fmt.Fprintf(&b, "  %s%s\n", c, accepted)
		}
	}
	writeNotices(&b, p.Notices)
	if p.Diff != "" {
		b.WriteString("\n" + p.Diff)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// sign is how a list shows what apply does: + adds, - removes, ~ changes.
func sign(c deploy.Class) string {
	switch c {
	case deploy.Missing:
		return "+"
	case deploy.Foreign:
		return "-"
	}
	return "~"
}

// from appends where something comes from, unless the text says it already.
func from(text, origin string) string {
	line, _, _ := strings.Cut(origin, " ")
	if line == "" || strings.Contains(text, line) {
		return text
	}
	return text + "  (" + origin + ")"
}

func writeNotices(b *strings.Builder, notices []string) {
	for _, n := range notices {
		fmt.Fprintf(b, "note: %s\n", n)
	}
}
