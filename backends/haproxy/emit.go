package haproxy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"xfwc/compiler/ir"
)

// Backend writes the configuration of a point that ends TLS for BOSH.
type Backend struct{}

// Kind is the engine's name in the policy language.
func (Backend) Kind() string { return "haproxy" }

const (
	// sources is how many sources are counted at least: entries of sources that
	// have no connection now, but a rate, make room for others when all are used.
	sources = 100000
	// manySources is the same where the policy bounds the connections of a source
	// but not those of everybody: as many as a process can have descriptors for.
	manySources = 1000000
	// perLine is how many prefixes one line of an address match holds.
	perLine = 32
	// maxPrefixes bounds the address lists that are written into the file; the
	// packet filter holds longer ones, before a connection is accepted.
	maxPrefixes = 1024
	// minWindow and maxWindow bound the period of a rate counter, in
	// milliseconds: below, the counter's clock is too coarse; above, it wraps.
	minWindow = 10
	maxWindow = 1 << 29
	// ciphers are for TLS 1.2: forward secret and authenticated.
	ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" +
		"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" +
		"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
	// defaultBurst is what a rate limit admits at once unless stated.
	defaultBurst = 5
)

// Emit writes haproxy.cfg for the routes whose TLS ends at the point, and
// answers in the ledger for each flow, limit, content rule and route that
// concerns the point. Without such a route there is no artefact: HAProxy
// refuses to run without a listener.
func (b Backend) Emit(p *ir.Policy, pt *ir.Point) ir.Emission {
	engine := pt.Engine(b.Kind())
	if engine == nil {
		return ir.Emission{}
	}
	em := &emitter{p: p, pt: pt, answers: map[string][]ir.LedgerEntry{}}
	for _, s := range em.sites() {
		em.site(s)
	}
	em.ledger()
	if len(em.maxconn) == 0 {
		em.out.Findings = append(em.out.Findings, idle(pt, engine))
		return em.out
	}
	text, err := em.c.file(fmt.Sprintf("HAProxy at point %s, policy %s, written by xfwc.", pt.Name, p.Name), em.global)
	if err != nil {
		// What was written into the file has been tried by itself before, so this
		// is about the file as a whole.
		for i, l := range em.out.Ledger {
			if l.Exact != ir.None {
				em.out.Ledger[i].Exact, em.out.Ledger[i].Reason = ir.None, err.Error()
			}
		}
		em.out.Findings = append(em.out.Findings, unwritable(pt, em.routes()[0], err))
		return em.out
	}
	em.out.Artefacts = []ir.Artefact{{Point: pt.Name, Engine: b.Kind(), Path: "haproxy.cfg", Bytes: text}}
	return em.out
}

// emitter is the work on one point.
type emitter struct {
	p       *ir.Policy
	pt      *ir.Point
	c       config
	maxconn []uint32                    // of each frontend written; 0 is unbounded
	answers map[string][]ir.LedgerEntry // by intent, until they are in the ledger
	out     ir.Emission
}

// answer notes how an intent is held.
func (em *emitter) answer(intent string, x ir.Exactness, reason string, o ir.Origin) {
	em.answers[intent] = append(em.answers[intent], ir.LedgerEntry{
		Point: em.pt.Name, Engine: Backend{}.Kind(), Intent: intent, Exact: x, Reason: reason, Origin: o,
	})
}

// routes are those whose TLS ends at the point.
func (em *emitter) routes() []*ir.HTTPRoute {
	var rs []*ir.HTTPRoute
	for _, r := range em.p.Routes {
		if r.Point == em.pt {
			rs = append(rs, r)
		}
	}
	return rs
}

// site is what one frontend serves: a server's BOSH routes on one port.
type site struct {
	server *ir.Server
	port   uint16
	routes []*ir.HTTPRoute
}

