package suricata

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"xfwc/compiler/ir"
)

// The typed writer. Every string that reaches Suricata goes through one of the
// functions here, each of which either gives text that cannot end its field or
// refuses.

const (
	// maxLine is the longest rule that Suricata's parser takes: its buffer holds
	// 8192 bytes with the ending NUL, and cuts what is longer.
	maxLine = 8191
	// window is how many bytes of a stream are inspected together, the chunk
	// size in the configuration. Text longer than the window is never found.
	window = 2560
	// maxContent leaves room in the window for the packet that completes a match.
	maxContent = 1024
	// minSID and sids bound the range that is customary for rules of a site's own.
	minSID = 1000000
	sids   = 1000000
)

var (
	errLong     = fmt.Errorf("the rule is longer than the %d bytes that Suricata reads of one", maxLine)
	errContent  = fmt.Errorf("the text is empty or longer than %d bytes, which is more than Suricata inspects at a time", maxContent)
	errPorts    = errors.New("the leg has no TCP port to watch")
	errAddress  = errors.New("the leg has no address to watch")
	errSID      = fmt.Errorf("the rule number is outside %d–%d", minSID, minSID+sids-1)
	errKeyword  = errors.New("a metadata key is not a plain word")
	errDevice   = errors.New("the name of the interface holds a character that no interface name needs, or is longer than 15 bytes")
	errEmptyMsg = errors.New("the message is empty")
)

// rule is one rule of the only kind this backend writes: a literal text on an
// established TCP connection, in either direction.
type rule struct {
	msg      string
	from, to []netip.Prefix // the two ends; nil is any
	ports    []ir.PortSpan  // TCP ports of the to end
	content  []byte         // looked for in any ASCII case
	metadata []meta
	sid      uint32
}

// meta is one metadata pair; it comes back with every alert.
type meta struct{ key, value string }

