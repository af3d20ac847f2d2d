package main

import (
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"xfwc/compiler"
	"xfwc/compiler/ir"
)

// newExplain builds `xfwc explain`.
func newExplain(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain POLICY 'PROTO FROM -> TO:PORT'",
		Short: "Show what happens to a packet, and every policy line that led to it",
		Long: `explain follows the first packet of a conversation over every point on its path
and prints what each decides and by which policy line.

FROM is an address, or the name of a network, server or point. TO is an address,
or the name of a server or point. A name stands for an address of each family,
so one question can have several answers. IPv6 addresses with a port are written
in brackets. Where the policy has windows, the answer is given for every part of
the week; "at mon 09:00" behind the packet asks for one minute, in UTC.`,
		Example: `  xfwc explain policy.xfw 'tcp 203.0.113.9 -> chat:5269'
  xfwc explain policy.xfw 'tcp 2001:db8::9 -> [2001:db8:0:d::10]:5222'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("explain takes a policy and one packet, such as 'tcp 203.0.113.9 -> chat:5269' (in quotes: the shell reads > otherwise)")
			}
			return nil
		},
	}
	format := formatFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		src, err := s.loadToAsk(args[0])
		if err != nil {
			return err
		}
		packets, err := compiler.ParsePackets(src.policy, args[1])
		if err != nil {
			return err
		}
		answers := explainPackets(src.policy, packets)
		if format.value == "json" {
			return writeJSON(s.out, answers)
		}
		for i, a := range answers {
			if i > 0 {
				fmt.Fprintln(s.out)
			}
			if err := a.print(s.out); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

// explained is the answer about one packet.
type explained struct {
	Packet  string         `json:"packet"`       // as explain takes it
	At      []string       `json:"at,omitempty"` // parts of the week, in UTC; only where the answer depends on them
	Verdict string         `json:"verdict"`
	Path    []explainedHop `json:"path"`
}

// explainedHop is what one point decides.
type explainedHop struct {
	Point   string `json:"point"`
	Hook    string `json:"hook"`
	In      string `json:"in,omitempty"`  // interface
	Out     string `json:"out,omitempty"` // interface
	Verdict string `json:"verdict"`
	Reason  string `json:"reason"`
	// Line and Statement are the policy line that decided; empty when none did.
	Line      string `json:"line,omitempty"`
	Statement string `json:"statement,omitempty"`
	// Guarded is set when no statement speaks of this packet, and Line is why
	// the port is judged at all.
	Guarded bool     `json:"guarded,omitempty"`
	Limits  []string `json:"limits,omitempty"`
}

func explainPacket(ex compiler.Explanation) explained {
	a := explained{Packet: packetText(ex.Packet), Verdict: ex.Verdict.String(), Path: []explainedHop{}}
	for _, h := range ex.Hops {
		hop := explainedHop{
			Point: h.Point.Name, Hook: string(h.Hook), In: h.Iif, Out: h.Oif,
			Verdict: h.Decision.Verdict.String(), Reason: h.Decision.Reason,
		}
		if e := h.Decision.Entry; e != nil {
			hop.Line, hop.Statement = place(e.Origin), e.Origin.Label
			hop.Guarded = h.Decision.Service != nil && e == h.Decision.Service.Rest
		}
		for _, l := range h.Decision.Limits {
			hop.Limits = append(hop.Limits, limitText(l))
		}
		a.Path = append(a.Path, hop)
	}
	return a
}

// explainPackets gives one answer for all moments of a packet that are judged
// alike.
func explainPackets(p *ir.Policy, packets []compiler.Packet) []explained {
	var answers []explained
	for i := 0; i < len(packets); {
		first := len(answers)
		week := packets[i]
		to := i
		for to < len(packets) && packetText(packets[to]) == packetText(week) {
			to++
		}
		for ; i < to; i++ {
			part := packets[i].At.String()
			if to-i > 1 {
				part += " - " + packets[i+1].At.String()
			} else if len(answers) > first {
				part += " - " + week.At.String()
			}
			a := explainPacket(compiler.Explain(p, packets[i]))
			same := slices.IndexFunc(answers[first:], func(b explained) bool {
				b.At = nil
				return reflect.DeepEqual(a, b)
			})
			if same >= 0 {
				known := &answers[first+same].At
				last := &(*known)[len(*known)-1]
				if before, end, _ := strings.Cut(*last, " - "); end == packets[i].At.String() {
					_, part, _ = strings.Cut(part, " - ")
					*last = before + " - " + part
				} else {
					*known = append(*known, part)
				}
				continue
			}
			a.At = []string{part}
			answers = append(answers, a)
		}
		if len(answers) == first+1 {
			answers[first].At = nil // it is the same all week
		}
	}
	return answers
}

func (a explained) print(w io.Writer) error {
	var b strings.Builder
	b.WriteString(a.Packet)
	fmt.Fprintf(&b, ": %s\n", a.Verdict)
	if len(a.At) > 0 {
		fmt.Fprintf(&b, "  at %s (UTC)\n", strings.Join(a.At, ", "))
	}
	if len(a.Path) == 0 {
		b.WriteString("  no point of the policy is on the path\n")
	}
	for _, h := range a.Path {
		way := h.Hook
		if h.In != "" {
			way += " from " + h.In
		}
		if h.Out != "" {
			way += " to " + h.Out
		}
		fmt.Fprintf(&b, "  %s (%s): %s, %s\n", h.Point, way, h.Verdict, h.Reason)
		if h.Line != "" || h.Statement != "" {
			word := "by"
			if h.Guarded {
				word = "guarded because of"
			}
			fmt.Fprintf(&b, "    %s %s\n", word, strings.TrimSpace(h.Line+" "+h.Statement))
		}
		for _, l := range h.Limits {
			fmt.Fprintf(&b, "    within %s\n", l)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// packetText writes a packet as explain reads it.
func packetText(p compiler.Packet) string {
	return fmt.Sprintf("%s %s -> %s", p.Proto, p.Src, netip.AddrPortFrom(p.Dst, p.DstPort))
}

// limitText is a limit in the words of the policy, with its line.
func limitText(l *ir.Limit) string {
	key := "global"
	if l.Key != ir.Global {
		key = "per " + string(l.Key)
		if l.Key == ir.PerPrefix {
			key += fmt.Sprintf(" %d/%d", l.Prefix4, l.Prefix6)
		}
	}
	s := fmt.Sprintf("limit %s %d %s", l.Kind, l.Count, key)
	if l.Kind.New() {
		s = fmt.Sprintf("limit %s %d/%s", l.Kind, l.Count, l.Unit)
		if l.Burst > 0 {
			s += fmt.Sprintf(" burst %d", l.Burst)
		}
		s += " " + key
	}
	if at := place(l.Origin); at != "" {
		s += " (" + at + ")"
	}
	return s
}
