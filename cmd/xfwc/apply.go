package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"xfwc/deploy"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// newApply builds `xfwc apply`.
func newApply(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply POLICY|PLAN",
		Short: "Put the policy in force on this machine, all of it or nothing",
		Long: `apply plans, shows the plan, asks, and changes the packet filter in one
transaction that is checked afterwards. Only the table "inet xfwc" is touched.
Without a terminal it refuses unless --yes is given.

With --confirm the change takes itself back after that time unless 'xfwc
confirm' is run: also when this machine cannot be reached any more, and when no
process of xfwc is alive.

A change that would cut an established session of this machine is refused;
--allow-cut accepts the loss.`,
		Args: onePolicy,
	}
	yes := cmd.Flags().BoolP("yes", "y", false, "do not ask")
	confirm := cmd.Flags().Duration("confirm", 0, "take the change back after this time unless it is confirmed, such as 5m")
	allowCut := cmd.Flags().StringSlice("allow-cut", nil, "sessions that may be cut: ADDRESS, ADDRESS:PORT, PREFIX or ssh")
	warmUp := cmd.Flags().Duration("warm-up", deploy.DefaultWarmUp, "on a machine without connection tracking, the longest time to let it learn open sessions first; 0 is none")
	point := pointFlag(cmd)
	format := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !*yes && !s.inTerminal {
			return errors.New("refused: apply asks before it changes anything, and standard input is no terminal; give --yes")
		}
		if cmd.Flags().Changed("confirm") && *confirm <= 0 {
			return errors.New("--confirm needs a time longer than none, such as 5m")
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		o := s.options("apply")
		w, plan, err := s.wantedOrPlanned(args[0], *point)
		if err != nil {
			return err
		}
		if !*yes {
			// What is asked about is what is applied: the plan binds the two.
			if plan == nil {
				if plan, err = deploy.MakePlan(o, w); err != nil {
					return err
				}
			}
			if err := s.agree(plan); err != nil {
				return err
			}
		}
		done, err := deploy.Apply(ctx, o, w, deploy.ApplyOptions{
			Plan: plan, Confirm: *confirm, AllowCut: *allowCut, WarmUp: *warmUp, Progress: s.progress(),
		})
		if done == nil {
			return err
		}
		// Beside an error a result says what was done all the same.
		if format.value == "json" {
			return errors.Join(writeJSON(s.out, done), err)
		}
		if *yes && done.Changed {
			if err := printPlan(s.out, done.Plan); err != nil {
				return err
			}
		}
		return errors.Join(printApplied(s.out, done), err)
	}
	return cmd
}

// agree shows a plan that changes something, and asks whether to go on.
func (s *session) agree(plan *deploy.Plan) error {
	if plan.Empty() {
		return nil
	}
	if err := printPlan(s.err, plan); err != nil {
		return err
	}
	ok, err := s.ask("apply this?")
	if err == nil && !ok {
		err = errors.New("not applied")
	}
	return err
}

// wantedOrPlanned reads the argument of apply: a policy, or a plan that was
// saved, which names its policy and point.
func (s *session) wantedOrPlanned(path, point string) (*deploy.Wanted, *deploy.Plan, error) {
	isPlan, err := looksLikePlan(path)
	if err != nil {
		return nil, nil, err
	}
	if !isPlan {
		w, err := s.wanted(path, point)
		return w, nil, err
	}
	plan, err := deploy.LoadPlan(path)
	if err != nil {
		return nil, nil, err
	}
	if point != "" && point != plan.Point {
		return nil, nil, fmt.Errorf("the plan %s is for the point %s, not for %s", path, plan.Point, point)
	}
	if err := readable(plan.PolicyPath); err != nil {
		return nil, nil, fmt.Errorf("the plan %s is for a policy that cannot be read: %w: put the policy back there, or plan anew with xfwc plan POLICY -o %s",
			path, err, path)
	}
	w, err := s.wanted(plan.PolicyPath, plan.Point)
	return w, plan, err
}

