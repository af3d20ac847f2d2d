package compiler

import (
	"fmt"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

var contentChecks = []Check{
	{
		Code:      "content-opaque",
		Severity:  diag.Error,
		Title:     "a content rule is stated for traffic that no device on the network can read",
		Why:       "Once TLS has started, nothing between the two ends sees a stanza. The rule would look configured and never match.",
		Reference: "RFC 6120 §13.3, RFC 7590 §3.1",
		Remedy:    "State the rule on a flow with a clear leg: a component, serverless, or web whose TLS ends at a proxy. For the rest, use the filter of the server itself.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  suricata passive eth0 }
clients of chat {
  from     any
  starttls required
  limit connections 20 per source
  limit connections 2000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}
content wire-fraud {
  match text "wire transfer"
  on    clients of chat
  then  alert
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  suricata passive eth0 }
component irc of chat {
  port   5347
  from   198.51.100.77
  tunnel "stunnel on both ends"
}
content wire-fraud {
  match text "wire transfer"
  on    component irc
  then  alert
}
`,
		Run: func(p *Pass) {
			for _, c := range p.Policy.Content {
				for i, f := range c.On {
					if i >= len(c.OnNames) || slices.Contains(c.OnNames[:i], c.OnNames[i]) {
						continue // several flows may bear one name; the first answers for all
					}
					if p.readable(c, c.OnNames[i]) {
						continue
					}
					at, why := c.Origin.Span, ""
					for _, s := range p.subjects(c) {
						if s.String() == c.OnNames[i] {
							at = s.Span()
						}
					}
					var labels []diag.Label
					for _, leg := range p.Policy.Legs {
						if leg.Flow == f {
							why = ": " + leg.Reason
							labels = append(labels, label(leg.Origin.Span, "%s is %s here", c.OnNames[i], leg.Visibility))
							break
						}
					}
					p.Report(at, fmt.Sprintf("content rule %s cannot see inside %s%s", c.ID, c.OnNames[i], why), labels...)
				}
				for _, a := range c.Anonymous {
					if p.clearClients(a.Server) {
						continue
					}
					at := c.Origin.Span
					for _, s := range p.subjects(c) {
						if s.Kind == "anonymous" && (s.Of == nil || s.Of.Text == a.Server.Name) {
							at = s.Span()
						}
					}
					p.Report(at, fmt.Sprintf("content rule %s cannot see inside %s: anonymous users share the streams of clients, which are TLS", c.ID, a.Origin.Label),
						label(a.Origin.Span, "stated here"))
				}
			}
		},
	},
	{
		Code:      "content-drop-passive",
		Severity:  diag.Warning,
		Title:     "a content rule drops, and every intrusion detection system only listens",
		Why:       "A passive engine sees a copy of the traffic. It can raise an alert after the fact; the stanza has already arrived.",
		Reference: "Suricata User Guide: IPS Mode",
		Remedy:    "State `then alert`: this version writes suricata to listen only. To drop, use another engine, such as the server itself.",
		Since:     "0.1",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  suricata passive eth0 }
component irc of chat {
  port   5347
  from   198.51.100.77
  tunnel "stunnel on both ends"
}
content wire-fraud {
  match text "wire transfer"
  on    component irc
  then  drop
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  suricata passive eth0 }
component irc of chat {
  port   5347
  from   198.51.100.77
  tunnel "stunnel on both ends"
}
content wire-fraud {
  match text "wire transfer"
  on    component irc
  then  alert
}
`,
		Run: func(p *Pass) {
			var passive []diag.Label
			for _, pt := range p.Policy.Points {
				for _, e := range pt.Engines {
					switch {
					case e.Kind != "suricata":
					case e.Mode != "passive":
						return
					default:
						passive = append(passive, label(e.Origin.Span, "%s only listens", pt.Name))
					}
				}
			}
			if len(passive) == 0 {
				return // nothing could even alert, which placement reports
			}
			for _, c := range p.Policy.Content {
				if c.Does("drop") {
					p.Report(p.thenSpan(c), fmt.Sprintf("content rule %s drops, and no engine stands in the path", c.ID), passive...)
				}
			}
		},
	},
	{
		Code:      "content-engine-lossy",
		Severity:  diag.Error,
		Title:     "the only engine that could read the traffic cannot say the pattern",
		Why:       "Servers filter with pattern languages of their own. A pattern that is cut down to fit finds something else, or nothing.",
		Reference: "Prosody mod_firewall; Openfire Content Filter plugin; ejabberd mod_antispam",
		Remedy:    "Write one `match` line for each alternative, with patterns that do without what the message names; or use `words`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  prosody }
clients of chat { from 192.0.2.0/24 }
content gifts {
  match body ~ "(free|cheap) gift cards?"
  on    clients of chat
  then  drop
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  prosody  suricata passive eth0 }
component irc of chat {
  port   5347
  from   198.51.100.77
  tunnel "stunnel on both ends"
}
content gifts {
  match body ~ "(free|cheap) gift cards?"
  on    component irc
  then  alert
}
`,
		Run: func(p *Pass) {
			for _, c := range p.Policy.Content {
				for _, s := range p.filtered(c) {
					for _, cond := range conditions(c) {
						if lacks := inexpressible(s, cond); lacks != "" {
							p.Report(cond.Origin.Span, fmt.Sprintf("the filter of %s %s has no %s, and nothing else can read what content rule %s is for", s.Software, s.Version, lacks, c.ID),
								label(filterOf(p.Policy, s).Origin.Span, "the filter of server %s", s.Name))
						}
					}
				}
			}
		},
	},
	{
		Code:      "content-all-elements",
		Severity:  diag.Warning,
		Title:     "a rule for the body of messages is held by a filter that reads every element",
		Why:       "The Content Filter plugin of Openfire looks at the text of all elements of a message and of presence, so that a subject, a status or the field of a form is found as well.",
		Reference: "Openfire Content Filter plugin",
		Remedy:    "Write `match text` if that is welcome, or look for something that stands in bodies only.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server im { software openfire 5.0  domain example.org  address 198.51.100.30 }
point box { role host of im  interface eth0 faces internet  nftables  openfire }
clients of im { from 192.0.2.0/24 }
content wire-fraud {
  match body "wire transfer"
  on    clients of im
  then  drop
}
`,
		Good: `policy "p" { profile baseline }
server im { software openfire 5.0  domain example.org  address 198.51.100.30 }
point box { role host of im  interface eth0 faces internet  nftables  openfire  suricata passive eth0 }
component irc of im {
  port   5275
  from   198.51.100.77
  tunnel "stunnel on both ends"
}
content wire-fraud {
  match body "wire transfer"
  on    component irc
  then  alert
}
`,
		Run: func(p *Pass) {
			for _, c := range p.Policy.Content {
				for _, s := range p.filtered(c) {
					for _, cond := range conditions(c) {
						if s.Software == "openfire" && cond.What == "body" {
							p.Report(cond.Origin.Span, fmt.Sprintf("content rule %s is for bodies, and the filter of Openfire reads the text of every element", c.ID),
								label(filterOf(p.Policy, s).Origin.Span, "the filter of server %s", s.Name))
						}
					}
				}
			}
		},
	},
	{
		Code:      "content-drop-iq-result",
		Severity:  diag.Error,
		Title:     "a rule drops queries without an answer",
		Why:       "Every iq of the types get and set has to be answered, and clients wait for results. A stanza that is dropped in silence leaves the client hanging, and a result that is dropped breaks what the user asked for.",
		Reference: "RFC 6120 §8.2.3",
		Remedy:    "Write `reject` instead of `drop`, which answers with an error, or look for messages: `match stanza message and …`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  suricata }
component irc of chat {
  port   5347
  from   198.51.100.77
  tunnel "stunnel on both ends"
}
content no-search {
  match namespace "jabber:iq:search"
  on    component irc
  then  drop
}
`,
		Good: `policy "p" { profile baseline }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  suricata }
component irc of chat {
  port   5347
  from   198.51.100.77
  tunnel "stunnel on both ends"
}
content no-search {
  match namespace "jabber:iq:search"
  on    component irc
  then  reject
}
`,
		Run: func(p *Pass) {
			for _, c := range p.Policy.Content {
				if !c.Does("drop") || c.Does("reject") || c.Does("terminate") {
					continue
				}
				for _, alternative := range c.Any {
					if cond, ok := dropsQueries(alternative); ok {
						p.Report(cond.Origin.Span, fmt.Sprintf("content rule %s drops iq stanzas, and leaves whoever asked without an answer", c.ID), label(p.thenSpan(c), "dropped here"))
					}
				}
			}
		},
	},
	{
		Code:      "content-antispam-egress",
		Severity:  diag.Warning,
		Title:     "a filter fetches links that strangers send, from inside",
		Why:       "To find where a link leads, mod_antispam of ejabberd asks for it itself. Whoever sends a link chooses what the server connects to, in the networks behind the packet filter as well.",
		Reference: "ejabberd documentation, Modules: mod_antispam",
		Remedy:    "Add `egress of SERVER` with `default deny`, and either no http and https at all, or these denied to private networks.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
words phish = "login-example.net", "prize.example"
server chat { software ejabberd 25.08  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  ejabberd }
clients of chat { from 192.0.2.0/24 }
content phishing {
  match url in words phish
  on    clients of chat
  then  drop
}
`,
		Good: `policy "p" { profile baseline }
words phish = "login-example.net", "prize.example"
server chat { software ejabberd 25.08  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  ejabberd  suricata passive eth0 }
component irc of chat {
  port   8888
  from   198.51.100.77
  tunnel "stunnel on both ends"
}
content phishing {
  match url in words phish
  on    component irc
  then  alert
}
`,
		Run: func(p *Pass) {
			for _, c := range p.Policy.Content {
				for _, s := range p.filtered(c) {
					if _, known := SettingOf(s.Software, s.Version, "antispam"); !known || s.Software != "ejabberd" {
						continue // older versions have no such module
					}
					out := slices.IndexFunc(p.Policy.Egress, func(e *ir.EgressTerms) bool { return e.Server == s })
					if out >= 0 && !reachesPrivate(p.Policy.Egress[out], httpPorts) {
						continue
					}
					for _, cond := range conditions(c) {
						if cond.What != "url" {
							continue
						}
						labels := []diag.Label{label(filterOf(p.Policy, s).Origin.Span, "the filter of server %s", s.Name)}
						if out >= 0 {
							labels = append(labels, label(p.Policy.Egress[out].Origin.Span, "private networks are within reach"))
						}
						p.Report(cond.Origin.Span, fmt.Sprintf("for content rule %s server %s fetches links that it is sent, also from private networks", c.ID, s.Name), labels...)
					}
				}
			}
		},
	},
	{
		Code:      "content-e2ee",
		Severity:  diag.Info,
		Title:     "a rule for the text of messages does not see what is encrypted from end to end",
		Why:       "Many clients encrypt messages for each other by default (XEP-0384). Every engine, also the filter of the server, sees an unreadable body then, and the rule finds what careless spam says, not what two people agree on.",
		Reference: "RFC 6120 §13.4",
		Remedy:    "Leave it if the rule is against unsolicited messages: what strangers send first is mostly readable.",
		Since:     "0.2",
		Profile:   "strict",
		Bad: `policy "p" { profile strict }
network dmz = 198.51.100.0/28
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point edge {
  role      gateway
  address   198.51.100.1
  interface eth0 faces internet
  interface dmz0 faces dmz
  nftables
  haproxy
  suricata passive dmz0
}
web of chat {
  from 192.0.2.0/24
  tls  terminate at edge
  bosh "/bosh" { body 64KiB }
}
content wire-fraud {
  match body "wire transfer"
  on    web of chat
  then  alert
}
`,
		Good: `policy "p" { profile strict }
domains spam = spam.example
network dmz = 198.51.100.0/28
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
point edge {
  role      gateway
  address   198.51.100.1
  interface eth0 faces internet
  interface dmz0 faces dmz
  nftables
  haproxy
  suricata passive dmz0
}
web of chat {
  from 192.0.2.0/24
  tls  terminate at edge
  bosh "/bosh" { body 64KiB }
}
content spammers {
  match sender in domains spam
  on    web of chat
  then  alert
}
`,
		Run: func(p *Pass) {
			for _, c := range p.Policy.Content {
				people := len(p.filtered(c)) > 0
				for i, f := range c.On {
					// A component to another network reads what it passes on, so that is readable.
					person := f.Kind == ir.Clients || f.Kind == ir.Federation || f.Kind == ir.Web
					people = people || person && i < len(c.OnNames) && p.readable(c, c.OnNames[i])
				}
				if !people {
					continue
				}
				for _, cond := range conditions(c) {
					if cond.What == "body" || cond.What == "text" || cond.What == "url" {
						p.Report(cond.Origin.Span, fmt.Sprintf("content rule %s does not see %s of messages that are encrypted from end to end", c.ID,
							map[string]string{"body": "the body", "text": "the text", "url": "the links"}[cond.What]))
						break
					}
				}
			}
		},
	},
}

