package suricata

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"xfwc/compiler/ir"
)

// Backend writes the rules and the configuration of a passive sensor.
type Backend struct{}

// Kind is the engine's name in the policy language.
func (Backend) Kind() string { return "suricata" }

// Emit writes xfwc.rules and xfwc.yaml for the point's sensor, and answers in
// the ledger for each flow, limit, content rule and route that concerns the
// point. A sensor that no content rule can use still gets both files, so that
// rules of an earlier policy do not stay in force.
func (b Backend) Emit(p *ir.Policy, pt *ir.Point) ir.Emission {
	engine := pt.Engine(b.Kind())
	if engine == nil {
		return ir.Emission{}
	}
	em := &emitter{p: p, pt: pt, device: engine.Device, sids: numbers(p)}
	em.flows()
	for _, t := range em.p.Egress {
		if t.Default == ir.Deny && (em.pt.Role == ir.Gateway || em.pt.Server == t.Server) {
			em.ledger("egress "+t.Server.Name, ir.None, "a passive sensor reads copies of packets and holds none back", t.Origin)
		}
	}
	em.out.Ledger = append(em.out.Ledger, em.p.Unseen(em.pt, Backend{}.Kind())...)
	config, err := configuration(pt.Name, engine.Device)
	switch {
	case engine.Device == "":
		em.contents("the policy names no interface for this sensor")
		em.out.Findings = append(em.out.Findings, noDevice(pt, engine))
	case err != nil:
		em.contents(err.Error())
		em.out.Findings = append(em.out.Findings, badDevice(pt, engine, err))
	default:
		em.contents("")
		if em.count == 0 {
			em.out.Findings = append(em.out.Findings, idle(pt, engine))
		}
		head := fmt.Sprintf("# %d rules for Suricata at point %s, policy %s, written by xfwc.\n",
			em.count, comment(pt.Name), comment(p.Name))
		em.out.Artefacts = []ir.Artefact{
			{Point: pt.Name, Engine: b.Kind(), Path: "xfwc.rules", Bytes: append([]byte(head), em.rules.Bytes()...)},
			{Point: pt.Name, Engine: b.Kind(), Path: "xfwc.yaml", Bytes: config},
		}
	}
	em.routes()
	return em.out
}

// emitter is the work on one point.
type emitter struct {
	p      *ir.Policy
	pt     *ir.Point
	device string
	sids   map[string]uint32
	rules  bytes.Buffer
	count  int // rules written
	out    ir.Emission
}

func (em *emitter) ledger(intent string, x ir.Exactness, reason string, o ir.Origin) {
	em.out.Ledger = append(em.out.Ledger, ir.LedgerEntry{
		Point: em.pt.Name, Engine: Backend{}.Kind(), Intent: intent, Exact: x, Reason: reason, Origin: o,
	})
}

// flows answers for the flows and their limits, none of which a sensor holds.
func (em *emitter) flows() {
	for _, f := range em.p.Flows {
		if !em.pt.Concerns(f) {
			continue
		}
		em.ledger("flow "+f.ID, ir.None, "a passive sensor reads copies of packets and holds none back", f.Origin)
		for _, l := range f.Limits {
			em.ledger("limit "+l.ID, ir.None, "a passive sensor reads copies of packets and refuses no connection", l.Origin)
		}
	}
}

// routes answers for the HTTP routes.
func (em *emitter) routes() {
	for _, r := range em.p.Routes {
		if em.pt.Role == ir.Gateway || r.Point == em.pt || em.pt.Server != nil && r.Server == em.pt.Server {
			em.ledger("route "+r.Path, ir.None, "a sensor serves no path", r.Origin)
		}
	}
}

// contents writes the rules and answers for the content rules, one subject of
// their "on" at a time. With a reason not to, nothing is written.
func (em *emitter) contents(refused string) {
	for _, c := range em.p.Content {
		for _, s := range subjects(c) {
			if !slices.ContainsFunc(s.flows, em.pt.Concerns) {
				continue
			}
			x, reason := ir.None, refused
			if refused == "" {
				x, reason = em.subject(c, s)
			}
			em.ledger("content "+c.ID, x, "on "+s.name+": "+reason, c.Origin)
		}
		for _, a := range c.Anonymous {
			if a.Concerns(em.pt) {
				em.ledger("content "+c.ID, ir.None, "on anonymous of "+a.Server.Name+": "+a.Unseen(), c.Origin)
			}
		}
	}
}

