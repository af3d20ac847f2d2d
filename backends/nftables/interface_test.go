package nftables

import "testing"

// A name that the text could not hold as it is, or that no interface has, is
// refused: as a rule it would look configured and never match.
func TestInterfaceNames(t *testing.T) {
	for name, fine := range map[string]bool{
		"eth0": true, "wg-0.5@x_y": true, "lo": true, "A": true, "0123456789abcde": true, "wg*": true,
		"": false, ".": false, "..": false, "*": false, "0123456789abcdef": false,
		"eth$1": false, "eth/0": false, "eth:0": false, "eth 0": false, "eth\"0": false, "eth?": false, "w*g": false, "wg+": false, "eth\x00": false, "ethé": false,
	} {
		s := MatchInterface{Names: []string{name}}
		r := &Ruleset{Chains: []*Chain{{Name: "c", Rules: []*Rule{{Stmts: []Stmt{s, Verdict{Kind: Accept}}}}}}}
		if err := r.Validate(); (err == nil) != fine {
			t.Errorf("%q: %v, want fine: %v", name, err, fine)
		}
		b := &Batch{}
		b.AddRule("c", r.Chains[0].Rules[0], "")
		if err := b.Err(); (err == nil) != fine {
			t.Errorf("%q as netlink: %v, want fine: %v", name, err, fine)
		}
	}
	two := &Ruleset{Chains: []*Chain{{Name: "c", Rules: []*Rule{{Stmts: []Stmt{MatchInterface{Names: []string{"eth0", "wg*"}}}}}}}}
	if two.Validate() == nil {
		t.Error("a wildcard stands beside a name, where nft cannot keep it in a set of names")
	}
}