// subjects lists what the content statement of the rule names after `on`.
func (p *Pass) subjects(c *ir.ContentRule) []*lang.Subject {
	var out []*lang.Subject
	for _, d := range p.contents(c) {
		for _, i := range d.Body.Items {
			out = append(out, i.On...)
		}
	}
	return out
}

func (p *Pass) contents(c *ir.ContentRule) []*lang.ContentDecl {
	ds := decls(p, func(d *lang.Decl) *lang.ContentDecl { return d.Content })
	return slices.DeleteFunc(ds, func(d *lang.ContentDecl) bool { return !inside(d.Span(), c.Origin.Span) })
}

// thenSpan is where the rule says what happens.
func (p *Pass) thenSpan(c *ir.ContentRule) diag.Span {
	for _, d := range p.contents(c) {
		for _, i := range d.Body.Items {
			if len(i.Then) > 0 {
				return i.Span()
			}
		}
	}
	return c.Origin.Span
}

// readable reports whether any of the flows that the rule means by the name has
// a leg in clear text.
func (p *Pass) readable(c *ir.ContentRule, name string) bool {
	for i, f := range c.On {
		if i >= len(c.OnNames) || c.OnNames[i] != name {
			continue
		}
		for _, leg := range p.Policy.Legs {
			if leg.Flow == f && leg.Visibility == ir.Clear {
				return true
			}
		}
	}
	return false
}

