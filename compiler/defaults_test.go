package compiler

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"xfwc/compiler/ir"
)

func TestDefaults(t *testing.T) {
	tests := []struct {
		software, version, service, want string // want: ports, transport and bind
	}{
		{"prosody", "0.12", "clients", "tcp/5222 starttls-required any"},
		{"prosody", "13.0", "http", "tcp/5280 clear loopback off"},
		{"prosody", "13.0", "component", "tcp/5347 clear loopback off"},
		{"prosody", "13.0", "clients-tls", ""},
		{"ejabberd", "24.10", "stun", "udp/3478 clear any"},
		{"ejabberd", "23.01", "stun", "udp/3478 clear any"},
		{"ejabberd", "24.12", "stun", "udp/5478 clear any"},
		{"ejabberd", "26.07", "stun", "udp/5478 clear any"},
		{"ejabberd", "99.1", "stun", "udp/5478 clear any"},
		{"ejabberd", "24.12", "admin", "tcp/5280 clear any, tcp/5443 tls any"},
		{"ejabberd", "24.12", "component", ""},
		{"openfire", "4.7", "federation-tls", "tcp/5270 tls any"},
		{"openfire", "5.0", "cluster", "tcp/5701-5800 clear any off"},
		{"tigase", "8.0", "websocket", "tcp/5290 clear any"},
		{"tigase", "8.4", "websocket-tls", "tcp/5291 tls any off"},
		{"tigase", "8", "admin", "tcp/8080 clear any"},
		{"tigase", "8.4.0", "upload", "tcp/8080 clear any"},
		{"mongooseim", "6.2.1", "metrics", ""},
		{"mongooseim", "6.3", "metrics", "tcp/9091 clear v4"},
		{"mongooseim", "6.3.0", "admin", "tcp/5541 clear v4, tcp/5551 clear loopback, tcp/8088 clear loopback"},
		{"metronome", "4.0.5", "component", "tcp/5347 clear v4 off"},
		{"openfire", "5.0", "component", "tcp/5275 clear any"},
		{"openfire", "5.1.1", "admin", "tcp/9090 clear any, tcp/9091 tls any"},
	}
	for _, tt := range tests {
		ls, ok := Defaults(tt.software, tt.version)
		if !ok {
			t.Errorf("Defaults(%s, %s) is not known", tt.software, tt.version)
		}
		var got []string
		for _, l := range ls {
			if l.Service == tt.service {
				off := ""
				if l.Off {
					off = " off"
				}
				got = append(got, fmt.Sprintf("%s %s %s%s", ir.Ports([]ir.PortSpan{l.Port}), l.Transport, l.Bind, off))
			}
		}
		if s := strings.Join(got, ", "); s != tt.want {
			t.Errorf("%s %s: %s is %q, want %q", tt.software, tt.version, tt.service, s, tt.want)
		}
	}
	for _, tt := range []struct{ software, version string }{
		{"prosody", "0.11"}, {"prosody", "0.11.13"}, {"ejabberd", "22.10"}, {"openfire", "4.6.9"},
		{"slapd", "2.6"}, {"prosody", "trunk"}, {"prosody", ""}, {"prosody", "13."}, {"prosody", "-1"}, {"prosody", "1.2.3.4.5"},
	} {
		if ls, ok := Defaults(tt.software, tt.version); ok || ls != nil {
			t.Errorf("Defaults(%s, %s) is known", tt.software, tt.version)
		}
	}
}

func TestListenerRows(t *testing.T) {
	if !slices.IsSorted(Software()) {
		t.Errorf("Software() is not sorted: %v", Software())
	}
	for _, r := range listenerRows {
		if !slices.Contains(Software(), r.software) {
			t.Errorf("%s has rows and no range of versions", r.software)
		}
		if r.source == "" {
			t.Errorf("%s %s has no source", r.software, r.service)
		}
		if !slices.Contains([]string{"starttls-required", "starttls-optional", "tls", "clear"}, r.transport) ||
			!slices.Contains([]string{"any", "v4", "loopback"}, strings.TrimSuffix(r.bind, " off")) ||
			!slices.Contains(serviceNames, r.service) {
			t.Errorf("%s %s: %+v", r.software, r.service, r)
		}
		mustPorts(r.port)
		if r.debian != "" && !slices.Contains([]string{"starttls-required", "starttls-optional", "tls", "clear", "off"}, r.debian) {
			t.Errorf("%s %s: %+v", r.software, r.service, r)
		}
		for _, v := range []string{r.since, r.until} {
			if v != "" {
				mustVersion(v)
			}
		}
	}
	for _, s := range softwareRanges {
		for _, version := range Versions(s.name) {
			ls, ok := Defaults(s.name, version)
			if !ok {
				t.Fatalf("%s %s is not known", s.name, version)
			}
			seen := map[string]bool{}
			for _, l := range ls {
				key := l.Service + " " + ir.Ports([]ir.PortSpan{l.Port})
				if seen[key] {
					t.Errorf("%s %s has two rows for %s", s.name, version, key)
				}
				seen[key] = true
			}
			// Every product has the services that statements need.
			for _, service := range []string{"clients", "federation", "http", "admin"} {
				if !slices.ContainsFunc(ls, func(l ir.Listener) bool { return l.Service == service }) {
					t.Errorf("%s %s has no listener for %s", s.name, version, service)
				}
			}
		}
	}
}

func TestVersionOrder(t *testing.T) {
	tests := []struct {
		a, b        string
		less, newer bool
	}{
		{"0.12", "13.0", true, false}, {"13.0", "0.12", false, true}, {"23.01", "23.1", false, false},
		{"5.1", "5.1.1", true, false}, {"5.1.1", "5.1", false, false}, {"5.2", "5.1", false, true}, {"6", "5.1", false, true}, {"5", "5.1", true, false},
	}
	for _, tt := range tests {
		a, b := mustVersion(tt.a), mustVersion(tt.b)
		if a.less(b) != tt.less || a.newerThan(b) != tt.newer {
			t.Errorf("%s and %s: less %v, newer %v", tt.a, tt.b, a.less(b), a.newerThan(b))
		}
	}
}
