package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"xfwc/deploy"
)

// world is everything outside the program that commands touch, apart from
// files and the kernel.
type world struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	now      func() time.Time
	hostname func() (string, error)
	host     host // what init looks at
	// inTerminal and its neighbours say whether a person is at the other end.
	inTerminal, outTerminal, errTerminal bool
}

// session is one run of the program: the outside world and the flags that all
// commands share.
type session struct {
	world
	args     []string // the command line, without the program
	noColor  bool
	stateDir string
}

// ending is how a command ended: the exit code that users rely on.
type ending int

const (
	fine    ending = 0 // nothing to do, or done
	failed  ending = 1 // invalid policy, failed tool, refused
	differs ending = 2 // the plan has changes, drift, goldens or formatting differ
	never   ending = 3 // drift only: this policy was never applied here
)

// ended is the error by which a command tells its ending. err is nil where the
// command has printed all there is to say.
type ended struct {
	code ending
	err  error
}

func (e *ended) Error() string {
	if e.err == nil {
		return fmt.Sprintf("ended with code %d", e.code)
	}
	return e.err.Error()
}

func (e *ended) Unwrap() error { return e.err }

// end is the result of a command that has already said what there is to say.
func end(code ending) error {
	if code == fine {
		return nil
	}
	return &ended{code: code}
}

// run executes one command line and gives the exit code.
func run(args []string, w world) int {
	results := &watched{Writer: w.out}
	w.out = results
	s := &session{world: w, args: args}
	root := newRoot(s)
	root.SetArgs(args)
	root.SetIn(w.in)
	root.SetOut(w.out)
	root.SetErr(w.err)
	err := root.Execute()
	var e *ended
	if !errors.As(err, &e) && err != nil {
		e = &ended{code: failed, err: err}
	}
	// A result that could not be written must not look like a good one.
	if results.err != nil {
		lost := fmt.Errorf("cannot write the result: %w", results.err)
		if e != nil && e.err != nil && !errors.Is(e.err, results.err) {
			lost = errors.Join(lost, e.err)
		}
		e = &ended{code: failed, err: lost}
	}
	if e == nil {
		return int(fine)
	}
	if e.err != nil {
		fmt.Fprintln(w.err, "xfwc: "+strings.TrimRight(e.err.Error(), "\n"))
	}
	return int(e.code)
}

// watched remembers the first error of a writer.
type watched struct {
	io.Writer
	err error
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if w.err == nil {
		w.err = err
	}
	return n, err
}

// newRoot builds the whole command tree.
func newRoot(s *session) *cobra.Command {
	root := &cobra.Command{
		Use:   "xfwc",
		Short: "Compile the policy of an XMPP site into firewall, IDS and proxy rules, and keep it in force",
		Long: `xfwc reads a policy that says what an XMPP site means to allow, compiles the
packet filter, the IDS and the proxy from it, says how exactly each holds it,
puts the packet filter in force, and notices when a machine stops agreeing.

Exit codes of every command:
  0  fine, nothing to do
  1  error: invalid policy, failed tool, refused
  2  differences: the plan has changes, drift was found, goldens or formatting differ
  3  drift only: this policy was never applied here`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see '%s --help'", err, cmd.CommandPath())
	})
	root.PersistentFlags().BoolVar(&s.noColor, "no-color", false, "no colours, as with NO_COLOR in the environment")
	stateDir := s.env("XFWC_STATE_DIR")
	if stateDir == "" {
		stateDir = deploy.DefaultStateDir
	}
	root.PersistentFlags().StringVar(&s.stateDir, "state-dir", stateDir,
		"where apply keeps its state; XFWC_STATE_DIR in the environment sets the default")
	root.AddCommand(
		newInit(s), newCheck(s), newFix(s), newFmt(s), newCompile(s), newLedger(s), newExplain(s),
		newTest(s), newTry(s),
		newPlan(s), newApply(s), newConfirm(s), newRollback(s), newDrift(s), newGuard(s),
		newLock(s), newReport(s), newRules(s), newLSP(s), newDefaults(s), newVersion(s), newMan(s),
	)
	return root
}

// color reports whether text written to a terminal-or-not stream is coloured.
func (s *session) color(terminal bool) bool {
	return terminal && !s.noColor && s.env("NO_COLOR") == "" && s.env("TERM") != "dumb"
}

// note writes a message, which is never part of the result.
func (s *session) note(format string, args ...any) {
	fmt.Fprintf(s.err, "xfwc: "+format+"\n", args...)
}

// choice is a flag that takes one of a few words. Where "" is among them, it is
// what the flag has when it is not given, and not to be written.
type choice struct {
	value   string
	allowed []string
}

// words are those that can be written.
func (c *choice) words() []string {
	return slices.DeleteFunc(slices.Clone(c.allowed), func(w string) bool { return w == "" })
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return strings.Join(c.words(), "|") }

// Set refuses a word that is not on the list.
func (c *choice) Set(v string) error {
	if words := c.words(); !slices.Contains(words, v) {
		return fmt.Errorf("must be one of %s", strings.Join(words, ", "))
	}
	c.value = v
	return nil
}

// choiceFlag adds a flag that takes one of the allowed words; the first is the
// default.
func choiceFlag(cmd *cobra.Command, name, usage string, allowed ...string) *choice {
	c := &choice{value: allowed[0], allowed: allowed}
	cmd.Flags().Var(c, name, usage)
	// The only error is a flag that does not exist, and it was added above.
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(c.words(), cobra.ShellCompDirectiveNoFileComp))
	return c
}

// onePolicy demands the one argument of a command: the policy.
func onePolicy(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return fmt.Errorf("%s takes a policy file, and none is named\nUsage: %s", cmd.Name(), cmd.UseLine())
	case len(args) > 1:
		return fmt.Errorf("%s takes one policy file, and %d are named\nUsage: %s", cmd.Name(), len(args), cmd.UseLine())
	}
	return nil
}

// formatFlag adds --format with text, json and whatever else the command prints.
func formatFlag(cmd *cobra.Command, more ...string) *choice {
	return choiceFlag(cmd, "format", "how results are printed", append([]string{"text", "json"}, more...)...)
}

// isTerminal reports whether a person is at the other end of the file.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
