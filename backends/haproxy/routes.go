package haproxy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"xfwc/compiler/ir"
)

// What a path asks of a request, and how much of that is written.

const (
	// slack is how much longer than the server may wait the proxy does: the answer
	// has to arrive, too.
	slack = 15
	// usualTimeout is for servers of which nobody knows how long they wait: BOSH
	// clients ask for 60 s as a rule.
	usualTimeout = 90
	// maxTimeout is the longest time that HAProxy's clock of 31 bits counts, in
	// whole days.
	maxTimeout = 24 * 86400
)

// setting is the intent of one thing that a route states.
func setting(r *ir.HTTPRoute, name string) string { return "route " + r.Path + " " + name }

// stated names what a route states.
func stated(r *ir.HTTPRoute) []string {
	var names []string
	for _, s := range []struct {
		name string
		is   bool
	}{
		{"methods", len(r.Methods) > 0}, {"body", r.BodyMax > 0}, {"origin", len(r.Origins) > 0}, {"host", len(r.Hosts) > 0},
		{"timeout", r.Timeout > 0}, {"wait", r.Wait > 0}, {"requests", r.Requests > 0}, {"polling", r.Polling != ""},
		{"route", r.Route != ""}, {"buffering", r.Buffering != ""}, {"credentials", r.Credentials != ""},
		{"frame", r.Frame > 0}, {"idle", r.Idle > 0}, {"size", r.Size > 0}, {"slot", r.Slot > 0}, {"advertise", len(r.Advertise) > 0},
	} {
		if s.is {
			names = append(names, s.name)
		}
	}
	return names
}

// unserved answers for a route that is not written, and for all that it states.
func (em *emitter) unserved(r *ir.HTTPRoute, reason string) {
	const here = "the path is not served here"
	em.answer("route "+r.Path, ir.None, reason, r.Origin)
	for _, w := range stated(r) {
		em.answer(setting(r, w), ir.None, here, r.Origin)
	}
	for _, l := range r.Limits {
		em.answer("limit "+l.ID, ir.None, here, l.Origin)
	}
}

// methods are those that a route takes. BOSH is POST alone (XEP-0124 section 5);
// a browser asks with OPTIONS first.
func methods(r *ir.HTTPRoute) []string {
	if len(r.Methods) == 0 {
		return []string{"POST", "OPTIONS"}
	}
	return r.Methods
}

// anyOrigin reports whether the Origin header of a request says nothing.
func anyOrigin(r *ir.HTTPRoute) bool { return len(r.Origins) == 0 || slices.Contains(r.Origins, "*") }

// timeout is how many seconds the proxy waits for the server's answer.
func timeout(r *ir.HTTPRoute) uint64 {
	switch {
	case r.Timeout > 0:
		return min(r.Timeout, maxTimeout)
	case r.Wait > 0:
		return min(r.Wait, maxTimeout-slack) + slack
	case r.UsualWait > 0:
		return min(r.UsualWait, maxTimeout-slack) + slack
	}
	return usualTimeout
}

// timeouts writes how long the backend waits. Where the routes differ, the
// longest is the backend's and the others have their own.
func (em *emitter) timeouts(s *site) {
	var longest uint64
	for _, r := range s.routes {
		longest = max(longest, timeout(r))
	}
	em.c.comment("The server holds a BOSH request for up to its wait (XEP-0124 section 7.1).")
	em.c.line("timeout", "server", seconds(longest))
	for _, r := range s.routes {
		if t := timeout(r); t != longest {
			em.c.line("http-request", "set-timeout", "server", seconds(t), "if", "{", "path", "-m", "str", "--", em.c.path(r.Path), "}")
		}
	}
}

// requests writes what a request has to be to reach the server.
func (em *emitter) requests(s *site, limits counting) {
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
	limits.denyRequests(c, bosh)
	for i, r := range s.routes {
		em.hosts(r, bosh(i), i)
		em.origins(r, bosh(i), i)
		var words []word
		for _, m := range methods(r) {
			words = append(words, c.method(m))
		}
		c.line(slices.Concat([]word{"http-request", "return", "status", "405", "hdr", "Allow", c.quoted(strings.Join(methods(r), ", ")), "if", bosh(i), "!{", "method"}, words, []word{"}"})...)
		if r.BodyMax > 0 {
			c.line("http-request", "deny", "deny_status", "413", "if", bosh(i), "{", "req.body_size", "gt", number(r.BodyMax), "}")
		}
		em.served(r)
	}
	// A body that trickles in holds a connection no longer than this. A small one
	// is read before it is refused, else the client might not see the answer.
	c.line("http-request", "wait-for-body", "time", "10s")
	for i, r := range s.routes {
		if r.BodyMax > 0 {
			// HAProxy knows the size of a body that states none only as far as it has
			// arrived, so such a body has to state it (RFC 9110 section 15.5.12).
			c.line("http-request", "return", "status", "411", "if", bosh(i), "{", "method", "POST", "PUT", "PATCH", "}", "!{", "req.hdr(content-length)", "-m", "found", "}")
		}
	}
	// What other methods send along is of no use to anybody.
	c.line("http-request", "deny", "deny_status", "413", "if", "!{", "method", "POST", "PUT", "PATCH", "}", "{", "req.body_len", "gt", "0", "}")
	// What a client claims about itself is overwritten: the server trusts these.
	c.line("http-request", "del-header", "Forwarded")
	c.line("http-request", "del-header", "X-Real-IP")
	c.line("http-request", "set-header", "X-Forwarded-For", "%[src]")
	c.line("http-request", "set-header", "X-Forwarded-Proto", "https")
	// An upgrade to another protocol would leave these rules behind.
	c.line("http-request", "del-header", "Upgrade")
}

