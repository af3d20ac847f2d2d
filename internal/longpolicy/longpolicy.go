// Package longpolicy makes long policies for benchmarks: of every construct of
// the language, without an error, and always the same for the same length.
package longpolicy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// head is the site that the statements speak of.
const head = `# A policy that is as long as it is asked to be.

policy "long.example" {
  owner   "netops@long.example"
  profile strict
}

network lan  = 192.168.10.0/24, 2001:db8:10::/64
network ops  = 10.9.0.0/24, 2001:db8:99::/64
network dmz  = 198.51.100.8/29, 2001:db8:0:d::/64
network farm = 10.64.0.0/10, 2001:db8:5::/48
zone guests = wlan0 of edge
window office = mon-fri 08:00-18:00, sat 09:00-12:00
pattern card = "[0-9]+-[0-9]+"

server chat {
  software ejabberd 24.12
  domain   long.example, conference.long.example
  address  198.51.100.10, 2001:db8:0:d::10
}

point edge {
  role      gateway
  address   198.51.100.1, 2001:db8:0:1::1
  address   198.51.100.9, 2001:db8:0:d::1
  interface eth0 faces internet
  interface dmz0 faces dmz
  interface lan0 faces lan, ops, 10.128.0.0/9, 2001:db8:7000::/36
  interface wlan0 faces 172.16.0.0/16
  interface svc0 faces farm
  nftables
  haproxy
  suricata passive svc0
}

point chat1 {
  role      host of chat
  interface eth0 faces internet, ops, 10.128.0.0/9, 2001:db8:7000::/36
  nftables
  ejabberd
}

clients of chat {
  from     any
  starttls required
  direct-tls
  limit connections 20 per source
  limit connections 5000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 500 global
}

web of chat {
  from any
  tls  terminate at edge
  bosh "/bosh" { body 64KiB }
  limit connections 40 per source
  limit connections 4000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 200/second burst 400 global
}

deny guests to ssh of edge

`

// Lines makes a policy of n lines; what is too short for its first statements
// has those alone. It holds networks, domains, words, peers, components, allow
// and deny statements that say who answers for them, content rules, tests and
// waivers, in proportions that stay the same.
func Lines(n int) []byte {
	w := writer{rng: rand.New(rand.NewPCG(5222, 5269))}
	w.WriteString(head)
	// Federation is one block, so the peers of all units come first.
	units := max(0, (n-w.lines()-8)/unitLines)
	w.WriteString("federation of chat {\n  default deny\n  tls     required\n  auth    external\n  limit attempts 20/second burst 50 global\n\n")
	for i := range units {
		w.peers(i)
	}
	w.WriteString("}\n\n")
	for i := range units {
		w.unit(i)
	}
	for w.lines() < n {
		w.WriteString("# The end.\n")
	}
	return w.Bytes()
}

type writer struct {
	bytes.Buffer
	rng *rand.Rand
}

func (w *writer) lines() int { return bytes.Count(w.Bytes(), []byte("\n")) }

func (w *writer) f(format string, args ...any) { fmt.Fprintf(w, format, args...) }

// unitLines is the number of lines that peers and unit write together.
const unitLines = 50

// peers writes the peers of a unit.
func (w *writer) peers(i int) {
	for k := range 6 {
		n := i*8 + k
		w.f("  peer p%d.example { address %s, 2001:db8:%x:%x::5  limit connections %d per peer }\n", n, peerAddress(n), 0x1000+n>>12, n&0xfff+1, 1+w.rng.IntN(90))
	}
	w.f("  peer legacy%d.example {\n    address %s, 2001:db8:%x:%x::5\n    auth    dialback over tls\n    certificate self-signed\n    owner   \"peering@long.example\"\n    limit connections 5 per peer\n  }\n  deny domains spam%d\n",
		i, peerAddress(i*8+6), 0x1000+(i*8+6)>>12, (i*8+6)&0xfff+1, i)
}

// peerAddress is an address of the internet, for each n another.
func peerAddress(n int) string {
	return fmt.Sprintf("%d.%d.%d.%d", 20+n>>16, n>>8&255, n&255, 9)
}

// unit writes one statement of every kind.
func (w *writer) unit(i int) {
	a, b := i>>8, i&255
	w.f("# Team %d, seat %d.\n", i, w.rng.IntN(1000))
	w.f("network team%d = 10.%d.%d.0/26, 2001:db8:7%03x::/64\n", i, 128+a, b, i&0xfff)
	w.f("network site%d = team%d, 10.%d.%d.64/27, 10.%d.%d.128  # with its printers\n", i, i, 128+a, b, 128+a, b)
	w.f("network out%d  = 100.%d.%d.%d/32, 2001:db8:bad:%x::/64 { owner \"abuse@long.example\"  ticket \"NET-%d\" }\n", i, 128+a, b, 1+w.rng.IntN(250), i+1, i)
	w.f("network host%d = 10.%d.%d.7, 2001:db8:5:%x::7\n", i, 64+a, b, i+1)
	w.f("domains spam%d = bad%d.example, worse%d.example\n", i, i, i)
	w.f("words phish%d = \"wire transfer %d\", \"gift card %d\"\n\n", i, i, i)

	w.f("component c%d of chat {\n  port   %d\n  from   host%d\n  limit connections 2 global\n}\n\n", i, 6000+i, i)

	w.f("allow network site%d to tcp/%d of edge { owner \"team%d@long.example\"  ticket \"NET-%d\" }\n", i, 10000+i, i, i)
	w.f("allow network team%d to ssh of chat1 {\n  ticket \"NET-%d\"\n  during office\n}\n", i, i)
	w.f("allow team%d, 10.9.0.%d to tcp/%d-%d of edge\n", i, 1+w.rng.IntN(250), 20000+8*i, 20003+8*i)
	w.f("deny  network out%d\n\n", i)

	w.f("content fraud%d {\n  match text \"wire transfer %d\"\n  match body in words phish%d and sender in domains spam%d\n  match body ~ card\n  on    component c%d\n  then  alert\n}\n\n", i, i, i, i, i)

	w.f("waive comp-nonloopback on component c%d until 2030-01-31\n  because \"WireGuard tunnel, NET-%d\"\n\n", i, i)

	w.f("test \"component %d\" {\n  deny  tcp any           -> chat:%d except host%d\n  allow tcp 10.%d.%d.7    -> chat:%d\n  allow tcp %s -> chat:5269\n}\n\n",
		i, 6000+i, i, 64+a, b, 6000+i, peerAddress(i*8))
}
