package haproxy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

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
	if em.pt.Observe != "" && len(em.maxconn) > 0 {
		em.answer("observe "+em.pt.Name, ir.Under, "HAProxy refuses all the same what the point is to observe until "+em.pt.Observe, em.pt.Origin)
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
	server  *ir.Server
	port    uint16
	routes  []*ir.HTTPRoute
	missing []string // paths of the same web statement that are not written
}

// sites groups the routes by port, and answers for those that no frontend can
// serve.
func (em *emitter) sites() []*site {
	var sites []*site
	unserved := map[*ir.HTTPRoute]string{}
	for _, r := range em.routes() {
		_, badPath := path(r.Path)
		i := slices.IndexFunc(sites, func(s *site) bool { return s.port == r.Listen.From })
		switch {
		case r.Kind != "bosh":
			unserved[r] = "this version writes no " + r.Kind + " routes for HAProxy"
		case badPath != nil:
			unserved[r] = badPath.Error()
			em.out.Findings = append(em.out.Findings, unwritable(em.pt, r, badPath))
		case r.Listen.From == 0 || len(em.addresses()) == 0:
			unserved[r] = "the point has no address and port to serve it on"
			em.out.Findings = append(em.out.Findings, noAddress(em.pt, r))
		case r.Server == nil || len(r.Server.Addresses) == 0 || r.Backend.From == 0:
			unserved[r] = "the server has no address and HTTP port to forward it to"
			em.out.Findings = append(em.out.Findings, noBackend(em.pt, r))
		case i >= 0 && (sites[i].server != r.Server || sites[i].routes[0].Backend != r.Backend):
			unserved[r] = "the port serves another server at this point"
			em.out.Findings = append(em.out.Findings, portTaken(em.pt, r, sites[i].routes[0]))
		case i >= 0:
			sites[i].routes = append(sites[i].routes, r)
		default:
			sites = append(sites, &site{server: r.Server, port: r.Listen.From, routes: []*ir.HTTPRoute{r}})
		}
	}
	for _, r := range em.routes() {
		reason, ok := unserved[r]
		if !ok {
			continue
		}
		if i := slices.IndexFunc(sites, func(s *site) bool { return s.port == r.Listen.From }); i >= 0 {
			reason += "; the path answers 404"
			if sites[i].server == r.Server {
				sites[i].missing = append(sites[i].missing, r.Path)
			}
		}
		em.unserved(r, reason)
	}
	return sites
}

// short says of the flow of a site which of its paths are not served.
func (s *site) short(x ir.Exactness, reason string) (ir.Exactness, string) {
	if len(s.missing) == 0 {
		return x, reason
	}
	if x == ir.Exact {
		x = ir.Under
	}
	return x, reason + "; not written: " + strings.Join(s.missing, ", ")
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
	some bool       // everybody is, but not at all hours
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
	x.some = x.any && !slices.ContainsFunc(all, func(f *ir.Flow) bool { return f.From.Any && hours(f) == nil })
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
		exact, reason = s.short(exact, reason)
		if w := hours(f); w != nil {
			exact = ir.Over
			reason += "; at all hours, those of " + w.Name + " are " + em.elsewhere()
		}
		em.answer("flow "+f.ID, exact, reason, f.Origin)
	}
	return x
}