// sites groups the routes by port, and answers for those that no frontend can
// serve.
func (em *emitter) sites() []*site {
	var sites []*site
	for _, r := range em.routes() {
		intent := "route " + r.Path
		_, badPath := path(r.Path)
		i := slices.IndexFunc(sites, func(s *site) bool { return s.port == r.Listen.From })
		switch {
		case r.Kind != "bosh":
			em.answer(intent, ir.None, "this version writes no "+r.Kind+" routes for HAProxy; the path answers 404", r.Origin)
		case badPath != nil:
			em.answer(intent, ir.None, badPath.Error(), r.Origin)
			em.out.Findings = append(em.out.Findings, unwritable(em.pt, r, badPath))
		case r.Listen.From == 0 || len(em.addresses()) == 0:
			em.answer(intent, ir.None, "the point has no address and port to serve it on", r.Origin)
			em.out.Findings = append(em.out.Findings, noAddress(em.pt, r))
		case r.Server == nil || len(r.Server.Addresses) == 0 || r.Backend.From == 0:
			em.answer(intent, ir.None, "the server has no address and HTTP port to forward it to", r.Origin)
			em.out.Findings = append(em.out.Findings, noBackend(em.pt, r))
		case i >= 0 && (sites[i].server != r.Server || sites[i].routes[0].Backend != r.Backend):
			em.answer(intent, ir.None, "the port serves another server at this point", r.Origin)
			em.out.Findings = append(em.out.Findings, portTaken(em.pt, r, sites[i].routes[0]))
		case i >= 0:
			sites[i].routes = append(sites[i].routes, r)
		default:
			sites = append(sites, &site{server: r.Server, port: r.Listen.From, routes: []*ir.HTTPRoute{r}})
		}
	}
	return sites
}

// addresses are those that the point listens on, IPv4 first.
func (em *emitter) addresses() []netip.Addr {
	as := slices.Clone(em.pt.Addresses)
	if len(as) == 0 && em.pt.Server != nil {
		as = slices.Clone(em.pt.Server.Addresses)
	}
	slices.SortFunc(as, netip.Addr.Compare)
	return slices.Compact(as)
}

// flow is the web statement that admits clients to the site, or nil.
func (em *emitter) flow(s *site) *ir.Flow {
	for _, f := range em.p.Flows {
		if f.Kind == ir.Web && f.Verdict == ir.Allow && !f.Outbound && f.Server == s.server &&
			slices.ContainsFunc(f.Ports, func(p ir.PortSpan) bool { return p.From <= s.port && s.port <= p.To }) {
			return f
		}
	}
	return nil
}

// exempt are the sources that allow statements admit to a site. Like the packet
// filter, HAProxy judges them before the web statement, wherever they stand, so
// they are exempt from its limits (XEP-0205 section 5).
type exempt struct {
	any  bool       // everybody is
	list []*ir.Flow // whose sources are written; none where any is set
	long []*ir.Flow // whose lists of sources are too long for the file
}

// exempts finds the allow statements that reach the site. limited says whether
// the web statement has limits.
func (em *emitter) exempts(s *site, limited bool) exempt {
	var x exempt
	var all []*ir.Flow
	for _, f := range em.p.Flows {
		if f.Kind == ir.Access && f.Verdict == ir.Allow && em.reaches(f, s.port) && (f.From.Any || f.From.Set != nil) {
			all = append(all, f)
			x.any = x.any || f.From.Any
		}
	}
	prefixes := 0
	for _, f := range all {
		exact, reason := ir.Exact, "serves the web statement's paths to its sources, before the limits of that statement"
		switch {
		case x.any:
		case prefixes+len(f.From.Set.Prefixes) <= maxPrefixes:
			prefixes += len(f.From.Set.Prefixes)
			x.list = append(x.list, f)
		default:
			x.long = append(x.long, f)
			if limited {
				exact = ir.Under
				reason = fmt.Sprintf("serves the web statement's paths to its sources, and counts them against the limits of that statement: a list of %d prefixes is too long for this file", len(f.From.Set.Prefixes))
			}
		}
		if slices.ContainsFunc(f.Ports, func(p ir.PortSpan) bool { return p != tcpPort(s.port) }) {
			exact = ir.Under
			reason += fmt.Sprintf("; of its ports only %d is served here, the others are %s", s.port, em.elsewhere())
		}
		em.answer("flow "+f.ID, exact, reason, f.Origin)
	}
	return x
}

