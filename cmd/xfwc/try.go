package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"xfwc/compiler"
	"xfwc/deploy/try"
)

// newTry builds `xfwc try`.
func newTry(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "try POLICY",
		Short: "Plan, apply, test and drift in throw-away namespaces, touching nothing of this machine",
		Long: `try stands every point of the policy in a network namespace of its own, with its
interfaces and addresses, and goes the whole way there: plan, apply, plan again,
the policy's tests as real packets, a deliberate change that drift has to
notice, and healing. Nothing of this machine is read or changed, and nothing is
left behind. It runs as root, or as an ordinary user where the machine allows
user namespaces.`,
		Args: onePolicy,
	}
	format := formatFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		src, err := s.load(args[0])
		if err != nil {
			return err
		}
		return s.runTry(src, format.value, false)
	}
	return cmd
}

// runTry makes a run in throw-away namespaces, in a user namespace where this
// process may not make network namespaces itself.
func (s *session) runTry(src *source, format string, testsOnly bool) error {
	if len(src.policy.Points) == 0 {
		return errors.New("the policy declares no point, so there is nothing to try: add a point block")
	}
	if !try.Privileged() {
		code, err := try.Reexec(s.args)
		if err != nil {
			return err
		}
		return end(ending(code))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := try.Options{Policy: src.policy, Path: src.path, Sources: src.texts, Lock: src.lockText, TestsOnly: testsOnly}
	var printing error
	if format == "text" {
		o.Progress = func(e try.Event) { printing = errors.Join(printing, try.WriteEvent(s.out, e)) }
	}
	result, err := try.Run(ctx, o)
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted; the namespaces are removed")
	}
	if err != nil {
		return err
	}
	if printing != nil {
		return fmt.Errorf("cannot print the result: %w", printing)
	}
	if format == "json" {
		err = writeJSON(s.out, result)
	} else {
		err = result.WriteSummary(s.out)
	}
	if err == nil && !result.OK() {
		err = end(failed)
	}
	if testsOnly {
		// Packets say nothing about content rules: the model judges those.
		err = s.soundToo(src, err, compiler.RunCases(src.policy)...)
	}
	return err
}