// hours are those that the statement of a flow is bound to, or nil.
func hours(f *ir.Flow) *ir.Window {
	if f.Terms == nil {
		return nil
	}
	return f.Terms.During
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
		free = em.exempts(s, len(flow.Limits) > 0 || slices.ContainsFunc(flow.Bounds, ofRequests) ||
			slices.ContainsFunc(s.routes, func(r *ir.HTTPRoute) bool { return slices.ContainsFunc(r.Limits, ofRequests) }))
		limits = em.count(flow, port, free)
	}
	limits.paths = em.countPaths(s, port, free)
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
		em.sources(s, flow, free)
	}
	limits.rules(c)
	em.requests(s, limits)
	c.line("default_backend", back)

	c.section("backend", back)
	c.comment("in the clear from here to " + s.server.Name)
	em.timeouts(s)
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
func (em *emitter) sources(st *site, f *ir.Flow, free exempt) {
	for _, a := range free.list {
		em.c.comment(a.Origin.Line() + " " + a.Origin.Label)
		em.prefixes("exempt", a.From.Set)
	}
	if len(free.list) > 0 {
		// Accepted is final here: such a connection is not counted below.
		em.c.line("tcp-request", "connection", "accept", "if", "exempt")
	}
	exact, reason := ir.Exact, "serves the web statement's paths over TLS 1.2 or later to its sources, and nothing else"
	const over = "serves the web statement's paths over TLS 1.2 or later, to every source: "
	switch {
	case f.From.Any:
		reason = "serves the web statement's paths over TLS 1.2 or later, and nothing else"
	case free.some:
		exact, reason = ir.Over, over+"an allow statement admits everybody, and its hours are "+em.elsewhere()
	case free.any:
		reason = "serves the web statement's paths over TLS 1.2 or later, and nothing else"
	case len(free.long) > 0:
		// Who is only in a list that is not written must not be refused.
		exact, reason = ir.Over, over+"the list of "+free.long[0].Origin.Label+" is too long for this file, so sources are "+em.elsewhere()
	case f.From.Set == nil || len(f.From.Set.Prefixes) == 0:
		em.c.line("tcp-request", "connection", "reject")
	case len(f.From.Set.Prefixes) > maxPrefixes:
		exact, reason = ir.Over, over+"a list of "+strconv.Itoa(len(f.From.Set.Prefixes))+" prefixes is "+em.elsewhere()
	default:
		em.prefixes("admitted", f.From.Set)
		em.c.line("tcp-request", "connection", "reject", "unless", "admitted")
	}
	exact, reason = st.short(exact, reason)
	em.answer("flow "+f.ID, exact, reason, f.Origin)
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

// counting is how a frontend counts connections and requests.
type counting struct {
	perSource, global tracker
	paths             []tracker // requests of a source, by route
	most              uint32    // the global limit on connections, 0 when unstated
	exempt            bool      // some sources are not counted
}

// tracker is one stick table with the limits that its counters decide.
type tracker struct {
	table    word
	request  word     // the counter of requests
	limits   []uint32 // on connections at the same time
	attempts window   // new connections
	requests window
}

// window bounds how many may come within a time; a zero one bounds nothing.
type window struct {
	time uint64 // milliseconds
	most uint32
}

func (t tracker) used() bool {
	return len(t.limits) > 0 || t.attempts.time > 0 || t.requests.time > 0
}

// ofRequests reports whether a limit counts HTTP requests.
func ofRequests(l *ir.Limit) bool { return l.Kind == ir.Requests }

// count decides which limits of the flow the frontend can hold, and answers for
// them.
func (em *emitter) count(f *ir.Flow, port string, free exempt) counting {
	n := counting{
		perSource: tracker{table: em.c.name("sources_" + port), request: "http_req_rate"},
		global:    tracker{table: em.c.name("everybody_" + port), request: "gpc0_rate"},
		exempt:    len(free.list) > 0,
	}
	for _, l := range f.Limits {
		t := n.by(l.Key)
		switch {
		case em.uncounted(l, free):
		case t == nil:
			em.answer("limit "+l.ID, ir.None, notCounted(l.Key), l.Origin)
		case l.Kind == ir.Connections:
			t.limits = append(t.limits, l.Count)
			if l.Key == ir.Global && (n.most == 0 || l.Count < n.most) {
				n.most = l.Count
			}
			em.counts(l, ir.Exact, "connections are counted when they are accepted, the excess is reset")
		case l.Kind == ir.Attempts:
			em.rate(l, &t.attempts)
		default:
			em.answer("limit "+l.ID, ir.None, "HAProxy does not count "+string(l.Kind), l.Origin)
		}
	}
	for _, l := range f.Bounds {
		if !ofRequests(l) || em.uncounted(l, free) {
			continue
		}
		if t := n.by(l.Key); t != nil {
			em.rate(l, &t.requests)
		} else {
			em.answer("limit "+l.ID, ir.None, notCounted(l.Key), l.Origin)
		}
	}
	return n
}

// countPaths is the same for the limits that the routes of a site have for
// themselves.
func (em *emitter) countPaths(s *site, port string, free exempt) []tracker {
	ts := make([]tracker, len(s.routes))
	for i, r := range s.routes {
		ts[i] = tracker{table: em.c.name("requests_" + port + "_" + strconv.Itoa(i+1)), request: "http_req_rate"}
		for _, l := range r.Limits {
			switch {
			case !ofRequests(l) || em.uncounted(l, free):
			case l.Key == ir.PerSource:
				em.rate(l, &ts[i].requests)
			case l.Key == ir.Global:
				em.answer("limit "+l.ID, ir.None, "this version counts the requests of one path by source alone", l.Origin)
			default:
				em.answer("limit "+l.ID, ir.None, notCounted(l.Key), l.Origin)
			}
		}
	}
	return ts
}

// by is the tracker that counts by the key, or nil.
func (n *counting) by(key ir.LimitKey) *tracker {
	switch key {
	case ir.PerSource:
		return &n.perSource
	case ir.Global:
		return &n.global
	}
	return nil
}

// notCounted says why nothing is counted by a key.
func notCounted(key ir.LimitKey) string {
	switch key {
	case ir.PerPeer:
		return "web traffic has no peers to count by"
	case ir.PerPrefix:
		return "this version counts by source and for everybody, not by prefix"
	}
	return "which " + string(key) + " a request is of is known to the server alone"
}

// uncounted answers for a limit from which everybody is exempt.
func (em *emitter) uncounted(l *ir.Limit, free exempt) bool {
	switch {
	case free.some:
		em.answer("limit "+l.ID, ir.Over, "an allow statement exempts every source from it at some hours, so nothing is counted", l.Origin)
	case free.any:
		em.answer("limit "+l.ID, ir.Exact, "an allow statement exempts every source from it, so nothing is counted", l.Origin)
	}
	return free.any
}

// counts answers for a limit that is held, and for what else happens to the
// excess.
func (em *emitter) counts(l *ir.Limit, x ir.Exactness, reason string) {
	em.answer("limit "+l.ID, x, reason, l.Origin)
	for _, a := range l.Actions {
		exact, reason := ir.None, "this version refuses the excess and does nothing else with its source"
		switch {
		case a.Name == "reject":
			exact, reason = ir.Exact, "the excess is refused with an answer"
		case a.Name == "alert" && ofRequests(l):
			exact, reason = ir.Exact, "the log has every request that is refused, with status 429"
		case a.Name == "alert":
			reason = "HAProxy does not log what it refuses before TLS"
		}
		em.answer("limit "+l.ID+" then "+a.Name, exact, reason, l.Origin)
	}
}

// rate notes the window that a limit becomes.
func (em *emitter) rate(l *ir.Limit, w *window) {
	got, err := rate(l)
	if err == nil && w.time > 0 {
		err = fmt.Errorf("HAProxy keeps one rate for each thing it counts by, and another limit uses it")
	}
	if err != nil {
		em.answer("limit "+l.ID, ir.None, err.Error(), l.Origin)
		return
	}
	*w = got
	em.counts(l, ir.Under, fmt.Sprintf("at most %d in any %d ms, where refused ones count too; a token bucket would let some more pass", w.most, w.time))
}

// rate turns a token bucket into a window: burst of them in the time that
// the rate needs for as many. What a window admits, the bucket admits as well:
// over any time t at most burst + rate × t.
func rate(l *ir.Limit) (window, error) {
	units := map[string]uint64{"second": 1000, "minute": 60000, "hour": 3600000, "day": 86400000}
	unit, ok := units[l.Unit]
	if !ok || l.Count == 0 {
		return window{}, fmt.Errorf("a rate of %d per %q is none that HAProxy can count", l.Count, l.Unit)
	}
	burst := l.Burst
	if burst == 0 {
		burst = defaultBurst
	}
	time := (uint64(burst)*unit + uint64(l.Count) - 1) / uint64(l.Count)
	time = max(time, minWindow)
	if time > maxWindow {
		return window{}, fmt.Errorf("the rate would have to be counted over %d days, HAProxy counts over 6 at most", time/units["day"])
	}
	return window{time, burst}, nil
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
	table := func(t tracker, key, size word) {
		if t.used() {
			c.section("backend", t.table)
			c.line("stick-table", "type", key, "size", size, "expire", t.expiry(), "store", t.counters())
		}
	}
	table(n.perSource, "ipv6", number(n.size()))
	table(n.global, "integer", "1")
	for _, t := range n.paths {
		table(t, "ipv6", number(n.size()))
	}
}

func (t tracker) expiry() word {
	return milliseconds(max(2*t.attempts.time, 2*t.requests.time, 60000))
}

func (t tracker) counters() word {
	var ws []word
	if len(t.limits) > 0 {
		ws = append(ws, "conn_cur")
	}
	if t.attempts.time > 0 {
		ws = append(ws, call("conn_rate", milliseconds(t.attempts.time)))
	}
	if t.requests.time > 0 {
		ws = append(ws, call(t.request, milliseconds(t.requests.time)))
	}
	return join(ws...)
}

// bySource is how sources are counted: IPv4 by address, IPv6 by /64.
const bySource = "src,ipmask(32,64)"

// rules writes the limits. A source over its own limits is refused before it is
// counted among everybody, so that it cannot use up what the others share.
func (n counting) rules(c *config) {
	if t := n.perSource; t.used() {
		c.line("tcp-request", "connection", "track-sc0", bySource, "table", t.table)
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
	if t.attempts.time > 0 {
		c.line("tcp-request", "connection", "reject", "if", "{", call(rate, t.table), "gt", number(t.attempts.most), "}")
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
				em.answer("flow "+f.ID, ir.None, byHandReason(em.pt, t), f.Origin)
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
			for _, a := range l.Actions {
				list("limit "+l.ID+" then "+a.Name, "", l.Origin)
			}
		}
	}
	for _, t := range em.p.Egress {
		if t.Default == ir.Deny && (em.pt.Role == ir.Gateway || em.pt.Server == t.Server) {
			list("egress "+t.Server.Name, em.elsewhere(), t.Origin)
		}
	}
	for _, e := range em.p.Unseen(em.pt, Backend{}.Kind()) {
		list(e.Intent, e.Reason, e.Origin)
		for _, action := range []string{"reject", "alert", "block"} {
			list(e.Intent+" then "+action, "", e.Origin)
		}
	}
	for _, c := range em.p.Content {
		if slices.ContainsFunc(c.On, em.pt.Concerns) || slices.ContainsFunc(c.Anonymous, func(a *ir.AnonymousTerms) bool { return a.Concerns(em.pt) }) {
			list("content "+c.ID, "this version writes no rules about bodies for HAProxy", c.Origin)
		}
	}
	for _, r := range em.routes() {
		list("route "+r.Path, "", r.Origin)
		for _, w := range stated(r) {
			list(setting(r, w), "", r.Origin)
		}
	}
	for _, s := range em.p.Servers {
		if s.Trust != nil && slices.ContainsFunc(em.routes(), func(r *ir.HTTPRoute) bool { return r.Server == s }) {
			list("trust "+s.Name, "whom the server believes is for its own configuration; HAProxy tells it the client's address in X-Forwarded-For, and sends no PROXY header", s.Origin)
		}
	}
	if em.pt.Observe != "" && len(em.maxconn) > 0 {
		list("observe "+em.pt.Name, "", em.pt.Origin)
	}
}
