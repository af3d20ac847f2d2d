package compiler

import (
	"strings"
	"testing"

	"xfwc/lang"
)

// everyBlock has a last day in every place where one can stand.
const everyBlock = `policy "m" { owner "a" }
network lan = 10.1.0.0/24 { owner "network" expires 2025-01-01 }
zone z = eth1 of edge { expires 2025-01-01 }
domains d = bad.example { expires 2025-01-01 }
words w = "x" { expires 2025-01-01 }
pattern p = "x" { expires 2025-01-01 }
window office = mon-fri 08:00-18:00 { expires 2025-01-01 }
server chat { software ejabberd 24.12 domain a.example, g.a.example address 198.51.100.10 expires 2025-01-01 }
point edge { role gateway address 192.0.2.1 nftables haproxy interface eth0 faces internet interface eth1 faces lan expires 2025-01-01 }
point h { role host of chat nftables }
clients of chat { expires 2025-01-01 limit connections 5 per source { expires 2025-01-01 } }
federation of chat {
  default deny
  expires 2025-01-01
  peer x.example { address 203.0.113.5 expires 2025-01-01 limit connections 5 global { expires 2025-01-01 } }
  deny domains d { expires 2025-01-01 }
}
component irc of chat { port 5347 from 10.1.0.5 tunnel "x" expires 2025-01-01 }
web of chat {
  tls terminate at edge
  expires 2025-01-01
  bosh "/b" { body 64KiB expires 2025-01-01 limit requests 5/s per source { expires 2025-01-01 } }
}
anonymous of chat { domain g.a.example expires 2025-01-01 }
media of chat { stun expires 2025-01-01 }
admin of chat { from lan expires 2025-01-01 }
cluster of chat { with 10.1.0.9 expires 2025-01-01 }
egress of chat {
  default deny
  expires 2025-01-01
  allow dns to any { expires 2025-01-01 }
}
serverless { on lan expires 2025-01-01 }
allow lan to ssh of edge { expires 2025-01-01 }
content c { match text "x" on component irc then alert expires 2025-01-01 }
`

// TestTermsEverywhere counts: no block reads its lines about itself and forgets
// them.
func TestTermsEverywhere(t *testing.T) {
	const line = "expires 2025-01-01"
	file, found := lang.Parse("p.xfw", []byte(everyBlock))
	if len(found) > 0 {
		t.Fatal(found)
	}
	told := map[int]bool{}
	for _, f := range Compile(Input{Files: []*lang.File{file}, Date: "2026-01-01"}).Findings {
		if f.Code == "statement-expired" {
			told[f.Span.Start.Offset] = true
		}
	}
	for at := 0; ; {
		i := strings.Index(everyBlock[at:], line)
		if i < 0 {
			break
		}
		if at += i; !told[at] {
			t.Errorf("nothing is told of line %d: %s", 1+strings.Count(everyBlock[:at], "\n"), strings.Split(everyBlock, "\n")[strings.Count(everyBlock[:at], "\n")])
		}
		at += len(line)
	}
	if n := strings.Count(everyBlock, line); n != len(told) || n < 25 {
		t.Errorf("%d last days, %d told", n, len(told))
	}
	// During stands where a clock can switch something, and is refused elsewhere.
	file, _ = lang.Parse("p.xfw", []byte(strings.ReplaceAll(everyBlock, line, "during office")))
	refused := 0
	for _, f := range Compile(Input{Files: []*lang.File{file}}).Findings {
		if f.Code == "value-invalid" && strings.Contains(f.Summary, "during cannot stand here") {
			refused++
		}
	}
	if n := strings.Count(everyBlock, line) - 3; refused != n {
		t.Errorf("during is refused %d times of %d", refused, n)
	}
}