// line gives the rule as one line without its newline.
func (r rule) line() (string, error) {
	switch {
	case r.msg == "":
		return "", errEmptyMsg
	case len(r.content) == 0 || len(r.content) > maxContent:
		return "", errContent
	case r.sid < minSID || r.sid >= minSID+sids:
		return "", errSID
	}
	from, err := addresses(r.from)
	if err != nil {
		return "", err
	}
	to, err := addresses(r.to)
	if err != nil {
		return "", err
	}
	ports, err := portList(r.ports)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	// <> and no direction in flow: a component's stream carries text both ways.
	fmt.Fprintf(&b, `alert tcp %s any <> %s %s (msg:"%s"; flow:established; content:"%s"; nocase; fast_pattern; `,
		from, to, ports, plain(r.msg), pattern(r.content))
	// In inline stream mode each new packet has the bytes before it inspected
	// again, so one match would alert many times.
	b.WriteString(`threshold:type limit, track by_src, count 1, seconds 60; `)
	for i, m := range r.metadata {
		if m.key == "" || word(m.key) != m.key {
			return "", errKeyword
		}
		if i == 0 {
			b.WriteString("metadata:")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(m.key + " " + word(m.value))
	}
	if len(r.metadata) > 0 {
		b.WriteString("; ")
	}
	fmt.Fprintf(&b, "sid:%d; rev:1;)", r.sid)
	if b.Len() > maxLine {
		return "", errLong
	}
	return b.String(), nil
}

// pattern writes bytes for a content option: what every engine takes literally
// as it is, the rest as hex between bars. Quotes, bars, semicolons, backslashes
// and the leading ! of a negation can so never have their special meaning.
func pattern(text []byte) string {
	var b strings.Builder
	hex := false
	for _, c := range text {
		if literal(c) {
			if hex {
				b.WriteByte('|')
			}
			hex = false
			b.WriteByte(c)
			continue
		}
		if hex {
			b.WriteByte(' ')
		} else {
			b.WriteByte('|')
		}
		hex = true
		fmt.Fprintf(&b, "%02X", c)
	}
	if hex {
		b.WriteByte('|')
	}
	return b.String()
}

func literal(c byte) bool {
	return alphanumeric(c) || c == ' ' || c == '.' || c == '_' || c == '/' || c == '-'
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// plain makes text for people fit a message or a comment: whatever could end or
// continue either becomes an underscore.
func plain(s string) string {
	return replace(s, func(c byte) bool { return literal(c) || c == ',' || c == '(' || c == ')' })
}

// comment makes text fit a comment line of the rule file or of YAML: a backslash
// at the end would make Suricata read the next line as part of it.
func comment(s string) string {
	return replace(s, func(c byte) bool { return c >= ' ' && c <= '~' && c != '\\' })
}

// word makes a value fit a metadata pair, which ends at blanks, commas and
// semicolons.
func word(s string) string {
	if s == "" {
		return "_"
	}
	return replace(s, func(c byte) bool { return alphanumeric(c) || c == '.' || c == '_' || c == '-' })
}

func replace(s string, keep func(byte) bool) string {
	b := []byte(s)
	for i, c := range b {
		if !keep(c) {
			b[i] = '_'
		}
	}
	return string(b)
}

// addresses writes one end of a rule. An end that is an empty list would turn
// into a rule about everything, so it is refused.
func addresses(ps []netip.Prefix) (string, error) {
	if ps == nil {
		return "any", nil
	}
	if len(ps) == 0 {
		return "", errAddress
	}
	var list []string
	for _, p := range ps {
		switch {
		case !p.IsValid() || p.Addr().Zone() != "":
			return "", errAddress
		case p.IsSingleIP():
			list = append(list, p.Addr().String())
		default:
			list = append(list, p.Masked().String())
		}
	}
	return bracket(list), nil
}

// portList writes the TCP ports of a rule.
func portList(ports []ir.PortSpan) (string, error) {
	var list []string
	for _, p := range ports {
		switch {
		case p.Proto != ir.TCP:
		case p.From == 0 || p.To < p.From:
			return "", errPorts
		case p.From == p.To:
			list = append(list, strconv.Itoa(int(p.From)))
		default:
			list = append(list, fmt.Sprintf("%d:%d", p.From, p.To))
		}
	}
	if len(list) == 0 {
		return "", errPorts
	}
	return bracket(list), nil
}

func bracket(list []string) string {
	if len(list) == 1 {
		return list[0]
	}
	return "[" + strings.Join(list, ",") + "]"
}

// device checks the name of a network interface: at most 15 bytes, which is
// what the kernel holds, of characters that mean nothing in YAML's quotes.
func device(name string) (string, error) {
	ok := name != "" && len(name) <= 15
	for i := range len(name) {
		c := name[i]
		ok = ok && (alphanumeric(c) || c == '.' || c == '_' || c == '-' || c == ':' || c == '@')
	}
	if !ok {
		return "", errDevice
	}
	return `"` + name + `"`, nil
}

// configuration writes the whole of xfwc.yaml for a sensor on one interface.
func configuration(point, iface string) ([]byte, error) {
	dev, err := device(iface)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `%%YAML 1.1
---
# Suricata at point %s, written by xfwc.
default-rule-path: /etc/xfwc/suricata
rule-files:
  - xfwc.rules
default-log-dir: /var/log/suricata

af-packet:
  - interface: %s
    cluster-id: 99
    cluster-type: cluster_flow
    defrag: yes

# XMPP streams stay open for days. Inline mode inspects with every packet; else
# an alert waits for a full chunk or for the end of the connection. It is about
# inspection only: this sensor reads copies and drops nothing.
exception-policy: ignore
stream:
  inline: yes
  # Streams that were open before the sensor started are inspected as well.
  midstream: true
  midstream-policy: ignore
  reassembly:
    depth: 0
    toserver-chunk-size: %d
    toclient-chunk-size: %d
    randomize-chunk-size: no
flow-timeouts:
  tcp:
    # An XMPP session may be idle for hours.
    established: 86400
    emergency-established: 3600

stats:
  enabled: yes
  interval: 60
outputs:
  - eve-log:
      enabled: yes
      filetype: regular
      filename: eve.json
      types:
        - alert:
            # What people write stays out of the log.
            payload: no
            payload-printable: no
            packet: no
        - stats:
            totals: yes
            threads: no
logging:
  default-log-level: notice
  outputs:
    - console:
        enabled: yes
`, comment(point), dev, window, window)
	return b.Bytes(), nil
}