// readable tries to open a file.
func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// looksLikePlan tells a saved plan, which is a JSON object with a version, from
// a policy. What is neither is one error, not the dozens of findings that the
// parser of policies has about it. A name that ends in .xfw is a policy's.
func looksLikePlan(path string) (bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return false, fmt.Errorf("cannot read the policy or plan: %w", err)
	}
	var plan struct {
		Version *json.RawMessage `json:"version"`
	}
	err = json.Unmarshal(text, &plan)
	if err == nil && plan.Version != nil {
		return true, nil
	}
	if filepath.Ext(path) == ".xfw" {
		return false, nil
	}
	why := ""
	switch {
	case err == nil:
		why = "it is JSON without the version that a plan has"
	case bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")):
		why = "it begins like a plan, but is damaged: " + err.Error()
	case !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0:
		why = "it is no text"
	default:
		file, findings := lang.Parse(path, text)
		if len(file.Decls) > 0 || !diag.HasErrors(findings) {
			return false, nil
		}
		why = "no statement of a policy is in it"
	}
	return false, fmt.Errorf("%s is neither a policy nor a saved plan: %s; name a policy file, or save a plan with xfwc plan POLICY -o FILE", path, why)
}

// ask puts a yes-or-no question to the person at the terminal; anything but
// yes is no.
func (s *session) ask(question string) (bool, error) {
	fmt.Fprintf(s.err, "%s [y/N] ", question)
	line, err := bufio.NewReader(s.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("cannot read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

// progress tells a person at a terminal what is being done; nil elsewhere.
func (s *session) progress() func(string) {
	if !s.errTerminal {
		return nil
	}
	return func(what string) { s.note("%s …", what) }
}

func printApplied(w io.Writer, a *deploy.Applied) error {
	var b strings.Builder
	for _, r := range a.Recovered {
		fmt.Fprintf(&b, "note: %s\n", r)
	}
	head := fmt.Sprintf("policy %s at point %s", a.Plan.Policy, a.Plan.Point)
	switch {
	case a.Pending != nil:
		fmt.Fprintf(&b, "%s: in force until %s, then taken back unless confirmed\n", head, a.Pending.Deadline.Format(time.RFC3339))
		fmt.Fprintf(&b, "open a new connection to this machine and run: xfwc confirm %s\n", a.Pending.Token)
	case a.Changed:
		fmt.Fprintf(&b, "%s: in force\n", head)
	default:
		fmt.Fprintf(&b, "%s: already in force, nothing changed\n", head)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// newConfirm builds `xfwc confirm`.
func newConfirm(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "confirm [TOKEN]",
		Short: "Keep the change that waits for confirmation",
		Long: `confirm keeps the change that 'xfwc apply --confirm' made. Run it over a new
connection: a session that was open before proves nothing about new ones.`,
		Args: cobra.MaximumNArgs(1),
	}
	format := formatFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		token := ""
		if len(args) == 1 {
			token = args[0]
		}
		c, err := deploy.Confirm(s.options("confirm"), token)
		if err != nil {
			return err
		}
		if format.value == "json" {
			return writeJSON(s.out, c)
		}
		var b strings.Builder
		fmt.Fprintf(&b, "policy %s at point %s: confirmed\n", c.Policy, c.Point)
		writeNotices(&b, c.Notices)
		_, err = io.WriteString(s.out, b.String())
		return err
	}
	return cmd
}

// newRollback builds `xfwc rollback`.
func newRollback(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Take back the change that waits, or go back to what was in force before the last apply",
		Args:  cobra.NoArgs,
	}
	format := formatFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		r, err := deploy.Rollback(s.options("rollback"))
		if err != nil {
			return err
		}
		if format.value == "json" {
			return writeJSON(s.out, r)
		}
		var b strings.Builder
		what := "went back from policy " + r.From
		if r.Pending {
			what = "took back the unconfirmed change to policy " + r.From
		}
		to := "policy " + r.To + " is in force"
		if r.To == "" {
			to = "no policy is in force"
		}
		fmt.Fprintf(&b, "%s; %s\n", what, to)
		for _, c := range r.Changes {
			fmt.Fprintf(&b, "  %s %s\n", sign(c.Class), from(c.Step, c.Origin))
		}
		_, err = io.WriteString(s.out, b.String())
		return err
	}
	return cmd
}

// newGuard builds the hidden command that apply starts: the process that takes
// an unconfirmed change back at its deadline.
func newGuard(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:    "guard",
		Short:  "Take an unconfirmed change back at its deadline",
		Hidden: true,
		Args:   cobra.NoArgs,
	}
	token := cmd.Flags().String("token", "", "the change to watch over")
	cmd.RunE = func(*cobra.Command, []string) error {
		if *token == "" {
			return errors.New("guard is started by xfwc apply --confirm, with a token")
		}
		return deploy.Guard(s.options("guard"), *token)
	}
	return cmd
}
