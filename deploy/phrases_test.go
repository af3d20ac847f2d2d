package deploy

import (
	"strings"
	"testing"
)

// Rules as people add them with nft, and the words that a report has for them.
func TestRuleTextOfTheKernel(t *testing.T) {
	newNamespace(t)
	cases := []struct{ rule, want string }{
		{"accept", "accept"},
		{"ip saddr 192.0.2.1 drop", "nfproto ipv4 ip saddr 192.0.2.1 drop"},
		{"ip saddr != 192.0.2.0/24 drop", "nfproto ipv4 ip saddr != 192.0.2.0/24 drop"},
		{"ip6 daddr 2001:db8::/32 accept", "nfproto ipv6 ip6 daddr 2001:db8::/32 accept"},
		{"ip saddr 192.0.2.5-192.0.2.9 accept", "nfproto ipv4 ip saddr 192.0.2.5-192.0.2.9 accept"},
		{"tcp dport 22 accept", "l4proto tcp dport 22 accept"},
		{"tcp dport != 22 return", "l4proto tcp dport != 22 return"},
		{"tcp dport { 22, 5222-5223 } accept", "l4proto tcp dport { 22, 5222-5223 } accept"},
		{"udp sport 53 counter drop", "l4proto udp sport 53 counter drop"},
		{`iifname "eth0" accept`, `iifname "eth0" accept`},
		{"ct state established,related accept", "ct state established,related accept"},
		{"ct state new jump other", "ct state new jump other"},
		{"ip saddr @some goto other", "nfproto ipv4 ip saddr @some goto other"},
		{"ip saddr != @some drop", "nfproto ipv4 ip saddr != @some drop"},
		{"meta l4proto . th dport vmap @ports", "l4proto . dport vmap @ports"},
		{"limit rate 5/minute accept", "limit rate 5/minute burst 5 packets accept"},
		{"limit rate over 7/second burst 9 packets drop", "limit rate over 7/second burst 9 packets drop"},
		{"ct count over 20 drop", "ct count over 20 drop"},
		{"update @rates { ip saddr limit rate over 30/minute burst 10 packets } drop", "nfproto ipv4 @rates { ip saddr limit rate over 30/minute burst 10 packets } drop"},
		{"counter name hits accept", "counter hits accept"},
		{`log prefix "xfwc: " drop`, `log prefix "xfwc: " level=4 drop`},
		{"reject", "reject"},
		{"ip ttl 255 accept", "nfproto ipv4 ip ttl 255 accept"},
		{"ip6 hoplimit 255 accept", "nfproto ipv6 ip6 hoplimit 255 accept"},
		{"mark set 7 accept", "meta key=3 sreg=1 accept"},
	}
	var script strings.Builder
	script.WriteString(`table inet xfwc {
	counter hits { }
	set some { type ipv4_addr; }
	set rates { type ipv4_addr; size 100; flags dynamic; }
	map ports { type inet_proto . inet_service : verdict; }
	chain other { }
	chain rules {
`)
	for _, c := range cases {
		script.WriteString("\t\t" + c.rule + "\n")
	}
	script.WriteString("\t}\n}\n")
	nft(t, script.String())
	s, err := ThisMachine().Dump(nil)
	if err != nil {
		t.Fatal(err)
	}
	items := s.Object("chain", "rules").Items
	for i, c := range cases {
		if got := ruleText(items[i].Text); !strings.HasSuffix(got, c.want) || got != c.want && !strings.Contains(c.rule, "mark") {
			t.Errorf("%s\ngot  %s\nwant %s\nfrom %s", c.rule, got, c.want, items[i].Text)
		}
	}
}

// Texts that no kernel writes are shown as they are.
func FuzzRuleText(f *testing.F) {
	for _, s := range []string{
		"", "; ", "immediate dreg=0 data=accept", "cmp sreg=1 op=0 data=0x1495", "meta dreg=1 key=16; cmp sreg=1 op=0 data=0x06",
		"lookup set={flags=3 key_type=13 key_len=2 5222, 5269} sreg=1 flags=0", "payload dreg=9 base=1 offset=12 len=4; bitwise sreg=9 dreg=9 mask=0xff; cmp sreg=9 op=9 data=0x",
		`log prefix="a; b\" {" level=6`, "dynset set=@x sreg_key=1 expr={limit rate=0x05 unit=0x3c burst=5 flags=1}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_ = ruleText(s)
		_, _ = diffStatements(s, s+"; immediate dreg=0 data=drop")
	})
}
