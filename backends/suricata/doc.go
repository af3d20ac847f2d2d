// Package suricata writes what a Suricata 7 sensor needs to look for the
// policy's content rules.
//
// The sensor is passive: it reads copies of the packets on one interface, so it
// raises alerts and stops nothing. It can read a leg only where the leg is clear
// on the wire; after STARTTLS (RFC 6120 section 5) or inside TLS there is
// nothing to match, and the ledger says so instead of a rule that never fires.
//
// Two artefacts belong together, and are meant to lie in /etc/xfwc/suricata:
//
//	xfwc.rules  one rule for each content rule, clear leg and form of the text
//	xfwc.yaml   the whole configuration that the rules need
//
// Check them with
//
//	suricata -T -c xfwc.yaml -S xfwc.rules
//
// and require "N rules successfully loaded" with the N of the file's first
// line: Suricata accepts an empty or a missing rule file with exit code 0 at
// run time. Run them with
//
//	suricata --af-packet -c /etc/xfwc/suricata/xfwc.yaml
//
// Three settings matter for XMPP and differ from Suricata's defaults. Streams
// stay open for days, and a sensor that is not in inline stream mode inspects
// only when a chunk is full or the connection ends, so an alert could come days
// late. It stops looking into a stream after 1 MiB. And it forgets an idle
// connection after ten minutes.
//
//	file         holds
//	emit.go      which rules a point needs, and the ledger
//	write.go     the typed writer: the only place that makes Suricata syntax
//	findings.go  what the backend has to complain of
package suricata
