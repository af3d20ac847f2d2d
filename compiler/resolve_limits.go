package compiler

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// Limits: what each statement can bound, by what, and how an amount is written.

// limitWord is a limit as it was read. All flows of its statement share one
// count, because the statement is about who connects and not about which port
// is used; only what counts per peer is counted apart for each peer.
type limitWord struct {
	ir.Limit
	at     diag.Span
	of     string    // label of the statement
	shared *ir.Limit // made with the first flow that has it
}

// units are the spellings of the units of a rate.
var units = map[string]string{
	"s": "second", "sec": "second", "second": "second",
	"min": "minute", "minute": "minute",
	"h": "hour", "hour": "hour",
	"d": "day", "day": "day",
}

// limits reads the limit lines of the statement with the origin o. keys are the
// keys that can be told apart there.
func (s *state) limits(o ir.Origin, ls []*lang.Limit, keys ...ir.LimitKey) []*limitWord {
	var out []*limitWord
	for _, l := range ls {
		lw, ok := s.limit(l, keys)
		if !ok {
			continue
		}
		for _, old := range out {
			if old.Kind == lw.Kind && old.Key == lw.Key {
				s.add("value-conflict", l.Span(), fmt.Sprintf("limit %s %s is stated twice", lw.Kind, keyWords(lw.Key)), diag.Label{Span: old.at, Text: "first stated here"})
				ok = false
			}
		}
		if ok {
			lw.of = o.Label
			out = append(out, lw)
		}
	}
	return out
}

func keyWords(k ir.LimitKey) string {
	if k == ir.Global {
		return "global"
	}
	return "per " + string(k)
}

func (s *state) limit(l *lang.Limit, keys []ir.LimitKey) (*limitWord, bool) {
	lw := &limitWord{at: l.Span()}
	kind := s.oneOf(l.Kind, "a limit", string(ir.Connections), string(ir.Attempts))
	lw.Kind = ir.LimitKind(kind)
	ok := kind != ""
	lw.Key = ir.Global
	if l.Key != nil {
		lw.Key = ir.LimitKey(l.Key.Text)
		if lw.Key == ir.Global || !slices.Contains(keys, lw.Key) {
			var forms []string
			for _, k := range keys {
				forms = append(forms, keyWords(k))
			}
			s.addRemedy("value-invalid", l.Key.Span(), fmt.Sprintf("this limit cannot be per %s", quoted(l.Key.Text)), "Write "+strings.Join(forms, " or ")+".")
			ok = false
		}
	}
	amount, unit, rate := strings.Cut(l.Amount.Text, "/")
	n, err := strconv.ParseUint(amount, 10, 32)
	bad := ""
	switch {
	case errors.Is(err, strconv.ErrRange):
		bad = fmt.Sprintf("%s is more than the %d that can be counted", quoted(amount), uint32(math.MaxUint32))
	case err != nil:
		bad = fmt.Sprintf("%s is no amount", quoted(l.Amount.Text))
	case n == 0:
		bad = "a limit of 0 would let nobody in"
	case lw.Kind == ir.Connections && rate:
		bad = "connections are counted at one time, without a unit"
	case lw.Kind == ir.Attempts && !rate:
		bad = "attempts are counted per time"
	case rate && units[unit] == "":
		bad = fmt.Sprintf("%s is no unit of time", quoted(unit))
	}
	if bad != "" {
		s.addRemedy("value-invalid", l.Amount.Span(), bad, "Write connections as 20, attempts as 30/minute; units are second, minute, hour and day.")
		return lw, false
	}
	lw.Count, lw.Unit = uint32(n), units[unit]
	if l.Burst != nil {
		b, err := strconv.ParseUint(l.Burst.Text, 10, 32)
		switch {
		case err != nil || b == 0:
			s.addRemedy("value-invalid", l.Burst.Span(), fmt.Sprintf("%s is no burst", quoted(l.Burst.Text)), "Write how many attempts may come at once.")
			return lw, false
		case lw.Kind == ir.Connections:
			s.addRemedy("value-invalid", l.Burst.Span(), "connections are counted at one time and have no burst", "Remove burst.")
			return lw, false
		}
		lw.Burst = uint32(b)
	}
	if lw.Kind == ir.Attempts {
		ok = s.countable(l, lw) && ok
	}
	return lw, ok
}

// countable reports a rate that no kernel counts. Linux keeps the attempts that
// are left as nanoseconds in 64 bits: the time from one to the next, times the
// burst (net/netfilter/nft_limit.c). It refuses a product of more than 64 bits
// with EOVERFLOW; the bound here is 63, as one that nearly fills them overflows
// while time is added. A time of 0 ns it takes, and then it bounds nothing.
func (s *state) countable(l *lang.Limit, lw *limitWord) bool {
	between := seconds(lw.Unit) * 1e9 / uint64(lw.Count)
	if between == 0 {
		s.addRemedy("value-invalid", l.Amount.Span(), fmt.Sprintf("%d/%s is more than one in a nanosecond, which no kernel counts", lw.Count, lw.Unit), "Write 1000000000/second or less, or leave the limit out.")
		return false
	}
	if most := math.MaxInt64 / between; uint64(lw.Burst) > most {
		s.addRemedy("value-invalid", l.Burst.Span(), fmt.Sprintf("a burst of %d at %d/%s is more than the kernel counts", lw.Burst, lw.Count, lw.Unit),
			fmt.Sprintf("Write a burst of at most %d, or a faster rate.", most))
		return false
	}
	return true
}

// bound gives a flow its limits: those of the narrower statement first, and of
// the wider one what the narrower says nothing of.
func (s *state) bound(f *ir.Flow, statements ...[]*limitWord) {
	for _, ls := range statements {
		for _, lw := range ls {
			taken := false
			for _, old := range f.Limits {
				taken = taken || old.Kind == lw.Kind && old.Key == lw.Key
			}
			if taken {
				continue
			}
			f.Limits = append(f.Limits, s.limitFor(f, lw))
		}
	}
}

// limitFor gives a flow its limit of a statement.
func (s *state) limitFor(f *ir.Flow, lw *limitWord) *ir.Limit {
	if lw.Key == ir.PerPeer {
		return s.newLimit(lw, f.ID)
	}
	return s.sharedLimit(lw)
}

// sharedLimit is the limit itself, as its statement says it.
func (s *state) sharedLimit(lw *limitWord) *ir.Limit {
	if lw.shared == nil {
		lw.shared = s.newLimit(lw, strings.ReplaceAll(lw.of, " of ", "-")) // "clients of chat" counts as clients-chat
	}
	return lw.shared
}

func (s *state) newLimit(lw *limitWord, of string) *ir.Limit {
	l := lw.Limit
	l.ID = s.id(of, string(l.Kind), string(l.Key))
	l.Origin = origin(lw.at, fmt.Sprintf("limit %s %s of %s", l.Kind, keyWords(l.Key), lw.of))
	return &l
}

// stated are the limits of a statement, for who asks what it says. A limit per
// peer is there once, besides those that the flows of its peers have.
func (s *state) stated(ls []*limitWord) []*ir.Limit {
	var out []*ir.Limit
	for _, lw := range ls {
		out = append(out, s.sharedLimit(lw))
	}
	return out
}