// filterOf finds the engine that filters inside the server: the one of its host
// that bears the name of its software, if that has a filter at all.
func filterOf(p *ir.Policy, s *ir.Server) *ir.Engine {
	if s == nil {
		return nil
	}
	for _, pt := range p.Points {
		if pt.Server == s && slices.Contains([]string{"ejabberd", "metronome", "openfire", "prosody"}, s.Software) {
			return pt.Engine(s.Software)
		}
	}
	return nil
}

// filtered lists the servers whose own filter is all that can read some of the
// traffic that the rule is for.
func (p *Pass) filtered(c *ir.ContentRule) []*ir.Server {
	var out []*ir.Server
	add := func(s *ir.Server) {
		if filterOf(p.Policy, s) != nil && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for i, f := range c.On {
		if i < len(c.OnNames) && !p.readable(c, c.OnNames[i]) {
			add(f.Server)
		}
	}
	for _, a := range c.Anonymous {
		if !p.clearClients(a.Server) {
			add(a.Server)
		}
	}
	return out
}

// clearClients reports whether clients of the server speak in clear text.
func (p *Pass) clearClients(s *ir.Server) bool {
	return slices.ContainsFunc(p.Policy.Legs, func(l *ir.Leg) bool {
		return l.Flow.Kind == ir.Clients && l.Flow.Server == s && l.Visibility == ir.Clear
	})
}

func conditions(c *ir.ContentRule) []ir.Condition { return slices.Concat(c.Any...) }

// inexpressible says what of a condition the filter of the server has no words
// for; "" when it has. Only patterns are asked for: conditions that a filter
// does not have at all are in the ledger.
func inexpressible(s *ir.Server, cond ir.Condition) string {
	if cond.Pattern == nil {
		if s.Software == "openfire" && strings.Contains(cond.Text, ",") {
			return "texts with a comma (its list is split there)"
		}
		return ""
	}
	has := cond.Pattern.Features
	switch s.Software {
	case "prosody", "metronome": // patterns of Lua
		switch {
		case has.Alternatives:
			return "alternatives in a pattern"
		case has.RepeatedGroup:
			return "repeated groups in a pattern"
		}
	case "openfire":
		if strings.Contains(cond.Pattern.Source, ",") {
			return "patterns with a comma (its list is split there)"
		}
	case "ejabberd":
		return "patterns"
	}
	return ""
}

// queryNamespaces are namespaces, or the beginnings of some, whose payloads
// travel in iq stanzas.
var queryNamespaces = []string{
	"http://jabber.org/protocol/bytestreams", "http://jabber.org/protocol/commands", "http://jabber.org/protocol/disco",
	"http://jabber.org/protocol/ibb", "http://jabber.org/protocol/si", "jabber:iq:", "urn:xmpp:blocking", "urn:xmpp:http:upload",
	"urn:xmpp:jingle:1", "urn:xmpp:mam:", "urn:xmpp:ping", "urn:xmpp:time", "vcard-temp",
}

// dropsQueries finds the condition by which an alternative holds for iq stanzas
// as such, rather than for what somebody wrote.
func dropsQueries(alternative []ir.Condition) (ir.Condition, bool) {
	var found ir.Condition
	ok := false
	for _, c := range alternative {
		switch {
		case c.What == "stanza" && c.Text != "iq":
			return ir.Condition{}, false
		case c.What == "stanza", c.What == "namespace" && slices.ContainsFunc(queryNamespaces, func(n string) bool { return strings.HasPrefix(c.Text, n) }):
			found, ok = c, true
		}
	}
	return found, ok
}
