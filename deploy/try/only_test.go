package try

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// TestOnlyInTheKernel sends the packets of only: some that have to pass, and
// some of everybody else, which must not.
func TestOnlyInTheKernel(t *testing.T) {
	needPrivilege(t)
	const src = `policy "only" { profile baseline }
network ops = 10.9.0.0/24, 2001:db8:9::/64
network lan = 10.1.0.0/16
server chat { software prosody 13.0  domain example.org  address 198.51.100.10, 2001:db8::10 }
point box { role host of chat  interface eth0 faces internet, ops, lan  nftables }
allow network ops, lan to tcp/7000 of box
allow any to tcp/7001 of box
test "only" {
  only tcp ops, lan -> box:7000
  only tcp ops -> box:7000
  only tcp ops, lan, 203.0.113.7 -> box:7000
  only tcp lan -> box:7000 except ops
  only tcp ops, lan -> box:7001
}
`
	res, err := Run(context.Background(), Options{Policy: written(t, src), Path: "policy.xfw", Sources: map[string][]byte{"policy.xfw": []byte(src)}, TestsOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, tr := range res.Tests() {
		got = append(got, fmt.Sprintf("%s %v", tr.Line, tr.OK))
		if tr.Packets < 4 {
			t.Errorf("%s: %d packets", tr.Line, tr.Packets)
		}
		for _, f := range tr.Failures {
			if f.Disagrees {
				t.Errorf("%s: the kernel and the model disagree about %s", tr.Line, f.Packet)
			}
		}
	}
	const want = "policy.xfw:9 true; policy.xfw:10 false; policy.xfw:11 false; policy.xfw:12 true; policy.xfw:13 false"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("got %s\nwant %s\n%s", s, want, transcript(res))
	}
}
