package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"xfwc/compiler"
	"xfwc/compiler/lock"
	"xfwc/deploy"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// newLock builds `xfwc lock`.
func newLock(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lock POLICY",
		Short: "Resolve peers and feeds into xfwc.lock, beside the policy",
		Long: `lock asks DNS where the federation peers are reached (SRV records and addresses,
RFC 6120 section 3.2 and XEP-0368) and what it says of the policy's own domains,
records the digest of every feed, and writes all of it to xfwc.lock. Every other
command reads names from there: nothing else asks DNS, and a changed answer
changes nothing until it is locked and reviewed.

Rules are made from the answers about peers that state no address. The other
answers, about peers that state one and about the policy's own domains, are
compared with the policy by checks.

Feeds are recorded as they are now. A feed of which more changed than its
max-change allows keeps its earlier record, and lock exits with 1, unless
--accept is given. Domains that are in the lock already keep
their answer unless --refresh is given. A domain that cannot be resolved keeps
its earlier answer; when rules are made from it, lock exits with 1.`,
		Args: onePolicy,
	}
	refresh := cmd.Flags().Bool("refresh", false, "ask again about every domain, also those that are in the lock")
	resolvers := cmd.Flags().StringSlice("resolver", nil, "ask these resolvers, HOST or HOST:PORT (default: those of /etc/resolv.conf)")
	trustAD := cmd.Flags().Bool("trust-ad", false, "believe a resolver that says it validated DNSSEC, also over the network")
	timeout := cmd.Flags().Duration("timeout", 3*time.Second, "how long to wait for one answer")
	accept := cmd.Flags().Bool("accept", false, "accept feeds that changed by more than their max-change")
	date := cmd.Flags().String("date", "", "the day that feeds are recorded with, YYYY-MM-DD (default today)")
	format := formatFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		day, err := s.day(*date)
		if err != nil {
			return err
		}
		src, err := read(args[0], lang.OS())
		if err != nil {
			return err
		}
		// A broken lock is what --refresh mends; anything else has to be mended first.
		bad := slices.ContainsFunc(src.findings, func(f diag.Finding) bool {
			return f.Severity == diag.Error && (f.Code != "lock-invalid" || !*refresh)
		})
		if bad {
			diag.Sort(src.findings)
			diag.RenderText(s.err, src.findings, src.shown(), s.color(s.errTerminal))
			return &ended{failed, fmt.Errorf("%s: nothing was locked", args[0])}
		}
		for i, r := range *resolvers {
			(*resolvers)[i] = withPort(r)
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		l := locking{source: src, refresh: *refresh, ask: deploy.ResolveOptions{
			Resolvers: *resolvers, Timeout: *timeout, TrustAD: *trustAD,
		}}
		l.domains(ctx)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("interrupted; %s is as it was", lockPath(args[0]))
		}
		l.feeds(day, *accept)
		return s.writeLock(&l, format.value)
	}
	return cmd
}

// withPort completes a resolver's address: 9.9.9.9, ::1 and [::1] are asked on
// port 53.
func withPort(r string) string {
	if _, _, err := net.SplitHostPort(r); err == nil {
		return r
	}
	if n := len(r); n > 2 && r[0] == '[' && r[n-1] == ']' {
		r = r[1 : n-1]
	}
	return net.JoinHostPort(r, "53")
}

// locking is one lock file in the making.
type locking struct {
	source   *source
	refresh  bool
	ask      deploy.ResolveOptions
	new      lock.File
	findings []diag.Finding
}

// domains gathers an answer for every domain that is looked up: the earlier one
// where it stays, else what DNS says now.
func (l *locking) domains(ctx context.Context) {
	l.new.Version = lock.Version
	l.new.Peers = l.gather(ctx, deploy.PeersToResolve(l.source.files), l.source.lock.Peer)
	l.new.Own = l.gather(ctx, deploy.OwnDomains(l.source.files), l.source.lock.OwnDomain)
	l.new.Sort()
}

