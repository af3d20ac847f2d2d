package compiler

import (
	"fmt"
	"slices"

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
			}
		},
	},
	{
		Code:      "content-drop-passive",
		Severity:  diag.Warning,
		Title:     "a content rule drops, and every intrusion detection system only listens",
		Why:       "A passive engine sees a copy of the traffic. It can raise an alert after the fact; the stanza has already arrived.",
		Reference: "Suricata User Guide: IPS Mode",
		Remedy:    "State `then alert`, or let suricata work inline by leaving out `passive` and the interface.",
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