// reaches reports whether the flow is to the port at this point.
func (em *emitter) reaches(f *ir.Flow, port uint16) bool {
	if !slices.ContainsFunc(f.Ports, func(p ir.PortSpan) bool { return p.Proto == ir.TCP && p.From <= port && port <= p.To }) {
		return false
	}
	_, hit := f.To.Set.Overlap(em.pt.Set)
	return hit || f.To.Any
}

func tcpPort(port uint16) ir.PortSpan { return ir.PortSpan{Proto: ir.TCP, From: port, To: port} }

// site writes the frontend of a site and the backend behind it.
func (em *emitter) site(s *site) {
	c := &em.c
	port := strconv.Itoa(int(s.port))
	front, back := c.name("https_"+port), c.name("http_"+port)
	flow := em.flow(s)
	var limits counting
	var free exempt
	if flow != nil {
		free = em.exempts(s, len(flow.Limits) > 0)
		limits = em.count(flow, port, free)
	}
	limits.tables(c)

	c.section("frontend", front)
	c.comment(s.routes[0].Origin.Line() + " web of " + s.server.Name)
	if limits.room() > 0 {
		c.line("maxconn", number(limits.room()))
	}
	em.maxconn = append(em.maxconn, limits.room())
	for _, a := range em.addresses() {
		c.line("bind", c.socket(a, s.port), "ssl", "crt", c.name(em.pt.Name+".pem"), "ssl-min-ver", "TLSv1.2", "alpn", "h2,http/1.1")
	}
	if flow != nil {
		em.sources(flow, free)
	}
	limits.rules(c)
	em.requests(s, back)

	c.section("backend", back)
	c.comment("in the clear from here to " + s.server.Name)
	for i, a := range s.server.Addresses {
		words := []word{"server", c.name(s.server.Name + "_" + strconv.Itoa(i+1)), c.socket(a, s.routes[0].Backend.From), "check", "inter", "10s"}
		if i > 0 {
			// The same server: a BOSH session must not alternate between its addresses
			// for no reason.
			words = append(words, "backup")
		}
		c.line(words...)
	}
}

// sources admits only the sources that the web statement and the allow
// statements name.
func (em *emitter) sources(f *ir.Flow, free exempt) {
	for _, a := range free.list {
		em.c.comment(a.Origin.Line() + " " + a.Origin.Label)
		em.prefixes("exempt", a.From.Set)
	}
	if len(free.list) > 0 {
		// Accepted is final here: such a connection is not counted below.
		em.c.line("tcp-request", "connection", "accept", "if", "exempt")
	}
	const over = "serves the web statement's paths over TLS 1.2 or later, to every source: "
	switch {
	case f.From.Any, free.any:
		em.answer("flow "+f.ID, ir.Exact, "serves the web statement's paths over TLS 1.2 or later, and nothing else", f.Origin)
		return
	case len(free.long) > 0:
		// Who is only in a list that is not written must not be refused.
		em.answer("flow "+f.ID, ir.Over, over+"the list of "+free.long[0].Origin.Label+" is too long for this file, so sources are "+em.elsewhere(), f.Origin)
		return
	case f.From.Set == nil || len(f.From.Set.Prefixes) == 0:
		em.c.line("tcp-request", "connection", "reject")
	case len(f.From.Set.Prefixes) > maxPrefixes:
		em.answer("flow "+f.ID, ir.Over, over+"a list of "+strconv.Itoa(len(f.From.Set.Prefixes))+" prefixes is "+em.elsewhere(), f.Origin)
		return
	default:
		em.prefixes("admitted", f.From.Set)
		em.c.line("tcp-request", "connection", "reject", "unless", "admitted")
	}
	em.answer("flow "+f.ID, ir.Exact, "serves the web statement's paths over TLS 1.2 or later to its sources, and nothing else", f.Origin)
}

// prefixes adds a set of sources to an address match.
func (em *emitter) prefixes(acl word, s *ir.AddrSet) {
	for part := range slices.Chunk(s.Prefixes, perLine) {
		words := []word{"acl", acl, "src"}
		for _, p := range part {
			words = append(words, em.c.prefix(p))
		}
		em.c.line(words...)
	}
}