func (l *locking) gather(ctx context.Context, wanted []deploy.PeerName, earlier func(string) *lock.Peer) []*lock.Peer {
	var out []*lock.Peer
	var unknown []deploy.PeerName
	for _, p := range wanted {
		if old := earlier(p.Domain); old != nil && !l.refresh {
			out = append(out, old)
		} else {
			unknown = append(unknown, p)
		}
	}
	if len(unknown) == 0 {
		return out
	}
	found, findings := deploy.Resolve(ctx, l.ask, unknown)
	l.findings = append(l.findings, findings...)
	out = append(out, found...)
	answered := map[string]bool{}
	for _, p := range found {
		answered[p.Domain] = true
	}
	for _, p := range unknown {
		if old := earlier(p.Domain); old != nil && !answered[p.Domain] {
			out = append(out, old)
		}
	}
	return out
}

// feeds records every feed that the policy names, as it is now, on the day. Of a
// feed that changed by more than the policy allows the earlier record stays,
// unless it is accepted. What else is wrong with the policy is not the lock's
// business.
func (l *locking) feeds(day string, accept bool) {
	before := lock.File{Version: lock.Version, Peers: l.new.Peers, Own: l.new.Own}
	if l.source.lock != nil {
		before.Feeds = l.source.lock.Feeds
	}
	out := compiler.Compile(compiler.Input{Files: l.source.files, Lock: &before, ReadFeed: lang.ReadFile})
	refused := map[diag.Span]bool{}
	for _, f := range out.Findings {
		switch {
		case f.Code == "feed-changed" && !accept:
			refused[f.Span] = true
			l.findings = append(l.findings, f)
		case f.Code == "feed-unreadable" || f.Code == "feed-line":
			l.findings = append(l.findings, f)
		}
	}
	for _, t := range out.Policy.Feeds() {
		feed := l.new.Feed(t.Path)
		if feed == nil {
			if t.Digest == "" {
				continue // it could not be read
			}
			if feed = before.Feed(t.Path); feed == nil || !refused[t.Span] {
				feed = &lock.Feed{Path: t.Path, Digest: t.Digest, Entries: t.Entries}
			}
			l.new.Feeds = append(l.new.Feeds, feed)
		}
		if feed.Digest != t.Digest {
			continue // the earlier record stays
		}
		if t.MaxAge > 0 || t.Dated {
			feed.Date = day
		}
		if t.Sketch != nil {
			feed.Sketch = t.Sketch
		}
	}
}

// writeLock writes the lock when it changed, and says what changed.
func (s *session) writeLock(l *locking, format string) error {
	path := lockPath(l.source.path)
	text := l.new.Format()
	changed := !bytes.Equal(text, l.source.lockText)
	if l.source.lockText == nil && len(l.new.Peers)+len(l.new.Own)+len(l.new.Feeds) == 0 && diag.HasErrors(l.findings) {
		diag.Sort(l.findings)
		diag.RenderText(s.err, l.findings, l.source.shown(), s.color(s.errTerminal))
		return &ended{failed, fmt.Errorf("%s: nothing was found, and nothing was written", path)}
	}
	if changed {
		if err := writeWhole(path, text, 0o644); err != nil {
			return err
		}
	}
	diag.Sort(l.findings)
	if format == "json" {
		if err := writeJSON(s.out, map[string]any{
			"path": path, "changed": changed, "peers": len(l.new.Peers), "own": len(l.new.Own), "feeds": len(l.new.Feeds),
		}); err != nil {
			return err
		}
	} else {
		diff := deploy.CompareText(path+" (before)", path, l.source.lockText, text)
		if _, err := io.WriteString(s.out, diff); err != nil {
			return err
		}
		state := "unchanged"
		if changed {
			state = "written"
		}
		s.note("%s: %s, %s, %s", path, state, count(len(l.new.Peers), "peer"), count(len(l.new.Feeds), "feed"))
	}
	diag.RenderText(s.err, l.findings, l.source.shown(), s.color(s.errTerminal))
	if diag.HasErrors(l.findings) {
		return end(failed)
	}
	return nil
}
