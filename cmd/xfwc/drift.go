package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"xfwc/deploy"
)

// newDrift builds `xfwc drift`.
func newDrift(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drift POLICY | --applied",
		Short: "Show where this machine does otherwise than the policy says; read-only",
		Long: `drift compares the live packet filter with the policy, or with --applied with
what was last applied here, in meaning: another spelling of the same is no
drift. It changes nothing.

It exits with 0 when the machine agrees, 2 when it does not, and 3 when the
policy was never applied here.`,
		Args: cobra.MaximumNArgs(1),
	}
	applied := cmd.Flags().Bool("applied", false, "compare with what was last applied here")
	point := pointFlag(cmd)
	format := formatFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if *applied == (len(args) == 1) {
			return errors.New("drift takes either a policy or --applied")
		}
		var w *deploy.Wanted
		if !*applied {
			var err error
			if w, err = s.wanted(args[0], *point); err != nil {
				return err
			}
		}
		r, err := deploy.Drift(s.options("drift"), w)
		if errors.Is(err, deploy.ErrNothingApplied) {
			return &ended{never, err}
		}
		if err != nil {
			return err
		}
		if format.value == "json" {
			err = writeJSON(s.out, r)
		} else {
			err = printDrift(s.out, r)
		}
		if err != nil {
			return err
		}
		switch r.Status {
		case deploy.InSync:
			return nil
		case deploy.NeverApplied:
			return end(never)
		}
		return end(differs)
	}
	return cmd
}

// printDrift writes a drift report for people.
func printDrift(w io.Writer, r *deploy.DriftReport) error {
	var b strings.Builder
	if r.Policy != "" {
		fmt.Fprintf(&b, "policy %s at point %s: ", r.Policy, r.Point)
	}
	switch r.Status {
	case deploy.InSync:
		b.WriteString("the machine agrees\n")
	case deploy.NeverApplied:
		b.WriteString("never applied here\n")
	default:
		fmt.Fprintf(&b, "drift, %s\n", count(len(r.Differences), "difference"))
	}
	for _, c := range r.Differences {
		fmt.Fprintf(&b, "  %-7s  %s\n", c.Class, from(c.Text, c.Origin))
		// The kernel's words help side by side, and those of rules nobody but
		// the kernel: they are in the JSON.
		if c.Live != "" && c.Wanted != "" && c.Live != c.Wanted && c.Kind != "rule" {
			fmt.Fprintf(&b, "           live    %s\n           wanted  %s\n", c.Live, c.Wanted)
		}
		if c.Witness != "" {
			fmt.Fprintf(&b, "           for example %s\n", c.Witness)
		}
	}
	if r.Pending != nil {
		fmt.Fprintf(&b, "until %s: xfwc confirm keeps the change that waits, xfwc rollback takes it back\n", r.Pending.Deadline.Format(time.RFC3339))
	}
	if r.Expired {
		b.WriteString("note: an unconfirmed change has run out; the next apply removes what is left of it\n")
	}
	writeNotices(&b, r.Notices)
	_, err := io.WriteString(w, b.String())
	return err
}