// elsewhere says who holds what HAProxy does not.
func (em *emitter) elsewhere() string {
	if em.pt.Engine("nftables") != nil {
		return "held by nftables at this point"
	}
	return "not held at this point, which has no packet filter"
}

// requests writes what a request has to be to reach the server.
func (em *emitter) requests(s *site, back word) {
	c := &em.c
	bosh := func(i int) word { return c.name("bosh_" + strconv.Itoa(i+1)) }
	var any []word
	for i, r := range s.routes {
		c.comment(r.Origin.Line() + " bosh")
		// The path on the wire, not decoded: //bosh and /%62osh are other paths.
		c.line("acl", bosh(i), "path", "-m", "str", "--", c.path(r.Path))
		if i > 0 {
			any = append(any, "or")
		}
		any = append(any, bosh(i))
	}
	c.line(slices.Concat([]word{"http-request", "return", "status", "404", "unless"}, any)...)
	// BOSH is POST alone (XEP-0124 section 5); a browser asks with OPTIONS first.
	c.line("http-request", "return", "status", "405", "hdr", "Allow", "'POST, OPTIONS'", "unless", "METH_POST", "or", "METH_OPTIONS")
	for i, r := range s.routes {
		if r.BodyMax == 0 {
			em.answer("route "+r.Path, ir.Exact, "the exact path, POST alone, any size of body", r.Origin)
			continue
		}
		c.line("http-request", "deny", "deny_status", "413", "if", bosh(i), "{", "req.body_size", "gt", number(r.BodyMax), "}")
		em.answer("route "+r.Path, ir.Under, "the exact path, POST alone; a body without Content-Length is refused, because its size is not known before it is forwarded", r.Origin)
	}
	// A body that trickles in holds a connection no longer than this. A small one
	// is read before it is refused, else the client might not see the answer.
	c.line("http-request", "wait-for-body", "time", "10s")
	for i, r := range s.routes {
		if r.BodyMax > 0 {
			// HAProxy knows the size of a body that states none only as far as it has
			// arrived, so such a body has to state it (RFC 9110 section 15.5.12).
			c.line("http-request", "return", "status", "411", "if", bosh(i), "METH_POST", "!{", "req.hdr(content-length)", "-m", "found", "}")
		}
	}
	// What OPTIONS sends along is of no use to anybody.
	c.line("http-request", "deny", "deny_status", "413", "if", "METH_OPTIONS", "{", "req.body_len", "gt", "0", "}")
	// What a client claims about itself is overwritten: the server trusts these.
	c.line("http-request", "del-header", "Forwarded")
	c.line("http-request", "del-header", "X-Real-IP")
	c.line("http-request", "set-header", "X-Forwarded-For", "%[src]")
	c.line("http-request", "set-header", "X-Forwarded-Proto", "https")
	// An upgrade to another protocol would leave these rules behind.
	c.line("http-request", "del-header", "Upgrade")
	c.line("default_backend", back)
}

// counting is how a frontend counts connections.
type counting struct {
	perSource, global tracker
	most              uint32 // the global limit on connections, 0 when unstated
	exempt            bool   // some sources are not counted
}

// tracker is one stick table with the limits that its counters decide.
type tracker struct {
	table   word
	window  uint64   // of the rate counter, in milliseconds
	limits  []uint32 // on connections at the same time
	attempt uint32   // connections in a window; valid if window is not 0
}

func (t tracker) used() bool { return len(t.limits) > 0 || t.window > 0 }