// subject is one name that a content rule is on, with the flows it stands for.
type subject struct {
	name  string
	flows []*ir.Flow
}

func subjects(c *ir.ContentRule) []subject {
	var ss []subject
	for i, f := range c.On {
		name := f.ID
		if i < len(c.OnNames) {
			name = c.OnNames[i]
		}
		j := slices.IndexFunc(ss, func(s subject) bool { return s.name == name })
		if j < 0 {
			j = len(ss)
			ss = append(ss, subject{name: name})
		}
		ss[j].flows = append(ss[j].flows, f)
	}
	return ss
}

// subject writes the rules of c for one subject and says how well they hold it.
func (em *emitter) subject(c *ir.ContentRule, s subject) (ir.Exactness, string) {
	if c.Text == "" {
		return ir.None, notLiteral(c)
	}
	// A rule that only observes alerts, whatever it does later.
	if !c.Does("alert") && c.Observe == "" {
		return ir.None, "a passive sensor reads copies of packets: it can alert, and " + strings.Join(ir.ActionNames(c.Actions), ", ") + " is all that the rule asks for"
	}
	var read int
	var gaps, blind []string // why a written rule may miss, and why a leg has none
	for _, leg := range em.p.Legs {
		if !slices.Contains(s.flows, leg.Flow) {
			continue
		}
		if why := unreadable(leg); why != "" {
			blind = append(blind, why)
			continue
		}
		seen, why := em.passes(leg)
		if seen == nowhere {
			blind = append(blind, why)
			continue
		}
		if err := em.write(c, s, leg); err != nil {
			blind = append(blind, err.Error())
			continue
		}
		read++
		if seen == partly {
			gaps = append(gaps, why)
		}
	}
	switch {
	case read == 0 && len(blind) == 0:
		return ir.None, "the policy has no leg on the wire for it"
	case read == 0:
		return ir.None, strings.Join(compact(blind), "; ")
	}
	gaps = append(gaps, blind...)
	for _, a := range c.Actions {
		if c.Observe == "" && a.Name != "alert" {
			gaps = append(gaps, map[string]string{
				"drop":      "a passive sensor alerts on a match and drops nothing",
				"reject":    "a passive sensor alerts on a match and rejects nothing",
				"terminate": "a passive sensor alerts on a match and ends no stream",
				"block":     "this version has nothing that makes a block of an alert",
			}[a.Name])
		}
	}
	if !ascii(c.Text) {
		gaps = append(gaps, "only ASCII letters are matched in any case, and another Unicode normal form of the text is other bytes")
	}
	if len(gaps) > 0 {
		return ir.Over, strings.Join(compact(gaps), "; ")
	}
	if c.Terms != nil && c.Terms.During != nil {
		return ir.Under, "it alerts at all hours, not only during " + c.Terms.During.Name + ": the sensor knows no hours"
	}
	return ir.Exact, "alerts on the bytes of the text in any case, at most once a minute for each sender; character references and CDATA spell the same text in other bytes"
}

// notLiteral says why the rule is not one that is written: this version writes
// those that look for one literal text.
func notLiteral(c *ir.ContentRule) string {
	const only = "this version writes Suricata rules for one literal text, and this rule "
	if len(c.Any) != 1 {
		return only + "has several matches"
	}
	if len(c.Any[0]) != 1 {
		return only + "asks for several conditions at once"
	}
	switch x := c.Any[0][0]; {
	case x.What != "text":
		return only + "asks for the " + x.What + " of a stanza: a sensor reads bytes and knows no stanzas"
	case x.Words != nil:
		return only + "looks for a list of words"
	case x.Pattern != nil && x.Pattern.Features.String() != "":
		return only + "looks for a pattern, with " + x.Pattern.Features.String()
	}
	return only + "looks for a pattern"
}

// compact drops repeated reasons and keeps their order.
func compact(reasons []string) []string {
	var out []string
	for _, r := range reasons {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > '~' }) < 0
}

