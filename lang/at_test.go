package lang

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestAt asks at the | of a text what may stand there. The answer is spelt:
// keywords "!a b", words "a b", senses "=defined", "kind", "'value".
func TestAt(t *testing.T) {
	tests := []struct{ src, want string }{
		{"|", "!policy !include !network …"},
		{"cl|", "!policy !include !network …"},
		{"server chat { | }", "!software !domain !address …"},
		{"server chat {\n  software |", "'prosody 'ejabberd 'openfire …"},
		{"server chat {\n  software prosody 13.0\n  |\n}\n", "!software !domain !address …"},
		{"server chat {\n  port adm| 5", "'admin 'clients …"},
		{"clients of |", "server"},
		{"clients |", "of"},
		{"clients of chat { from |", "network zone server point 'any"},
		{"clients of chat { from lan, |", "network zone server point 'any"},
		{"clients of chat { starttls req|", "'required 'optional 'off"},
		{"clients of chat { starttls required |", "!from !starttls … port"},
		{"clients of chat {\n  compression |\n}", "'on 'off"},
		{"clients of chat {\n  registration |\n}", "'closed 'invite 'open"},
		{"clients of chat {\n  limit connections 20 |\n}", "!from … before after burst per global then"},
		{"clients of chat {\n  limit connections 20 per |\n}", "prefix 'source 'peer 'account 'stream"},
		{"clients of chat { direct-tls port 443 alpn at |", "point"},
		{"waive |", "code"},
		{"waive comp-nonloopback |", "on until"},
		{"waive comp-nonloopback on |", "component peer clients …"},
		{"waive comp-nonloopback on component |", "of until component"},
		{"waive comp-nonloopback on component irc\n  |", "!policy … of until"},
		{"deny network |", "network 'any"},
		{"deny |", "network network zone server point 'any"},
		{"allow network ops to |", "'ssh 'web 'admin …"},
		{"allow network ops to admin of |", "server point"},
		{"federation of chat { deny domains |", "domains"},
		{"federation of chat { deny |", "domains"},
		{"federation of chat { peer x.example { auth | } }", "'external 'dialback"},
		{"federation of chat { peer x.example { auth dialback | } }", "!address … over"},
		{"content x {\n  match body in |", "words domains"},
		{"content x {\n  match body in words |", "words"},
		{"content x {\n  match sender in domains |", "domains"},
		{"content x {\n  match body ~ |", "pattern"},
		{"content x {\n  match body ~ card |", "!match … and"},
		{"content x {\n  on component |", "!match … of component"},
		{"test \"x\" { allow tcp |", "network zone server point 'any"},
		{"test \"x\" { allow tcp any -> |", "server point"},
		{"network |", "=network"},
		{"network a = |", "feed network"},
		{"network a = b { | }", "!max-age !max-change …"},
		{"zone guests = wlan0 of |", "point"},
		{"bogus |", ""},
		{"bogus { | }", ""},
		{"server chat { # a comm|ent\n}", ""},
		{"server chat { # a comment |\n}", ""},
		{"server chat { # a comment\n| }", "!software …"},
		{"server chat { config \"/etc|\" }", ""},
		{"}\n}\nclients of |", "server"},
		{"clients of chat { from any\nserver x { |", ""},
	}
	for _, test := range tests {
		offset := strings.IndexByte(test.src, '|')
		src := test.src[:offset] + test.src[offset+1:]
		if got := spell(At([]byte(src), offset)); !abridged(got, test.want) {
			t.Errorf("%q:\n got %s\nwant %s", test.src, got, test.want)
		}
	}
}

func spell(p Place) string {
	var all []string
	for _, k := range p.Keywords {
		all = append(all, "!"+k.Word)
	}
	all = append(all, p.Words...)
	for _, r := range p.Senses {
		if r.Defines != "" {
			all = append(all, "="+r.Defines)
		}
		all = append(all, r.Refers...)
		for _, w := range r.OneOf {
			all = append(all, "'"+w)
		}
	}
	return strings.Join(all, " ")
}

// abridged reports whether got is want, where … in want stands for anything.
func abridged(got, want string) bool {
	head, tail, cut := strings.Cut(want, "…")
	if !cut {
		return got == want
	}
	return strings.HasPrefix(got, head) && strings.HasSuffix(got, tail)
}

