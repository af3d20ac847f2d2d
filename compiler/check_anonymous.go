package compiler

import (
	"fmt"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

var anonymousChecks = []Check{
	{
		Code:      "anon-default",
		Severity:  diag.Warning,
		Title:     "a server lets people in without an account, and no statement speaks of them",
		Why:       "Anonymous users can be held to nothing: nobody knows who they are tomorrow. Whoever wants them says what they may do, and everybody else switches them off.",
		Reference: "XEP-0175 §3",
		Remedy:    "Add `anonymous of SERVER` with a domain and limits of its own; or switch ANONYMOUS off at the server and state the other mechanisms with `sasl`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network lan = 192.0.2.0/24
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from lan
  sasl scram-sha-256, anonymous
}
`,
		Good: `policy "p" { profile baseline }
network lan = 192.0.2.0/24
server chat { software prosody 0.12  domain example.org, guest.example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from lan
  sasl scram-sha-256, anonymous
}
anonymous of chat {
  domain guest.example.org
  limit connections 2 per source
}
`,
		Run: func(p *Pass) {
			for _, c := range p.Policy.Clients {
				if slices.ContainsFunc(p.Policy.Anonymous, func(a *ir.AnonymousTerms) bool { return a.Server == c.Server }) {
					continue
				}
				switch {
				case slices.ContainsFunc(c.SASL, func(m string) bool { return strings.EqualFold(m, "anonymous") }):
					p.Report(statedAt(c.At, c.Origin, "sasl"), fmt.Sprintf("%s offer ANONYMOUS, and no statement says who may use it for what", c.Origin.Label))
				case len(c.SASL) == 0 && usual(c.Server, "anonymous") == "on":
					p.Report(c.Origin.Span, fmt.Sprintf("%s %s lets people in without an account unless its configuration says otherwise", c.Server.Software, c.Server.Version),
						label(c.Server.Origin.Span, "server %s", c.Server.Name))
				}
			}
		},
	},
	{
		Code:      "anon-not-offered",
		Severity:  diag.Warning,
		Title:     "anonymous users are let in by a mechanism that is not offered",
		Why:       "Without an account ANONYMOUS is the only way to authenticate. Where the clients' mechanisms are listed and it is not among them, nobody gets in by this statement.",
		Reference: "XEP-0175 §2, RFC 4505 §2",
		Remedy:    "Add `anonymous` to the `sasl` line of the clients, or remove the statement.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network lan = 192.0.2.0/24
server chat { software prosody 0.12  domain example.org, guest.example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from lan
  sasl scram-sha-256
}
anonymous of chat {
  domain guest.example.org
  limit stanzas 5/second per stream
}
`,
		Good: `policy "p" { profile baseline }
network lan = 192.0.2.0/24
server chat { software prosody 0.12  domain example.org, guest.example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from lan
  sasl scram-sha-256, anonymous
}
anonymous of chat {
  domain guest.example.org
  limit stanzas 5/second per stream
}
`,
		Run: func(p *Pass) {
			for _, a := range p.Policy.Anonymous {
				for _, c := range p.Policy.Clients {
					if c.Server == a.Server && len(c.SASL) > 0 && !slices.ContainsFunc(c.SASL, func(m string) bool { return strings.EqualFold(m, "anonymous") }) {
						p.Report(a.Origin.Span, fmt.Sprintf("clients of %s are not offered ANONYMOUS, so nobody gets in without an account", a.Server.Name),
							label(statedAt(c.At, c.Origin, "sasl"), "it is not among these"))
					}
				}
			}
		},
	},
	{
		Code:      "anon-s2s",
		Severity:  diag.Error,
		Title:     "anonymous users may reach other servers",
		Why:       "What they send arrives under this site's name, from an address that is gone a minute later. Other sites can answer only by cutting off all of this one.",
		Reference: "XEP-0175 §3",
		Remedy:    "Remove the line, or write `federation deny`.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network lan = 192.0.2.0/24
server chat { software prosody 0.12  domain example.org, guest.example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat { from lan }
anonymous of chat {
  domain     guest.example.org
  federation allow
  limit connections 2 per source
}
`,
		Good: `policy "p" { profile baseline }
network lan = 192.0.2.0/24
server chat { software prosody 0.12  domain example.org, guest.example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat { from lan }
anonymous of chat {
  domain     guest.example.org
  federation deny
  limit connections 2 per source
}
`,
		Run: func(p *Pass) {
			for _, a := range p.Policy.Anonymous {
				if a.Federation == ir.Allow {
					p.Report(statedAt(a.At, a.Origin, "federation"), fmt.Sprintf("anonymous users of %s may reach other servers", a.Server.Name))
				}
			}
		},
	},
	{
		Code:      "anon-no-limits",
		Severity:  diag.Warning,
		Title:     "anonymous users may do as much as everybody else",
		Why:       "An account that misbehaves can be closed. Without one, limits are all that there is to hold somebody by.",
		Reference: "XEP-0175 §3, XEP-0205 §5",
		Remedy:    "Add a limit to the statement, and make it tighter than that of clients.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network lan = 192.0.2.0/24
server chat { software prosody 0.12  domain example.org, guest.example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from lan
  limit connections 20 per source
}
anonymous of chat { domain guest.example.org }
`,
		Good: `policy "p" { profile baseline }
network lan = 192.0.2.0/24
server chat { software prosody 0.12  domain example.org, guest.example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat {
  from lan
  limit connections 20 per source
}
anonymous of chat {
  domain guest.example.org
  limit connections 2 per source
}
`,
		Run: func(p *Pass) {
			for _, a := range p.Policy.Anonymous {
				var theirs []*ir.Limit
				for _, c := range p.Policy.Clients {
					if c.Server == a.Server {
						theirs = c.Limits
					}
				}
				tighter := slices.ContainsFunc(a.Limits, func(l *ir.Limit) bool {
					return !slices.ContainsFunc(theirs, func(o *ir.Limit) bool { return alike(l, o) && amount(l) >= amount(o) })
				})
				switch {
				case len(a.Limits) == 0:
					p.Report(a.Origin.Span, fmt.Sprintf("%s has no limit of its own", a.Origin.Label))
				case !tighter:
					var labels []diag.Label
					for _, o := range theirs {
						if slices.ContainsFunc(a.Limits, func(l *ir.Limit) bool { return alike(l, o) }) {
							labels = append(labels, label(o.Origin.Span, "the limit of clients"))
						}
					}
					p.Report(a.Limits[0].Origin.Span, fmt.Sprintf("no limit of %s is tighter than that of clients", a.Origin.Label), labels...)
				}
			}
		},
	},
	{
		Code:      "anon-storage",
		Severity:  diag.Info,
		Title:     "what anonymous users store is kept",
		Why:       "Nobody can come back for it, since the next login is another user. It fills the disk, and it is personal data without a person to ask.",
		Reference: "XEP-0175 §3",
		Remedy:    "Write `storage cleared`, and let the server clear it.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
network lan = 192.0.2.0/24
server chat { software prosody 0.12  domain example.org, guest.example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat { from lan }
anonymous of chat {
  domain  guest.example.org
  storage kept
  limit connections 2 per source
}
`,
		Good: `policy "p" { profile baseline }
network lan = 192.0.2.0/24
server chat { software prosody 0.12  domain example.org, guest.example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
clients of chat { from lan }
anonymous of chat {
  domain  guest.example.org
  storage cleared
  limit connections 2 per source
}
`,
		Run: func(p *Pass) {
			for _, a := range p.Policy.Anonymous {
				switch {
				case a.Storage == "kept":
					p.Report(statedAt(a.At, a.Origin, "storage"), fmt.Sprintf("what anonymous users of %s store is kept", a.Server.Name))
				case a.Storage == "" && usual(a.Server, "anonymous-storage") == "on":
					p.Report(a.Origin.Span, fmt.Sprintf("%s %s keeps what anonymous users store unless its configuration says otherwise", a.Server.Software, a.Server.Version),
						label(a.Server.Origin.Span, "server %s", a.Server.Name))
				}
			}
		},
	},
}

// usual is what a setting of the server is with the project's own example
// configuration; "" where nobody has looked.
func usual(s *ir.Server, key string) string {
	set, ok := SettingOf(s.Software, s.Version, key)
	if v := set.Upstream(); ok && v != Unknown {
		return v
	}
	return ""
}

// alike reports whether two limits count the same thing by the same key.
func alike(a, b *ir.Limit) bool {
	return a.Kind == b.Kind && a.Key == b.Key && a.Before == b.Before && a.After == b.After
}

// amount makes limits of one kind comparable: how much a day lets pass, or how
// much there may be.
func amount(l *ir.Limit) uint64 {
	n := uint64(l.Count)
	switch {
	case l.Bytes != 0:
		n = l.Bytes
	case l.Seconds != 0:
		n = l.Seconds
	}
	if l.Unit != "" && n < 1<<32 {
		n *= 24 * 60 * 60 / seconds(l.Unit)
	}
	return n
}
