package deploy

import "testing"

// A line more in the policy moves every comment, and is no drift; a comment
// that was changed by hand is, also then.
func TestMovedLinesAreNoDrift(t *testing.T) {
	newNamespace(t)
	o := options(t)
	mustApply(t, o, mustCompile(t, policyA), ApplyOptions{})
	moved := mustCompile(t, "# a comment\n\n"+policyA)
	if r := mustDrift(t, o, moved); r.Status != InSync || len(r.Differences) != 0 || len(r.Notices) == 0 {
		t.Errorf("drift after a comment in the policy: %s, notices %q\n%s", r.Status, r.Notices, texts(r.Differences))
	}
	command(t, "sh", "-c", `h=$(nft -a list chain inet xfwc input | sed -n 's/.*vmap.*handle //p') &&
		nft replace rule inet xfwc input handle $h meta l4proto . th dport vmap @input_ports comment '"by hand"'`)
	r := mustDrift(t, o, moved)
	if r.Status != Drifted || len(r.Differences) != 1 || r.Differences[0].What != "comment" {
		t.Errorf("drift after a comment by hand: %s\n%s", r.Status, texts(r.Differences))
	}
	mustApply(t, o, moved, ApplyOptions{})
	if r := mustDrift(t, o, moved); r.Status != InSync || len(r.Notices) != 0 {
		t.Errorf("drift after the next apply: %s, notices %q", r.Status, r.Notices)
	}
}
