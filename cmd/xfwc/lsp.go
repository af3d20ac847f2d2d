package main

import (
	"context"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"xfwc/backends/nftables"
	"xfwc/lang"
	"xfwc/lang/diag"
	"xfwc/lsp"
)

// quietTime is how long a text has to rest before the language server judges it:
// less than somebody notices, and more than a paste that comes in pieces takes.
const quietTime = 5 * time.Millisecond

// newLSP builds `xfwc lsp`.
func newLSP(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lsp",
		Short: "Speak with an editor: findings as you type, hover, completion, rename",
		Long: `lsp is a language server for policies: an editor starts it and speaks with it
over standard input and output, by the Language Server Protocol. It judges
policies as xfwc check does, with files as they are in the editor, and writes
nothing. editors/README.md says how editors are told of it.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().Bool("stdio", true, "speak over standard input and output, which is the only way there is")
	cmd.RunE = func(*cobra.Command, []string) error {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		return lsp.Serve(ctx, s.in, s.out, lsp.Config{
			Version: versionOf(debug.ReadBuildInfo()).Version,
			Disk:    lang.OS(),
			Judge:   s.judge,
			Today:   s.today,
			Quiet:   quietTime,
		})
	}
	return cmd
}

// judge judges a policy for an editor, as check does.
func (s *session) judge(ctx context.Context, path string, files []*lang.File, found []diag.Finding) lsp.Judged {
	src := &source{path: path, files: files, findings: slices.Clone(found)}
	if err := src.readLock(); err != nil {
		at := diag.Pos{Filename: path, Line: 1, Column: 1}
		src.findings = append(src.findings, diag.New("lock-invalid", diag.Span{Start: at, End: at}, err.Error()))
	}
	day := s.today()
	src.compile(day, "")
	if ctx.Err() == nil {
		// The packet filter's backend writes by far the most, and finds nothing but
		// faults of its own: whoever types does not wait for that.
		src.placeFor(day, func(kind string) bool { return kind != nftables.Backend{}.Kind() })
	}
	return lsp.Judged{Policy: src.policy, Findings: src.findings}
}

// today is the day as commands judge it where nobody states one.
func (s *session) today() string { return s.now().Format(time.DateOnly) }
