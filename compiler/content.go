package compiler

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// What a content rule finds, judged on texts: the model that the policy's own
// tests ask. An engine that is given the rule has to find the same.

// Catches reports whether the content rule finds the text, and the conditions by
// which it does. The text is a stanza, or an element of a negotiation, where it
// begins with < and is well formed; any other is the body of a message of
// which nothing else is known.
func Catches(c *ir.ContentRule, text string) ([]ir.Condition, bool) {
	st, ok := readStanza(text)
	if !ok {
		st = &stanza{kind: "message", bodies: []string{text}, readable: []string{text}}
	}
	for _, all := range c.Any {
		if !slices.ContainsFunc(all, func(c ir.Condition) bool { return !st.holds(c) }) {
			return all, true
		}
	}
	return nil, false
}

// stanza is what a content rule can ask of one.
type stanza struct {
	kind      string // "message", "presence", "iq"; "" for another element
	sasl      string // mechanism that it chooses, in upper case
	from, to  string // domains, in lower case
	bodies    []string
	readable  []string // the text as it stands, and what its parts say
	namespace []string
}

func (st *stanza) holds(c ir.Condition) bool {
	switch c.What {
	case "text":
		return finds(c, st.readable)
	case "body":
		return finds(c, st.bodies)
	case "url":
		return slices.ContainsFunc(st.hosts(), func(host string) bool { return names(c, host) })
	case "namespace":
		return slices.ContainsFunc(st.namespace, func(n string) bool {
			switch {
			case c.Words != nil:
				return listed(c.Words.Words, lowerASCII(n))
			case c.Pattern != nil:
				return c.Pattern.Match(n)
			}
			return n == c.Text
		})
	case "stanza":
		return st.kind == c.Text
	case "sasl":
		return st.sasl == c.Text
	case "sender":
		return st.from != "" && names(c, st.from)
	case "recipient":
		return st.to != "" && names(c, st.to)
	}
	return false
}

// finds reports whether one of the texts holds what the condition looks for.
func finds(c ir.Condition, texts []string) bool {
	for _, t := range texts {
		if c.Pattern != nil {
			if c.Pattern.Match(t) {
				return true
			}
			continue
		}
		t = lowerASCII(t)
		if c.Words == nil {
			if strings.Contains(t, lowerASCII(c.Text)) {
				return true
			}
		} else if slices.ContainsFunc(c.Words.Words, func(w string) bool { return strings.Contains(t, w) }) {
			return true
		}
	}
	return false
}

// names reports whether the condition means the domain: it, or one above it, is
// what it looks for.
func names(c ir.Condition, domain string) bool {
	switch {
	case c.Pattern != nil:
		return c.Pattern.Match(domain)
	case c.Domains != nil:
		_, ok := c.Domains.Covers(domain)
		return ok
	}
	for {
		if c.Words != nil && listed(c.Words.Words, domain) || c.Words == nil && domain == c.Text {
			return true
		}
		_, above, more := strings.Cut(domain, ".")
		if !more {
			return false
		}
		domain = above
	}
}

func listed(sorted []string, text string) bool {
	_, ok := slices.BinarySearch(sorted, text)
	return ok
}

// hosts are those of the URLs that can be read, in lower case (RFC 3986 section
// 3.2.2).
func (st *stanza) hosts() []string {
	var out []string
	for _, text := range st.readable {
		for rest := text; ; {
			_, after, found := strings.Cut(rest, "://")
			if !found {
				break
			}
			rest = after
			authority := after
			if i := strings.IndexFunc(after, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`/\?#"'<>&(){},;`, r) }); i >= 0 {
				authority = after[:i]
			}
			host := authority[strings.LastIndexByte(authority, '@')+1:]
			if inner, _, ok := strings.Cut(strings.TrimPrefix(host, "["), "]"); ok && strings.HasPrefix(host, "[") {
				host = inner
			} else {
				host, _, _ = strings.Cut(host, ":")
			}
			if host = strings.TrimRight(lowerASCII(host), "."); host != "" && !slices.Contains(out, host) {
				out = append(out, host)
			}
		}
	}
	return out
}

// maxNested bounds how deep elements stand in each other.
const maxNested = 64

