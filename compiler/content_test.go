package compiler

import (
	"strings"
	"testing"

	"xfwc/lang"
	"xfwc/lang/diag"
)

// contentCases are rules, and texts that each of them has to find or to leave.
// The policy around them is always the same.
const contentFrame = `policy "p" { }
server chat { software prosody 13.0 domain chat.example address 198.51.100.1 }
point box { role host of chat nftables interface eth0 faces internet }
component irc of chat { port 5347 from 198.51.100.77 tunnel "WireGuard" }
words phish = "gift card", "Bad.example", "jabber:x:oob"
domains spam = spam.example, co.example
pattern card = "[0-9][0-9][0-9][0-9]-[0-9]+"
`

func TestCatches(t *testing.T) {
	for _, c := range []struct {
		match        string // lines of the rule
		found, spare []string
	}{
		{`match text "wire transfer"`,
			[]string{"a WIRE transfer", `<message><body>wire transfer</body></message>`, `<message><body>wire&#x20;transfer</body></message>`,
				`<message><body><![CDATA[wire transfer]]></body></message>`, `<x a='wire transfer'/>`, `<a><b>wire </b><b>transfer</b></a>`},
			[]string{"wire  transfer", `<message><body>wire</body><body>transfer</body></message>`, `<x a='wire' b='transfer'/>`}},
		{`match body "hello"`,
			[]string{"hello", `<message><subject>x</subject><body>Hello you</body></message>`, `<message xmlns='jabber:client'><body xml:lang='en'>a</body><body xml:lang='de'>hello</body></message>`},
			[]string{`<message><subject>hello</subject></message>`, `<iq><body>hello</body></iq>`, `<message><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>hello</body></html></message>`,
				`<message xmlns='jabber:client'><body xmlns='other'>hello</body></message>`}},
		{`match body ~ "^hello$"`, []string{"hello", `<message><body>hello</body></message>`}, []string{"hello you", "<hello"}},
		{`match text ~ card`, []string{"card 1234-5", `<message><body>1234-5</body></message>`}, []string{"123-5", `<message><body>12</body><body>34-5</body></message>`}},
		{`match text in words phish`, []string{"a GIFT card", "see bad.EXAMPLE"}, []string{"gift  card"}},
		{`match url in words phish`,
			[]string{"see https://bad.example/x", "HTTP://user:pw@www.BAD.example.:8443?x", `<message><body>x</body><x xmlns='jabber:x:oob'><url>https://bad.example</url></x></message>`,
				`<message><a href="https://a.bad.example"/></message>`, "(https://bad.example)"},
			[]string{"bad.example", "https://notbad.example/", "https://bad.example.org/", "https://x/bad.example", "https://x/?u=bad.example", "https://bad.example@good.example/"}},
		{`match url in domains spam`, []string{"xmpp://www.spam.example/"}, []string{"https://xspam.example"}},
		{`match url bad.example`, []string{"https://a.bad.example"}, []string{"https://bad.example2", "https://example"}},
		{`match url ~ "^[^.]+$"`, []string{"http://localhost:80/"}, []string{"http://a.b/"}},
		{`match url 2001:db8::1.x`, nil, []string{"https://[2001:db8::1]/"}}, // refused: see below
		{`match namespace "jabber:x:oob"`, []string{`<message><x xmlns='jabber:x:oob'/></message>`, `<o:x xmlns:o='jabber:x:oob'/>`}, []string{"jabber:x:oob", `<message><x a='jabber:x:oob'/></message>`, `<x xmlns='jabber:x:oob2'/>`}},
		{`match namespace in words phish`, []string{`<x xmlns='jabber:x:oob'/>`}, []string{`<x xmlns='jabber:x'/>`}},
		{`match namespace ~ "oob$"`, []string{`<x xmlns='jabber:x:oob'/>`}, []string{`<x xmlns='jabber:x:oob2'/>`}},
		{`match stanza presence`, []string{`<presence/>`, `  <presence from='a@b'/> `}, []string{`<message/>`, "presence", `<x><presence/></x>`}},
		{`match sasl plain`, []string{`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGE=</auth>`, `<authenticate mechanism='plain'/>`}, []string{`<auth mechanism='PLAIN-X'/>`, `<message mechanism='PLAIN'/>`, "PLAIN"}},
		{`match sender in domains spam`, []string{`<message from='a@spam.example/x@y'/>`, `<iq from='www.SPAM.example.'/>`}, []string{`<message from='spam.example@good.example'/>`, `<message from='good.example/spam.example'/>`, `<message/>`, `<message to='spam.example'/>`}},
		{`match sender spam.example`, []string{`<message from='x.spam.example'/>`}, []string{`<message from='example'/>`}},
		{`match recipient spam.example`, []string{`<message to='a@spam.example'/>`}, []string{`<message from='a@spam.example'/>`}},
		{"match stanza message and sender in domains spam\n match stanza iq",
			[]string{`<message from='a@spam.example'/>`, `<iq from='a@good.example'/>`}, []string{`<presence from='a@spam.example'/>`, `<message from='a@good.example'/>`}},
		{`match stanza message and body "x" and recipient chat.example`, []string{`<message to='a@chat.example'><body>x</body></message>`}, []string{"x", `<message to='a@chat.example'><body>y</body></message>`}},
		// What is no well-formed element is a text.
		{`match stanza iq`, []string{`<iq/>`}, []string{`<iq>`, `<iq/><iq/>`, `<iq></message>`, `<iq/>x`, `<!-- --><iq/>`, `<?xml version='1.0'?><iq/>`, `<!DOCTYPE iq [<!ENTITY e "x">]><iq>&e;</iq>`, strings.Repeat("<iq>", 65) + strings.Repeat("</iq>", 65)}},
		{`match text "&e;"`, []string{`<!DOCTYPE iq [<!ENTITY e "x">]><iq>&e;</iq>`}, nil},
	} {
		src := contentFrame + "content c {\n " + c.match + "\n on component irc\n then alert }\n"
		file, found := lang.Parse("p.xfw", []byte(src))
		out := Compile(Input{Files: []*lang.File{file}})
		found = append(found, out.Findings...)
		if diag.HasErrors(found) {
			if c.found != nil {
				t.Errorf("%s: %v", c.match, found)
			}
			continue
		}
		rule := out.Policy.Content[0]
		for _, text := range c.found {
			if by, ok := Catches(rule, text); !ok || len(by) == 0 {
				t.Errorf("%s does not find %s", c.match, text)
			}
		}
		for _, text := range c.spare {
			if by, ok := Catches(rule, text); ok {
				t.Errorf("%s finds %s by %s", c.match, text, by)
			}
		}
	}
}

// FuzzCatches gives any text to a rule that asks for everything: nothing panics,
// and what is found is found by a match of the rule.
func FuzzCatches(f *testing.F) {
	file, _ := lang.Parse("p.xfw", []byte(contentFrame+`content c {
  match text in words phish and url in words phish
  match body ~ card and namespace "a" and sender in domains spam
  match recipient spam.example and sasl PLAIN and stanza iq
  on component irc
  then alert
}
`))
	out := Compile(Input{Files: []*lang.File{file}})
	if len(out.Policy.Content) != 1 {
		f.Fatal(out.Findings)
	}
	for _, seed := range []string{"gift card https://bad.example", `<iq to='x@spam.example' mechanism='PLAIN'/>`, `<message from="a"><body>1234-5</body>`, "<a>&#0;</a>", "://[@:/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		by, ok := Catches(out.Policy.Content[0], text)
		if ok != (len(by) > 0) {
			t.Fatalf("%q: found %v by %v", text, ok, by)
		}
	})
}
