package compiler

import (
	"fmt"

	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// Checks of the lists of domains that may federate and may not.

var domainListChecks = []Check{
	{
		Code:      "fed-domain-rule-pf-only",
		Severity:  diag.Error,
		Title:     "domains are allowed or denied, and no engine can tell domains apart",
		Why:       "TLS hides whom a stream is for and from; a packet filter and an IDS see addresses, and many domains share one. Such a rule looks configured and has no effect.",
		Reference: "RFC 7590 §3.5, RFC 7712 §5.1",
		Remedy:    "Name the server's own engine at the point that it runs on, for instance `prosody`, or take the rule out.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
domains spam = spam.example, worse.example
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables }
federation of chat {
  default allow
  tls     required
  auth    external
  deny    domains spam
  limit connections 30 per source
  limit connections 1000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 100/second burst 200 global
}
`,
		Good: `policy "p" { profile baseline }
domains spam = spam.example, worse.example
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  prosody }
federation of chat {
  default allow
  tls     required
  auth    external
  deny    domains spam
  limit connections 30 per source
  limit connections 1000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 100/second burst 200 global
}
`,
		Run: func(p *Pass) {
			for _, fed := range p.federations {
				for _, r := range fed.rules() {
					if !p.filters(fed.server) {
						p.Report(r.rule.Origin.Span, fmt.Sprintf("no engine of this policy sees which domain federates with %s", fed.server.Name),
							label(fed.server.Origin.Span, "the server that would"))
					}
				}
			}
		},
	},
	{
		Code:      "fed-blocklist-subdomain-semantics",
		Severity:  diag.Warning,
		Title:     "one list of domains is for servers that match domains differently",
		Why:       "An entry means the domain and all below it. Some servers match so; others match the very name alone, and cannot be given the names that do not exist yet. What one of them refuses, the other lets in.",
		Reference: "XEP-0191 §6; Openfire xmpp.server.permission-apply-recursive; ejabberd basic configuration manual, acl",
		Remedy:    "List the subdomains that matter as well, or give each server a list of its own.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
domains spam = spam.example
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
server im   { software openfire 5.0  domain example.net  address 198.51.100.30 }
point box { role host of chat  interface eth0 faces internet  nftables  ejabberd }
point im1 { role host of im  interface eth0 faces internet  nftables  openfire }
federation of chat {
  default deny
  auth    external
  peer branch.example
  deny domains spam
}
federation of im {
  default deny
  auth    external
  peer branch.example
  deny domains spam
}
`,
		Good: `policy "p" { profile baseline }
domains spam = spam.example
server chat { software ejabberd 24.12  domain example.org  address 198.51.100.10 }
server im   { software ejabberd 24.12  domain example.net  address 198.51.100.30 }
point box { role host of chat  interface eth0 faces internet  nftables  ejabberd }
point im1 { role host of im  interface eth0 faces internet  nftables  ejabberd }
federation of chat {
  default deny
  auth    external
  peer branch.example
  deny domains spam
}
federation of im {
  default deny
  auth    external
  peer branch.example
  deny domains spam
}
`,
		Run: func(p *Pass) {
			type use struct {
				server *ir.Server
				at     diag.Span
			}
			uses := map[*ir.DomainList]map[string]use{}
			for _, fed := range p.federations {
				match, ok := SettingOf(fed.server.Software, fed.server.Version, "s2s-match")
				if !ok || match.Upstream() == Unknown || !p.filters(fed.server) {
					continue
				}
				how := match.Upstream()
				for _, r := range fed.rules() {
					for _, l := range r.rule.Lists {
						if uses[l] == nil {
							uses[l] = map[string]use{}
						}
						if _, ok := uses[l][how]; ok {
							continue
						}
						uses[l][how] = use{fed.server, r.place(l)}
						for other, u := range uses[l] {
							if other != how {
								p.Report(r.place(l), fmt.Sprintf("list %s is for %s, which matches %s, and for %s, which matches %s", l.Name, fed.server.Name, matching[how], u.server.Name, matching[other]),
									label(u.at, "also used here"), label(l.Origin.Span, "the list"))
							}
						}
					}
				}
			}
		},
	},
	{
		Code:      "fed-blocklist-stale",
		Severity:  diag.Warning,
		Title:     "a list of denied domains may grow old unnoticed",
		Why:       "Who sends spam changes by the week, and lists are given up without a word: one that was widely used has not changed since 2021. An old list blocks those who mended their server, and none of those who came since.",
		Reference: "JabberSPAM/blacklist, last changed in March 2021",
		Remedy:    "State `max-age` behind the feed, of at most half a year, and fetch it more often than that.",
		Since:     "0.2",
		Profile:   "baseline",
		Bad: `policy "p" { profile baseline }
domains spam = feed "feeds/spam.txt"
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  prosody }
federation of chat {
  default deny
  auth    external
  peer branch.example
  deny domains spam
}
`,
		Good: `policy "p" { profile baseline }
domains spam = feed "feeds/spam.txt" { max-age 7d }
server chat { software prosody 0.12  domain example.org  address 198.51.100.10 }
point box { role host of chat  interface eth0 faces internet  nftables  prosody }
federation of chat {
  default deny
  auth    external
  peer branch.example
  deny domains spam
}
`,
		Run: func(p *Pass) {
			const halfYear = 183 * 24 * 3600
			for _, fed := range p.federations {
				for _, r := range fed.rules() {
					for _, l := range r.rule.Lists {
						if r.rule.Verdict != ir.Deny || l.Feed.Path == "" {
							continue // an allow list is the site's own decision
						}
						use := label(r.place(l), "denied here")
						switch {
						case l.Feed.MaxAge == 0:
							p.Report(l.Feed.Span, fmt.Sprintf("list %s may be of any age", l.Name), use)
						case l.Feed.MaxAge > halfYear:
							p.Report(p.maxAgePlace(l), fmt.Sprintf("list %s may be %d days old", l.Name, l.Feed.MaxAge/(24*3600)), use)
						}
					}
				}
			}
		},
	},
}

// matching says how a server matches a domain of a list.
var matching = map[string]string{"exact": "the very name", "below": "all below it too"}

// domainRule is a rule about domains with what it means.
type domainRule struct {
	decl *lang.DomainRule
	rule *ir.DomainRule
}

// rules joins the rules about domains with what they mean.
func (d federation) rules() []domainRule {
	var out []domainRule
	for _, i := range d.decl.Body.Items {
		if i.Rule == nil {
			continue
		}
		for _, r := range d.terms.Rules {
			if r.Origin.Span.Start == i.Rule.Span().Start {
				out = append(out, domainRule{i.Rule, r})
			}
		}
	}
	return out
}

// place is where the rule names a list.
func (r domainRule) place(l *ir.DomainList) diag.Span {
	for _, w := range r.decl.Names {
		if w.Text == l.Name {
			return w.Span()
		}
	}
	return r.decl.Span()
}

// maxAgePlace is where the age of a list is bounded.
func (p *Pass) maxAgePlace(l *ir.DomainList) diag.Span {
	for _, d := range decls(p, func(d *lang.Decl) *lang.DomainsDecl { return d.Domains }) {
		if d.Name.Text != l.Name || d.Body == nil {
			continue
		}
		for _, i := range d.Body.Items {
			if i.MaxAge != nil {
				return i.MaxAge.Span()
			}
		}
	}
	return l.Feed.Span
}