// unreadable says why a literal text cannot be looked for on the leg, or "".
func unreadable(leg *ir.Leg) string {
	why := strings.TrimSuffix(leg.Reason, ".")
	switch leg.Visibility {
	case ir.Clear:
	case ir.StartTLS:
		return "the leg " + ends(leg) + " is encrypted from STARTTLS on: " + why
	default:
		return "the leg " + ends(leg) + " is encrypted: " + why
	}
	if leg.Flow.Kind == ir.Web {
		return "the leg " + ends(leg) + " is HTTP, whose bodies may be compressed or masked (RFC 9110 section 8.4, RFC 6455 section 5.3): raw text is not looked for there"
	}
	if !slices.ContainsFunc(leg.Ports, func(p ir.PortSpan) bool { return p.Proto == ir.TCP }) {
		return "the leg " + ends(leg) + " is no TCP stream"
	}
	return ""
}

func ends(leg *ir.Leg) string { return leg.From + " to " + leg.To }

// write adds one rule for each form that the text can have on the wire.
func (em *emitter) write(c *ir.ContentRule, s subject, leg *ir.Leg) error {
	var lines []string
	for i, form := range forms(c.Text) {
		r := rule{
			msg:     "xfwc " + c.ID + " on " + s.name,
			from:    em.end(leg, leg.FromSet),
			to:      em.end(leg, leg.ToSet),
			ports:   leg.Ports,
			content: []byte(form),
			metadata: []meta{
				{"xfwc_policy", em.p.Name}, {"xfwc_rule", c.ID}, {"xfwc_flow", leg.Flow.ID},
			},
			sid: em.sids[ruleKey(c, leg, i)],
		}
		line, err := r.line()
		if err != nil {
			return err
		}
		lines = append(lines, line)
	}
	fmt.Fprintf(&em.rules, "\n# content %s on %s, %s\n", comment(c.ID), comment(s.name), comment(c.Origin.Line()))
	for _, line := range lines {
		em.rules.WriteString(line + "\n")
	}
	em.count += len(lines)
	return nil
}

// end gives the addresses of one end of a leg as the sensor sees them. On
// loopback, a program that runs beside the server reaches it at a loopback
// address as well as at those that the policy states.
func (em *emitter) end(leg *ir.Leg, s *ir.AddrSet) []netip.Prefix {
	ps := prefixes(s)
	if em.device == "lo" && s != nil && leg.Flow.Server != nil && s == leg.Flow.Server.Set {
		ps = append(ps, loopback...)
	}
	return ps
}

// loopback are the addresses of RFC 1122 section 3.2.1.3 and RFC 4291 section
// 2.5.3.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// prefixes gives an end of a rule; a set without addresses is refused by the
// writer, while nil is everybody.
func prefixes(s *ir.AddrSet) []netip.Prefix {
	if s == nil {
		return nil
	}
	return append([]netip.Prefix{}, s.Prefixes...)
}

// forms lists how character data and attribute values can hold the text (XML
// 1.0 section 2.4): & and < are always escaped; >, ' and " each may be, and a
// serializer escapes all of a kind or none.
func forms(text string) []string {
	text = strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(text)
	list := []string{text}
	for _, e := range [][2]string{{">", "&gt;"}, {"'", "&apos;"}, {`"`, "&quot;"}} {
		if !strings.Contains(text, e[0]) {
			continue
		}
		for _, form := range list {
			list = append(list, strings.ReplaceAll(form, e[0], e[1]))
		}
	}
	return list
}

func ruleKey(c *ir.ContentRule, leg *ir.Leg, form int) string {
	return fmt.Sprintf("%s\x00%s\x00%d", c.ID, leg.ID, form)
}

