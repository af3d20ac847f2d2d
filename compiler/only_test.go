package compiler

import (
	"strings"
	"testing"

	"xfwc/lang"
)

// TestOnly has lines of a test, and whether each holds: only asks for those it
// names and for nobody else, at every minute unless one is asked for.
func TestOnly(t *testing.T) {
	const policy = `policy "p" { }
network ops = 10.9.0.0/24, 2001:db8:9::/64
network lan = 10.1.0.0/16, 2001:db8:1::/64
window office = mon-fri 08:00-18:00
point box {
  role host
  address 192.0.2.1, 2001:db8::1
  interface eth0 faces internet
  nftables
}
allow network ops, lan to tcp/80 of box
allow network ops to ssh of box
allow network lan to ssh of box { during office }
allow any to tcp/443 of box
deny  network lan to tcp/443 of box
test "t" {
  LINE
}
`
	for line, want := range map[string]string{
		"only tcp ops, lan -> box:80":                      "",
		"only tcp 10.1.0.0/16, lan, ops -> box:80":         "",
		"only tcp ops -> box:80":                           "10.1.0.0 -> 192.0.2.1:80 is allowed",
		"only tcp ops, lan, 10.2.0.0/16 -> box:80":         "10.2.0.0 -> 192.0.2.1:80 is denied",
		"only tcp 10.9.0.0/24 -> box:80":                   "10.1.0.0 -> 192.0.2.1:80 is allowed",
		"only tcp 10.9.0.0/24, lan -> box:80":              "2001:db8:9:: -> [2001:db8::1]:80 is allowed",
		"only tcp ops, lan -> box:80 except 203.0.113.7":   "",
		"only tcp ops -> box:80 except lan":                "",
		"only tcp ops -> box:22":                           "is allowed at mon 08:00",
		"only tcp ops, lan -> box:22":                      "is denied at mon 00:00",
		"only tcp ops, lan -> box:22 at wed 09:30":         "",
		"only tcp ops -> box:22 at sat 09:30":              "",
		"allow tcp lan -> box:22 at mon 08:00":             "",
		"allow tcp lan -> box:22 at mon 18:00":             "is denied at mon 18:00",
		"deny tcp lan -> box:22 at fri 18:00":              "",
		"allow tcp ops, 203.0.113.7 -> box:443":            "",
		"deny tcp lan, 203.0.113.7 -> box:22 at sun 12:00": "",
		"allow tcp ops, lan -> box:443":                    "10.1.0.0 -> 192.0.2.1:443 is denied",
	} {
		file, found := lang.Parse("p.xfw", []byte(strings.Replace(policy, "LINE", line, 1)))
		out := Compile(Input{Files: []*lang.File{file}})
		var failed []string
		for _, f := range append(found, out.Findings...) {
			switch f.Code {
			case "test-failed":
				failed = append(failed, f.Summary)
			case "test-empty", "value-invalid", "syntax-statement", "internal-error":
				t.Errorf("%s: %s", line, f.Summary)
			}
		}
		got := strings.Join(failed, "; ")
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
