package ir

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxDumped is how many prefixes of a set Dump shows: feeds have very many.
const maxDumped = 12

// Dump writes what the statements of the policy mean, for goldens and for
// reading: one thing a line, sets last. Guards, the work of the placement, are
// left out; they are shown by what backends make of them.
func (p *Policy) Dump() []byte {
	d := &dump{sets: map[string]*AddrSet{}}
	d.line("policy %q owner %q profile %s comply %s", p.Name, p.Owner, p.Profile, list(p.Comply))
	for _, n := range p.Networks {
		demands := ""
		if n.Feed.MaxAge > 0 {
			demands += fmt.Sprintf(" max-age %ds", n.Feed.MaxAge)
		}
		if n.Feed.MaxChange > 0 {
			demands += fmt.Sprintf(" max-change %d%%", n.Feed.MaxChange)
		}
		if n.Feed.Expired > 0 {
			demands += fmt.Sprintf(" without %d expired", n.Feed.Expired)
		}
		d.line("network %s = %s%s", n.Name, d.set(n.Set), demands)
	}
	d.names(p)
	for _, s := range p.Servers {
		d.line("server %s %s %s serves %s at %s", s.Name, s.Software, s.Version, list(s.Domains), d.set(s.Set))
		if s.Config != "" {
			d.line("  config %q", s.Config)
		}
		d.pairs("  ", "sessions", number(s.Sessions), "resolver", s.Resolver)
		if s.Trust != nil {
			d.line("  trust %s", d.set(s.Trust))
		}
		for _, l := range s.Listeners {
			more := ""
			if l.Off {
				more = " off"
			}
			if l.Stated {
				more += " stated"
			}
			d.line("  %s %s %s bind %s%s", l.Service, Ports([]PortSpan{l.Port}), l.Transport, l.Bind, more)
		}
	}
	for _, pt := range p.Points {
		of, exclusive := "", ""
		if pt.Server != nil {
			of = " of " + pt.Server.Name
		}
		if pt.Exclusive {
			exclusive = " exclusive"
		}
		d.line("point %s %s%s on %s at %s%s", pt.Name, pt.Role, of, pt.Hostname, d.set(pt.Set), exclusive)
		if pt.Observe != "" {
			d.line("  observe until %s", pt.Observe)
		}
		for _, i := range pt.Interfaces {
			var faces []string
			if i.Internet {
				faces = append(faces, "internet")
			}
			for _, n := range i.Networks {
				faces = append(faces, d.set(n.Set))
			}
			d.line("  interface %s faces %s", i.Name, list(faces))
		}
		for _, e := range pt.Engines {
			d.line("  %s", strings.TrimSpace(strings.Join([]string{e.Kind, e.Mode, e.Device}, " ")))
		}
	}
	for _, f := range p.Flows {
		d.line("flow %s: %s %s from %s to %s %s", f.ID, f.Verdict, f.Kind, d.end(f.From), d.end(f.To), Ports(f.Ports))
		var more []string
		if f.Server != nil {
			more = append(more, "server "+f.Server.Name)
		}
		for _, w := range []struct{ name, value string }{{"tls", f.TLS}, {"auth", f.Auth}, {"component", f.Component}, {"peer", f.Peer}} {
			if w.value != "" {
				more = append(more, w.name+" "+w.value)
			}
		}
		for _, w := range []struct {
			name string
			set  bool
		}{{"outbound", f.Outbound}, {"leg", f.Leg}, {"on-link", f.OnLink}, {"multicast", f.Multicast}} {
			if w.set {
				more = append(more, w.name)
			}
		}
		d.line("  %s  # %s", strings.Join(more, ", "), d.origin(f.Origin))
		for _, l := range f.Limits {
			d.limit("limit", l)
		}
		for _, l := range f.Bounds {
			d.limit("bound", l)
		}
		for _, l := range p.Legs {
			if l.Flow == f {
				d.line("  leg %s: %s %s: %s", l.ID, Ports(l.Ports), l.Visibility, l.Reason)
			}
		}
	}
	d.statements(p)
	d.services(p)
	for _, c := range p.Content {
		d.line("content %s: then %s  # %s", c.ID, list(ActionNames(c.Actions)), d.origin(c.Origin))
		for _, all := range c.Any {
			var words []string
			for _, x := range all {
				words = append(words, x.String())
			}
			d.line("  match %s", strings.Join(words, " and "))
		}
		if c.Observe != "" {
			d.line("  observe until %s", c.Observe)
		}
		for _, a := range c.Anonymous {
			d.line("  on anonymous of %s", a.Server.Name)
		}
		for i, f := range c.On {
			d.line("  on %s: flow %s", c.OnNames[i], f.ID)
		}
	}
	for _, r := range p.Routes {
		at := "server " + r.Server.Name
		if r.Point != nil {
			at = "point " + r.Point.Name
		}
		d.line("route %s %s at %s %s to server %s %s body %d  # %s", r.Kind, r.Path, at, Ports([]PortSpan{r.Listen}), r.Server.Name, Ports([]PortSpan{r.Backend}), r.BodyMax, d.origin(r.Origin))
		d.pairs("  ", "frame", size(r.Frame), "size", size(r.Size), "wait", seconds(r.Wait), "usual-wait", seconds(r.UsualWait), "idle", seconds(r.Idle), "timeout", seconds(r.Timeout),
			"slot", seconds(r.Slot), "requests", number(r.Requests), "polling", r.Polling, "route", r.Route, "buffering", r.Buffering,
			"credentials", r.Credentials, "methods", strings.Join(r.Methods, " "), "origins", strings.Join(r.Origins, " "),
			"hosts", strings.Join(r.Hosts, " "), "advertises", strings.Join(r.Advertise, " "))
		for _, l := range r.Limits {
			d.limit("limit", l)
		}
		d.stated(r.At)
	}
	for _, t := range p.Tests {
		except := ""
		if t.Except != nil {
			except = " except " + d.set(t.Except)
		}
		if t.At != nil {
			except += " at " + t.At.String()
		}
		d.line("test %q: %s %s from %s to %s %s%s", t.Name, t.Kind, t.Proto, d.end(t.From), d.end(t.To), Ports(t.Ports), except)
	}
	for _, c := range p.Cases {
		verdict := "pass"
		if c.Catch {
			verdict = "catch"
		}
		d.line("case %q: %s %s %q", c.Name, verdict, c.Rule.ID, c.Text)
	}
	sets := make([]*AddrSet, 0, len(d.sets))
	for _, s := range d.sets {
		sets = append(sets, s)
	}
	slices.SortFunc(sets, func(a, b *AddrSet) int { return cmp.Compare(a.Name, b.Name) })
	for _, s := range sets {
		feed := ""
		if s.Feed != "" {
			feed = fmt.Sprintf(" feed %q %s", s.Feed, s.Digest)
		} else if s.HasFeed {
			feed = " with a feed"
		}
		var shown []string
		for _, p := range s.Prefixes[:min(len(s.Prefixes), maxDumped)] {
			shown = append(shown, p.String())
		}
		if more := len(s.Prefixes) - len(shown); more > 0 {
			shown = append(shown, fmt.Sprintf("and %d more", more))
		}
		d.line("set %s%s = %s", s.Name, feed, list(shown))
	}
	return d.Bytes()
}