// count decides which limits of the flow the frontend can hold, and answers for
// all of them.
func (em *emitter) count(f *ir.Flow, port string, free exempt) counting {
	n := counting{
		perSource: tracker{table: em.c.name("sources_" + port)},
		global:    tracker{table: em.c.name("everybody_" + port)},
		exempt:    len(free.list) > 0,
	}
	for _, l := range f.Limits {
		intent := "limit " + l.ID
		if free.any {
			em.answer(intent, ir.Exact, "an allow statement exempts every source from it, so nothing is counted", l.Origin)
			continue
		}
		t := &n.perSource
		switch l.Key {
		case ir.PerSource:
		case ir.Global:
			t = &n.global
		default:
			em.answer(intent, ir.None, "web traffic has no peers to count by", l.Origin)
			continue
		}
		switch l.Kind {
		case ir.Connections:
			t.limits = append(t.limits, l.Count)
			if l.Key == ir.Global && (n.most == 0 || l.Count < n.most) {
				n.most = l.Count
			}
			em.answer(intent, ir.Exact, "connections are counted when they are accepted, the excess is reset", l.Origin)
		case ir.Attempts:
			window, burst, err := rate(l)
			if err == nil && t.window > 0 {
				err = fmt.Errorf("HAProxy keeps one rate for each thing it counts by, and another limit uses it")
			}
			if err != nil {
				em.answer(intent, ir.None, err.Error(), l.Origin)
				continue
			}
			t.window, t.attempt = window, burst
			em.answer(intent, ir.Under, fmt.Sprintf("at most %d in any %d ms, where refused ones count too; a token bucket would let some more pass", burst, window), l.Origin)
		default:
			em.answer(intent, ir.None, "HAProxy does not count "+string(l.Kind), l.Origin)
		}
	}
	return n
}

// rate turns a token bucket into a window: burst connections in the time that
// the rate needs for as many. What a window admits, the bucket admits as well:
// over any time t at most burst + rate × t.
func rate(l *ir.Limit) (window uint64, burst uint32, err error) {
	units := map[string]uint64{"second": 1000, "minute": 60000, "hour": 3600000, "day": 86400000}
	unit, ok := units[l.Unit]
	if !ok || l.Count == 0 {
		return 0, 0, fmt.Errorf("a rate of %d per %q is none that HAProxy can count", l.Count, l.Unit)
	}
	burst = l.Burst
	if burst == 0 {
		burst = defaultBurst
	}
	window = (uint64(burst)*unit + uint64(l.Count) - 1) / uint64(l.Count)
	window = max(window, minWindow)
	if window > maxWindow {
		return 0, 0, fmt.Errorf("the rate would have to be counted over %d days, HAProxy counts over 6 at most", window/units["day"])
	}
	return window, burst, nil
}

// room is how many connections the frontend takes: more than the limit, so that
// the excess is refused at once instead of waiting in the kernel's queue. It is
// 0, which leaves it to HAProxy, when the policy states no limit or exempts
// somebody from it: what is exempt must not fill the room of the others.
func (n counting) room() uint32 {
	if n.most == 0 || n.exempt {
		return 0
	}
	return uint32(min(uint64(n.most)+uint64(n.most)/10+100, 1<<24))
}

// size is how many sources the table of a frontend has room for: more than there
// can be connections, because no entry with a connection is ever dropped, and
// one that finds no room is not counted.
func (n counting) size() uint32 {
	if n.room() == 0 {
		return manySources
	}
	return max(2*n.room(), sources)
}

// tables writes the tables that the counters live in.
func (n counting) tables(c *config) {
	if t := n.perSource; t.used() {
		c.section("backend", t.table)
		c.line("stick-table", "type", "ipv6", "size", number(n.size()), "expire", t.expiry(), "store", t.counters())
	}
	if t := n.global; t.used() {
		c.section("backend", t.table)
		c.line("stick-table", "type", "integer", "size", "1", "expire", t.expiry(), "store", t.counters())
	}
}

func (t tracker) expiry() word { return milliseconds(max(2*t.window, 60000)) }

func (t tracker) counters() word {
	var ws []word
	if len(t.limits) > 0 {
		ws = append(ws, "conn_cur")
	}
	if t.window > 0 {
		ws = append(ws, call("conn_rate", milliseconds(t.window)))
	}
	return join(ws...)
}

// rules writes the limits. A source over its own limits is refused before it is
// counted among everybody, so that it cannot use up what the others share.
func (n counting) rules(c *config) {
	if t := n.perSource; t.used() {
		c.line("tcp-request", "connection", "track-sc0", "src,ipmask(32,64)", "table", t.table)
		t.rules(c, "sc0_conn_cur", "sc0_conn_rate")
	}
	if t := n.global; t.used() {
		c.line("tcp-request", "connection", "track-sc1", "int(1)", "table", t.table)
		t.rules(c, "sc1_conn_cur", "sc1_conn_rate")
	}
}

