package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"xfwc/compiler/ir"
)

// machine is a world with a host name and nothing to read.
func machine(host string) (world, *bytes.Buffer, *bytes.Buffer) {
	var out, err bytes.Buffer
	return world{
		in: strings.NewReader(""), out: &out, err: &err,
		env: func(string) string { return "" },
		now: func() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) },
		hostname: func() (string, error) {
			if host == "" {
				return "", errors.New("no host name")
			}
			return host, nil
		},
	}, &out, &err
}

// TestPointHere chooses the point that a machine is.
func TestPointHere(t *testing.T) {
	p := &ir.Policy{Points: []*ir.Point{
		{Name: "edge", Hostname: "fw1.example.org"},
		{Name: "chat1", Hostname: "chat1"},
		{Name: "chat2", Hostname: "chat1.example.net"},
	}}
	tests := []struct{ host, flag, want, err string }{
		{"fw1.example.org", "", "edge", ""},
		{"FW1.Example.Org.", "", "edge", ""},
		{"fw1", "", "edge", ""},
		{"edge", "", "edge", ""},
		{"edge.example.org", "", "edge", ""},
		{"fw1.example.com", "", "", "no point of the policy is this machine (host name fw1.example.com): name one of edge, chat1, chat2"},
		{"fw10", "", "", "no point of the policy is this machine"},
		{"chat1.example.org", "", "chat1", ""},
		{"chat1", "", "", "chat1 and chat2 both match"},
		{"laptop", "chat2", "chat2", ""},
		{"edge", "chat1", "chat1", ""},
		{"edge", "squid", "", `no point "squid"; its points are: edge, chat1, chat2`},
		{"", "", "", "cannot tell this machine's host name"},
		{"", "edge", "edge", ""},
	}
	for _, tt := range tests {
		w, _, _ := machine(tt.host)
		s := &session{world: w}
		got, err := s.pointHere(p, tt.flag)
		switch {
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("host %q, --point %q: error %v, want %q", tt.host, tt.flag, err, tt.err)
		case tt.err == "" && err != nil:
			t.Errorf("host %q, --point %q: %v", tt.host, tt.flag, err)
		case tt.err == "" && got.Name != tt.want:
			t.Errorf("host %q, --point %q: %s, want %s", tt.host, tt.flag, got.Name, tt.want)
		}
	}
	w, _, _ := machine("edge")
	if _, err := (&session{world: w}).pointHere(&ir.Policy{}, ""); err == nil {
		t.Error("a policy without points has a point")
	}
}

// TestHostNameSelectsPoint runs a whole command on machines of several names.
func TestHostNameSelectsPoint(t *testing.T) {
	const policy = "../../examples/office/policy.xfw"
	w, _, stderr := machine("mail.example.org")
	if code := run([]string{"plan", policy}, w); code != 1 {
		t.Errorf("plan on a machine that is no point: exit code %d", code)
	}
	if !strings.Contains(stderr.String(), "name one of edge, chat1 with --point") {
		t.Errorf("plan on a machine that is no point says: %s", stderr)
	}
}

// TestColor is on for terminals only, and off on request.
func TestColor(t *testing.T) {
	tests := []struct {
		env      map[string]string
		flag     bool
		terminal bool
		want     bool
	}{
		{nil, false, true, true},
		{nil, false, false, false},
		{nil, true, true, false},
		{map[string]string{"NO_COLOR": "1"}, false, true, false},
		{map[string]string{"NO_COLOR": ""}, false, true, true},
		{map[string]string{"TERM": "dumb"}, false, true, false},
	}
	for _, tt := range tests {
		w, _, _ := machine("edge")
		w.env = func(k string) string { return tt.env[k] }
		s := &session{world: w, noColor: tt.flag}
		if got := s.color(tt.terminal); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

// TestApplyAsks holds apply to its question: only yes goes on.
func TestApplyAsks(t *testing.T) {
	for answer, want := range map[string]bool{
		"y\n": true, "yes\n": true, "YES": true, "n\n": false, "\n": false, "": false, "yep\n": false,
	} {
		w, _, stderr := machine("edge")
		w.in = strings.NewReader(answer)
		got, err := (&session{world: w}).ask("apply this?")
		if err != nil || got != want {
			t.Errorf("answer %q: %v, %v", answer, got, err)
		}
		if !strings.Contains(stderr.String(), "apply this? [y/N]") {
			t.Errorf("the question reads %q", stderr)
		}
	}
}

// TestLooksLikePlan tells plans from policies.
func TestLooksLikePlan(t *testing.T) {
	for text, want := range map[string]bool{
		"{\n  \"version\": 1}": true, "  \n{\"version\": 2}": true, "": false,
		"policy \"a\" { owner \"b\" }\n": false, "# {\n": false,
	} {
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := looksLikePlan(name); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if _, err := looksLikePlan(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a file that is not there looks like something")
	}
}

// TestWithPort completes what --resolver takes.
func TestWithPort(t *testing.T) {
	for given, want := range map[string]string{
		"192.0.2.53": "192.0.2.53:53", "192.0.2.53:5353": "192.0.2.53:5353",
		"2001:db8::53": "[2001:db8::53]:53", "[2001:db8::53]": "[2001:db8::53]:53", "[2001:db8::53]:5353": "[2001:db8::53]:5353",
	} {
		if got := withPort(given); got != want {
			t.Errorf("%s: %s, want %s", given, got, want)
		}
	}
}