// denyRequests writes the limits on requests. As with connections, one that is
// over the limits of its source is not counted among everybody.
func (n counting) denyRequests(c *config, bosh func(int) word) {
	deny := func(t tracker, rate word) {
		c.line("http-request", "deny", "deny_status", "429", "if", "{", call(rate, t.table), "gt", number(t.requests.most), "}")
	}
	if n.perSource.requests.time > 0 {
		deny(n.perSource, "sc0_http_req_rate")
	}
	for i, t := range n.paths {
		if t.requests.time == 0 {
			continue
		}
		words := []word{"http-request", "track-sc2", bySource, "table", t.table, "if", bosh(i)}
		if n.exempt {
			words = append(words, "!exempt")
		}
		c.line(words...)
		deny(t, "sc2_http_req_rate")
	}
	if n.global.requests.time > 0 {
		c.line("http-request", "sc-inc-gpc0(1)")
		deny(n.global, "sc1_gpc0_rate")
	}
}

// hosts refuses requests that are meant for another name (RFC 9110 section 7.4).
func (em *emitter) hosts(r *ir.HTTPRoute, bosh word, i int) {
	if len(r.Hosts) == 0 {
		return
	}
	c := &em.c
	acl := c.name("host_" + strconv.Itoa(i+1))
	for part := range slices.Chunk(r.Hosts, perLine) {
		words := []word{"acl", acl, "req.hdr(host),field(1,:),lower", "-m", "str", "--"}
		for _, h := range part {
			words = append(words, c.host(h))
		}
		c.line(words...)
	}
	c.line("http-request", "deny", "deny_status", "421", "if", bosh, "!"+acl)
}

// origins refuses what pages of other sites make browsers send. Programs that
// are no browser send no Origin. One with two values is nobody's.
func (em *emitter) origins(r *ir.HTTPRoute, bosh word, i int) {
	if anyOrigin(r) {
		return
	}
	c := &em.c
	acl := c.name("origin_" + strconv.Itoa(i+1))
	for part := range slices.Chunk(r.Origins, perLine) {
		words := []word{"acl", acl, "req.fhdr(origin)", "-m", "str", "--"}
		for _, o := range part {
			words = append(words, c.origin(o))
		}
		c.line(words...)
	}
	c.line("http-request", "deny", "deny_status", "403", "if", bosh, "{", "req.fhdr(origin)", "-m", "found", "}", "!"+acl)
	c.line("http-request", "deny", "deny_status", "403", "if", bosh, "{", "req.fhdr_cnt(origin)", "gt", "1", "}")
}

// oneAnd writes a list as a sentence does.
func oneAnd(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// served answers for a route that is written, and for what it states that is
// not.
func (em *emitter) served(r *ir.HTTPRoute) {
	t := timeout(r)
	exact, does := ir.Exact, []string{"the exact path", oneAnd(methods(r)) + " alone"}
	var less []string
	if len(r.Hosts) > 0 {
		does = append(does, "the stated hosts")
	}
	if len(r.Origins) > 0 {
		if anyOrigin(r) {
			does = append(does, "every origin")
		} else {
			does = append(does, "no origin but those stated")
		}
	}
	if r.BodyMax == 0 {
		does = append(does, "any size of body")
	} else {
		does = append(does, "the stated size of body")
		less = append(less, "a body without Content-Length is refused, because its size is not known before it is forwarded")
	}
	does = append(does, fmt.Sprintf("%d s for an answer", t))
	switch {
	case r.Timeout > maxTimeout, r.Wait > maxTimeout-slack:
		less = append(less, "HAProxy counts no longer time")
	case r.Timeout == 0 && r.Wait == 0 && r.UsualWait == 0:
		less = append(less, "the server may hold a request for longer, and the client then gets an error")
	}
	if len(less) > 0 {
		exact = ir.Under
	}
	em.answer("route "+r.Path, exact, strings.Join(append([]string{strings.Join(does, ", ")}, less...), "; "), r.Origin)

	for _, w := range stated(r) {
		exact, reason := ir.None, "this version does not write it"
		switch w {
		case "methods", "body", "origin", "host", "timeout":
			continue // the answer above is about them
		case "wait":
			exact, reason = ir.Over, fmt.Sprintf("the proxy gives up after %d s; for how long it holds a request before that is up to the server", t)
		case "idle":
			reason = "a session is many requests, and which are of one is in their bodies: only the server knows when it has been silent"
		case "requests":
			reason = "which requests are of one session is in their bodies: only the server counts them"
		case "polling":
			reason = "how often a session asks is in the bodies of its requests: only the server tells polling from waiting"
		case "route":
			reason = "it is an attribute in the body of a request: only the server reads it"
		case "credentials":
			reason = "browsers go by the headers of the server's answers, which pass unchanged"
		case "buffering":
			reason = "answers pass as they come; of a request up to 16 kB are collected first, for 10 s at most"
		}
		em.answer(setting(r, w), exact, reason, r.Origin)
	}
}