// At knows the statement, and the word that is being written.
func TestAtStatement(t *testing.T) {
	tests := []struct{ src, want string }{
		{"ser|ver chat { }", "server 1:1-1:7 server first"},
		{"server ch|at { }", "chat 1:8-1:12 server"},
		{"server chat { soft|ware prosody 13.0 }", "software 1:15-1:23 software first"},
		{"server chat { software prosody| 13.0 }", "prosody 1:24-1:31 software"},
		{"waive x on component irc\n  unt|il 2027-01-31", "until 2:3-2:8 waive"},
		{"deny network drop  clients of ch|at { }", "chat 1:31-1:35 clients"},
		{"server chat { domain a.example  address 1.2|.3.4 }", "1.2.3.4 1:41-1:48 address"},
		{"policy \"ex|ample\" { }", "\"example\" 1:8-1:17 policy"},
		{"server chat { }\n\n|\n", " 3:1-3:1 -"},
		{"server chat { |", " 1:15-1:15 -"},
	}
	for _, test := range tests {
		offset := strings.IndexByte(test.src, '|')
		p := At([]byte(test.src[:offset]+test.src[offset+1:]), offset)
		got := fmt.Sprintf("%s %s -", p.Word, strings.TrimPrefix(spanText(p.Span), ":"))
		if p.Statement != nil {
			got = strings.TrimSuffix(got, "-") + p.Statement.Word
		}
		if p.First {
			got += " first"
		}
		if got != test.want {
			t.Errorf("%q:\n got %s\nwant %s", test.src, got, test.want)
		}
	}
}

// TestUses lists what the words of an office stand for.
func TestUses(t *testing.T) {
	const src = `network lan = 192.168.10.0/24, inner
zone guests = wlan0 of edge
server chat { trust edge }
point edge { role host of chat  interface eth0 faces internet, lan }
clients of chat { from any, lan  compression off  direct-tls offload at edge }
component irc of chat { from guests }
allow network lan to component irc of chat, tcp/22 of edge
allow lan to ssh of edge
content c { match body in words w  match sender in domains d  match body ~ p  on component irc, clients of chat, peer x.example }
waive comp-nonloopback on content c until 2027-01-31 because "x"
test "t" { deny tcp lan -> chat:5222 except guests  allow tcp any -> 2001:db8::1:22  catch c "x" }
`
	file, findings := Parse("p", []byte(src))
	if len(findings) > 0 {
		t.Fatal(pins(findings))
	}
	var got []string
	Uses(file, func(u Use) {
		what := strings.Join(u.Refers, "|")
		if u.Defines != "" {
			what = "=" + u.Defines
		}
		if slices.Contains(u.OneOf, u.Name) {
			what = "'"
		}
		if text := src[u.Span.Start.Offset:u.Span.End.Offset]; text != u.Name {
			t.Errorf("%s is at %q", u.Name, text)
		}
		got = append(got, u.Name+" "+strings.ReplaceAll(what, "network|zone|server|point", "place"))
	})
	want := strings.Split(`lan =network
192.168.10.0/24 network
inner network
guests =zone
edge point
chat =server
edge place
edge =point
host '
chat server
internet '
lan network
chat server
any '
lan place
off '
edge point
irc =component
chat server
guests place
lan network
component '
irc component
chat server|point
tcp/22 
edge server|point
lan place
ssh '
edge server|point
c =content
body '
w words
sender '
d domains
body '
p pattern
irc component
chat server
x.example peer
comp-nonloopback code
c content
tcp '
lan place
chat server|point
guests place
tcp '
any '
2001:db8::1:22 server|point
c content`, "\n")
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s", strings.Join(got, "\n"))
	}
}

// FuzzAt asks at every offset of a text: what is there is in the text, and
// nothing panics.
func FuzzAt(f *testing.F) {
	for _, s := range seeds(f) {
		if len(s) < 300 {
			f.Add(s)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		src = src[:min(len(src), 300)]
		for offset := range len(src) + 1 {
			p := At(src, offset)
			if p.Span.IsValid() && string(src[p.Span.Start.Offset:p.Span.End.Offset]) != p.Word {
				t.Fatalf("%q is not at %+v", p.Word, p.Span)
			}
			if p.First && p.Statement == nil || p.First && p.Statement.Word != p.Word {
				t.Fatalf("at %d: %q is said to be a keyword", offset, p.Word)
			}
		}
	})
}