// readStanza reads one element. ok is false for what is no well-formed element
// as a stream may hold it (RFC 6120 section 11): then it is no stanza.
func readStanza(text string) (*stanza, bool) {
	if !strings.HasPrefix(strings.TrimSpace(text), "<") {
		return nil, false
	}
	st := &stanza{readable: []string{text}}
	d := xml.NewDecoder(strings.NewReader(text))
	type element struct {
		name xml.Name
		text strings.Builder // that stands in it, and in the elements within
	}
	var open []*element
	done := false
	for {
		t, err := d.Token()
		if t == nil || err != nil {
			return st, done && errors.Is(err, io.EOF)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if done || len(open) == maxNested {
				return nil, false
			}
			if len(open) == 0 {
				st.root(t)
			}
			if t.Name.Space != "" && !slices.Contains(st.namespace, t.Name.Space) {
				st.namespace = append(st.namespace, t.Name.Space)
			}
			for _, a := range t.Attr {
				st.readable = append(st.readable, a.Value)
			}
			open = append(open, &element{name: t.Name})
		case xml.CharData:
			if len(open) == 0 {
				if strings.TrimSpace(string(t)) != "" {
					return nil, false
				}
				continue
			}
			for _, e := range open {
				e.text.Write(t)
			}
		case xml.EndElement:
			e := open[len(open)-1]
			open = open[:len(open)-1]
			said := e.text.String()
			// A stanza holds elements: what stands in two of them is no one text.
			if said != "" && (len(open) > 0 || st.kind == "") {
				st.readable = append(st.readable, said)
			}
			if len(open) == 1 && st.kind == "message" && e.name.Local == "body" && e.name.Space == open[0].name.Space {
				st.bodies = append(st.bodies, said)
			}
			done = len(open) == 0
		default:
			return nil, false // comments, instructions and declarations have no place in a stream
		}
	}
}

// root reads the outermost element.
func (st *stanza) root(t xml.StartElement) {
	switch t.Name.Local {
	case "message", "presence", "iq":
		st.kind = t.Name.Local
	}
	for _, a := range t.Attr {
		if a.Name.Space != "" {
			continue
		}
		switch a.Name.Local {
		case "from":
			st.from = domainOf(a.Value)
		case "to":
			st.to = domainOf(a.Value)
		case "mechanism":
			// <auth/> of RFC 6120 section 6.4.2 and <authenticate/> of XEP-0388.
			if t.Name.Local == "auth" || t.Name.Local == "authenticate" {
				st.sasl = strings.ToUpper(a.Value)
			}
		}
	}
}

// domainOf is the domain of an address (RFC 7622 section 3.1).
func domainOf(jid string) string {
	bare, _, _ := strings.Cut(jid, "/")
	return strings.TrimRight(lowerASCII(bare[strings.IndexByte(bare, '@')+1:]), ".")
}

// CaseResult is what became of one expectation about a content rule.
type CaseResult struct {
	Case *ir.ContentCase
	OK   bool
	// By are the conditions that found the text, where it was found.
	By []ir.Condition
}

// RunCases judges every expectation of the policy about its content rules.
func RunCases(p *ir.Policy) []CaseResult {
	var out []CaseResult
	for _, c := range p.Cases {
		by, caught := Catches(c.Rule, c.Text)
		out = append(out, CaseResult{Case: c, OK: caught == c.Catch, By: by})
	}
	return out
}

// caseFindings reports the expectations about content rules that do not hold.
func caseFindings(p *ir.Policy) []diag.Finding {
	var fs []diag.Finding
	for _, r := range RunCases(p) {
		if r.OK {
			continue
		}
		f := diag.New("test-failed", r.Case.Origin.Span, r.String())
		for _, c := range r.By {
			f.Labels = append(f.Labels, diag.Label{Span: c.Origin.Span, Text: "this condition finds it"})
		}
		if len(r.By) == 0 {
			f.Labels = append(f.Labels, diag.Label{Span: r.Case.Rule.Origin.Span, Text: "no match of this rule finds it"})
		}
		fs = append(fs, f)
	}
	return fs
}

// String says what became of the case, in a sentence.
func (r CaseResult) String() string {
	what := "passes"
	if r.Case.Catch == r.OK {
		what = "catches"
	}
	return fmt.Sprintf("test %q: content %s %s %s", r.Case.Name, r.Case.Rule.ID, what, quoted(r.Case.Text))
}