func (t tracker) rules(c *config, current, rate word) {
	for _, most := range t.limits {
		c.line("tcp-request", "connection", "reject", "if", "{", call(current, t.table), "gt", number(most), "}")
	}
	if t.window > 0 {
		c.line("tcp-request", "connection", "reject", "if", "{", call(rate, t.table), "gt", number(t.attempt), "}")
	}
}

// global writes the sections that hold for the whole process.
func (em *emitter) global(description word) {
	c := &em.c
	var all uint32
	if !slices.Contains(em.maxconn, 0) {
		for _, n := range em.maxconn {
			all += n
		}
	}
	c.line("description", description)
	c.line("log", "stdout", "format", "short", "daemon")
	c.line("user", "haproxy")
	c.line("group", "haproxy")
	c.line("chroot", "/var/lib/haproxy")
	if all > 0 {
		c.line("maxconn", number(all))
	}
	c.comment("A reload leaves the old process to its sessions for no longer than this.")
	c.line("hard-stop-after", "2m")
	c.line("crt-base", `"${XFWC_TLS_DIR-/etc/xfwc/tls}"`)
	c.comment("RFC 9325 sections 3.4 and 4.2")
	c.line("ssl-default-bind-options", "ssl-min-ver", "TLSv1.2", "no-tls-tickets")
	c.line("ssl-default-bind-ciphers", ciphers)

	c.section("defaults")
	c.line("mode", "http")
	c.line("log", "global")
	c.line("option", "httplog")
	c.line("option", "dontlognull")
	c.line("timeout", "connect", "5s")
	c.line("timeout", "queue", "5s")
	c.comment("A client that sends nothing, before TLS or within a request, is cut off.")
	c.line("timeout", "client", "10s")
	c.line("timeout", "http-request", "10s")
	c.line("timeout", "http-keep-alive", "75s")
	c.comment("The server holds a BOSH request for up to its wait, 60 s as a rule.")
	c.line("timeout", "server", "90s")
}

// ledger lists the answers in the order of the policy, with one for everything
// that concerns the point and has none yet.
func (em *emitter) ledger() {
	list := func(intent, otherwise string, o ir.Origin) {
		if len(em.answers[intent]) == 0 && otherwise != "" {
			em.answer(intent, ir.None, otherwise, o)
		}
		em.out.Ledger = append(em.out.Ledger, em.answers[intent]...)
		delete(em.answers, intent)
	}
	for _, t := range em.p.Clients {
		for _, f := range t.Flows {
			// Without a leg after it, direct TLS does not arrive here.
			if arrives := t.ALPN == em.pt || t.Offload == em.pt; arrives && !f.Leg && f.TLS == "direct" && !f.To.Any && f.To.Set == em.pt.Set {
				em.answer("flow "+f.ID, ir.None, "this version writes no direct TLS offload or ALPN router: write it by hand", f.Origin)
				em.out.Findings = append(em.out.Findings, byHand(em.pt, t))
			}
		}
	}
	for _, f := range em.p.Flows {
		if !em.pt.Concerns(f) {
			continue
		}
		list("flow "+f.ID, em.elsewhere(), f.Origin)
		for _, l := range f.Limits {
			list("limit "+l.ID, em.elsewhere(), l.Origin)
		}
	}
	for _, t := range em.p.Egress {
		if t.Default == ir.Deny && (em.pt.Role == ir.Gateway || em.pt.Server == t.Server) {
			list("egress "+t.Server.Name, em.elsewhere(), t.Origin)
		}
	}
	for _, e := range em.p.Unseen(em.pt, Backend{}.Kind()) {
		list(e.Intent, e.Reason, e.Origin)
	}
	for _, c := range em.p.Content {
		if slices.ContainsFunc(c.On, em.pt.Concerns) || slices.ContainsFunc(c.Anonymous, func(a *ir.AnonymousTerms) bool { return a.Concerns(em.pt) }) {
			list("content "+c.ID, "this version writes no rules about bodies for HAProxy", c.Origin)
		}
	}
	for _, r := range em.routes() {
		list("route "+r.Path, "", r.Origin)
	}
}