// numbers gives every rule that the policy can lead to its number, at whatever
// point it is written: a hash of its name, so that a rule keeps its number when
// others come and go. Where two fall on one number, the later name in byte order
// is hashed again.
func numbers(p *ir.Policy) map[string]uint32 {
	var keys []string
	for _, c := range p.Content {
		if c.Text == "" {
			continue
		}
		for _, leg := range p.Legs {
			if !slices.Contains(c.On, leg.Flow) {
				continue
			}
			for i := range forms(c.Text) {
				keys = append(keys, ruleKey(c, leg, i))
			}
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	got := make(map[string]uint32, len(keys))
	taken := make(map[uint32]bool, len(keys))
	for _, k := range keys {
		for try := uint32(0); ; try++ {
			sid := number(k, try)
			if !taken[sid] {
				taken[sid], got[k] = true, sid
				break
			}
		}
	}
	return got
}

func number(key string, try uint32) uint32 {
	sum := sha256.Sum256(binary.BigEndian.AppendUint32([]byte(key), try))
	return minSID + uint32(binary.BigEndian.Uint64(sum[:8])%sids)
}

// reach says how much of something lies in a place.
type reach int

const (
	nowhere reach = iota
	partly
	wholly
)

// passes says whether the leg's packets pass the sensor's interface, and why
// not all of them do.
func (em *emitter) passes(leg *ir.Leg) (reach, string) {
	from, to := prefixes(leg.FromSet), prefixes(leg.ToSet)
	fromOwn, toOwn := em.own(from), em.own(to)
	if em.device == "lo" {
		if fromOwn == wholly && toOwn == wholly {
			return wholly, ""
		}
		if fromOwn == nowhere || toOwn == nowhere {
			return nowhere, "the leg " + ends(leg) + " leaves the machine, so it does not pass lo"
		}
		return partly, "a part of the leg " + ends(leg) + " leaves the machine, so it does not pass lo"
	}
	i := slices.IndexFunc(em.pt.Interfaces, func(i ir.Interface) bool { return i.Name == em.device })
	if i < 0 {
		return partly, "the policy does not say what " + em.device + " faces, so whether the leg " + ends(leg) + " passes it is not known"
	}
	fromBehind, toBehind := em.behind(&em.pt.Interfaces[i], from), em.behind(&em.pt.Interfaces[i], to)
	if em.pt.Role == ir.Host {
		// One end is this machine, the other lies behind the interface.
		switch {
		case fromOwn == nowhere && toOwn == nowhere:
			return nowhere, "the leg " + ends(leg) + " does not pass this host"
		case fromOwn == wholly && toOwn == wholly:
			return nowhere, "the leg " + ends(leg) + " stays within the machine, so it does not pass " + em.device
		case toOwn != nowhere:
			toBehind = nowhere
		default:
			fromBehind = nowhere
		}
	}
	// A gateway's own address in the network that the interface faces is not
	// behind it: what begins or ends there passes the interface.
	if fromOwn == wholly {
		fromBehind = nowhere
	}
	if toOwn == wholly {
		toBehind = nowhere
	}
	switch {
	case fromBehind == wholly && toBehind == nowhere, fromBehind == nowhere && toBehind == wholly:
		return wholly, ""
	case fromBehind == nowhere && toBehind == nowhere:
		return nowhere, "neither end of the leg " + ends(leg) + " lies behind " + em.device
	case fromBehind == wholly && toBehind == wholly:
		return nowhere, "both ends of the leg " + ends(leg) + " lie behind " + em.device + ", so it does not cross this point"
	}
	return partly, "a part of the leg " + ends(leg) + " does not pass " + em.device
}

// own says how many of the addresses are the machine's: the point's, and the
// loopback ones.
func (em *emitter) own(ps []netip.Prefix) reach {
	return within(ps, append(prefixes(em.pt.Set), loopback...))
}

// behind says how many of the addresses lie behind the interface; behind one
// that faces the internet lies what is in no network of another interface.
func (em *emitter) behind(iface *ir.Interface, ps []netip.Prefix) reach {
	var here, elsewhere []netip.Prefix
	for _, i := range em.pt.Interfaces {
		for _, n := range i.Networks {
			if i.Name == iface.Name {
				here = append(here, prefixes(n.Set)...)
			} else {
				elsewhere = append(elsewhere, prefixes(n.Set)...)
			}
		}
	}
	elsewhere = append(elsewhere, prefixes(em.pt.Set)...)
	direct := within(ps, here)
	if !iface.Internet || direct == wholly {
		return direct
	}
	switch within(ps, elsewhere) {
	case nowhere:
		return wholly
	case wholly:
		return direct
	}
	return partly
}

// within says how many of the prefixes lie in the places; nil is every address.
func within(ps, places []netip.Prefix) reach {
	if ps == nil {
		ps = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	}
	all, some := true, false
	for _, p := range ps {
		inside := false
		for _, q := range places {
			if q.Overlaps(p) {
				some = true
				inside = inside || q.Bits() <= p.Bits()
			}
		}
		all = all && inside
	}
	switch {
	case len(ps) > 0 && all:
		return wholly
	case some:
		return partly
	}
	return nowhere
}