// names writes what stands for hours, texts and interfaces, and what statements
// say about themselves.
func (d *dump) names(p *Policy) {
	for _, w := range p.Windows {
		var spans []string
		for _, s := range w.Spans {
			spans = append(spans, s.String())
		}
		d.line("window %s = %s", w.Name, list(spans))
	}
	for _, x := range p.Patterns {
		d.line("pattern %s = %q %s", x.Name, x.Source, x.Features)
	}
	for _, l := range p.Domains {
		d.line("domains %s%s = %s", l.Name, l.Feed.dump(), some(l.Domains))
	}
	for _, l := range p.Words {
		d.line("words %s%s = %s", l.Name, l.Feed.dump(), some(l.Words))
	}
	for _, z := range p.Zones {
		var faces []string
		for _, i := range z.Interfaces {
			faces = append(faces, i.Name+" of "+i.Point.Name)
		}
		d.line("zone %s = %s behind %s", z.Name, d.set(z.Set), list(faces))
	}
	for _, s := range p.Statements {
		during := ""
		if s.Terms.During != nil {
			during = s.Terms.During.Name
		}
		d.line("terms of %s: owner %q ticket %q expires %s during %s", s.Origin.Label, s.Terms.Owner, s.Terms.Ticket, cmp.Or(s.Terms.Expires, "-"), cmp.Or(during, "-"))
	}
}

// dump says where a list comes from; "" is the policy itself.
func (t FeedTerms) dump() string {
	if t.Path == "" {
		return ""
	}
	return fmt.Sprintf(" feed %q %s", t.Path, t.Digest)
}

// some lists the first of many.
func some(words []string) string {
	if more := len(words) - maxDumped; more > 0 {
		words = append(slices.Clone(words[:maxDumped]), fmt.Sprintf("and %d more", more))
	}
	return list(words)
}

type dump struct {
	bytes.Buffer
	sets map[string]*AddrSet
}

func (d *dump) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	d.WriteString(strings.TrimRight(text, " ") + "\n")
}

// set notes a set for the end of the dump and gives its name.
func (d *dump) set(s *AddrSet) string {
	if s == nil {
		return "-"
	}
	d.sets[s.Name] = s
	return s.Name
}

func (d *dump) end(e Endpoint) string {
	if e.Any {
		return "any"
	}
	return fmt.Sprintf("%q %s", e.Label, d.set(e.Set))
}

func (d *dump) origin(o Origin) string {
	return fmt.Sprintf("%s:%d %s", o.Span.Start.Filename, o.Span.Start.Line, o.Label)
}

func list(words []string) string {
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, ", ")
}

// Ports writes ports as policies do: tcp/5222, tcp/1024-65535; "all ports" for
// none.
func Ports(ps []PortSpan) string {
	if len(ps) == 0 {
		return "all ports"
	}
	var out []string
	for _, p := range ps {
		if p.From == p.To {
			out = append(out, fmt.Sprintf("%s/%d", p.Proto, p.From))
		} else {
			out = append(out, fmt.Sprintf("%s/%d-%d", p.Proto, p.From, p.To))
		}
	}
	return strings.Join(out, ",")
}
