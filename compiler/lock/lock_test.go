package lock

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"xfwc/lang/diag"
)

// The lock of the example is written in the very form that Format writes.
func TestFormatExample(t *testing.T) {
	src, err := os.ReadFile("../../examples/office/xfwc.lock")
	if err != nil {
		t.Fatal(err)
	}
	f, found := Parse("xfwc.lock", src)
	if len(found) != 0 {
		t.Fatalf("findings: %v", found)
	}
	if got := f.Format(); string(got) != string(src) {
		t.Errorf("Format gives\n%s\nwant\n%s", got, src)
	}
}

func TestPeer(t *testing.T) {
	src := `{"version": 1, "peers": {
		"b.example": {"srv": [
			{"service": "_xmpps-server", "target": "x.b.example", "port": 5270, "priority": 1, "weight": 1, "ttl": 60},
			{"service": "_xmpp-server", "target": "y.b.example", "port": 5299},
			{"service": "_xmpp-server", "target": "x.b.example", "port": 5269}],
			"addresses": {"x.b.example": ["2001:db8::1", "192.0.2.1"], "y.b.example": []}},
		"a.example": {"fallback": true, "addresses": {"a.example": ["192.0.2.2"]}, "dnssec": "secure"},
		"c.example": {"srv": [{"service": "_xmpp-server", "target": ".", "port": 0}], "addresses": {}}
	}}`
	f, found := Parse("xfwc.lock", []byte(src))
	if len(found) != 0 {
		t.Fatalf("findings: %v", found)
	}
	addr := netip.MustParseAddr
	tests := []struct {
		domain string
		absent bool
		dnssec string
		want   []AddrPort
	}{
		{"a.example", false, "secure", []AddrPort{{addr("192.0.2.2"), 5269, false}}},
		{"b.example", false, "unknown", []AddrPort{
			{addr("192.0.2.1"), 5269, false}, {addr("192.0.2.1"), 5270, true},
			{addr("2001:db8::1"), 5269, false}, {addr("2001:db8::1"), 5270, true},
		}},
		{"c.example", true, "unknown", nil},
	}
	for i, tt := range tests {
		p := f.Peer(tt.domain)
		if p == nil || f.Peers[i] != p {
			t.Fatalf("%s: not found in its place", tt.domain)
		}
		if p.Absent() != tt.absent || p.DNSSEC != tt.dnssec {
			t.Errorf("%s: absent %v, dnssec %s", tt.domain, p.Absent(), p.DNSSEC)
		}
		if got := p.Endpoints(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: endpoints %v, want %v", tt.domain, got, tt.want)
		}
	}
	if f.Peer("d.example") != nil || (*File)(nil).Peer("a.example") != nil || (*File)(nil).Feed("x") != nil {
		t.Error("a peer that the lock does not have was found")
	}
}

// Own domains have records of clients besides, in their order, and stand
// between the peers and the feeds.
const ownLock = `{
  "version": 1,
  "peers": {},
  "own": {
    "example.org": {
      "fallback": true,
      "srv": [
        {"service": "_xmpp-client", "target": "chat.example.org", "port": 5222, "priority": 5, "weight": 5, "ttl": 60},
        {"service": "_xmpps-client", "target": "chat.example.org", "port": 443, "priority": 1, "weight": 5, "ttl": 60},
        {"service": "_xmpps-client", "target": "chat.example.org", "port": 5223, "priority": 5, "weight": 5, "ttl": 60}
      ],
      "addresses": {
        "chat.example.org": ["198.51.100.10"],
        "example.org": ["198.51.100.9"]
      },
      "xmppconnect": true,
      "dnssec": "secure"
    }
  },
  "feeds": {}
}
`

func TestOwn(t *testing.T) {
	f, found := Parse("xfwc.lock", []byte(ownLock))
	if len(found) != 0 {
		t.Fatalf("findings: %v", found)
	}
	p := f.OwnDomain("example.org")
	if p == nil || f.Peer("example.org") != nil || f.OwnDomain("org") != nil || (*File)(nil).OwnDomain("example.org") != nil {
		t.Fatal("an own domain is found in the wrong place")
	}
	if got := p.Records(ClientTLS); len(got) != 2 || got[0].Port != 443 || p.Records(ServerTLS) != nil {
		t.Errorf("records %v", got)
	}
	if !p.Connect {
		t.Error("the TXT record is lost")
	}
	if got := p.AddressesOf("chat.example.org"); len(got) != 1 || p.AddressesOf("elsewhere.example.org") != nil {
		t.Errorf("addresses %v", got)
	}
	if got := f.Format(); string(got) != ownLock {
		t.Errorf("Format gives\n%s", got)
	}
	// A peer has no records for clients, of either kind.
	_, found = Parse("xfwc.lock", []byte(strings.Replace(ownLock, "\"peers\": {},\n  \"own\"", `"peers"`, 1)))
	if len(found) != 4 {
		t.Errorf("findings: %v", found)
	}
}

// A feed on which something depends has its day and its sketch; any other has
// neither, as in locks of before they were known.
const feedLock = `{
  "version": 1,
  "peers": {},
  "feeds": {
    "a.txt": {"digest": "sha256:b3911b5bce7846119b210d939e1a051c849a2d7f12bd225fd0f5db0e13e49e05", "entries": 1},
    "b.txt": {"digest": "sha256:b3911b5bce7846119b210d939e1a051c849a2d7f12bd225fd0f5db0e13e49e05", "entries": 3, "date": "2026-11-22", "sketch": "AAAAAAAAAAEAAAAAAAAAAv//////////"},
    "c.txt": {"digest": "sha256:b3911b5bce7846119b210d939e1a051c849a2d7f12bd225fd0f5db0e13e49e05", "entries": 0, "sketch": ""}
  }
}
`

func TestFeeds(t *testing.T) {
	f, found := Parse("xfwc.lock", []byte(feedLock))
	if len(found) != 0 {
		t.Fatalf("findings: %v", found)
	}
	a, b, c := f.Feed("a.txt"), f.Feed("b.txt"), f.Feed("c.txt")
	if a.Date != "" || a.Sketch != nil || b.Date != "2026-11-22" || !slices.Equal(b.Sketch, []uint64{1, 2, 1<<64 - 1}) || c.Sketch == nil {
		t.Errorf("feeds %+v, %+v, %+v", a, b, c)
	}
	if got := f.Format(); string(got) != feedLock {
		t.Errorf("Format gives\n%s", got)
	}
}

// Every case of testdata/bad is a lock and, in lines that start with "!", the
// places of its findings: line:column-line:column and a part of the message.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var src, want []string
			for line := range strings.Lines(string(text)) {
				if w, ok := strings.CutPrefix(line, "! "); ok {
					want = append(want, strings.TrimSuffix(w, "\n"))
				} else {
					src = append(src, line)
				}
			}
			_, found := Parse("xfwc.lock", []byte(strings.Join(src, "")))
			var got []string
			for _, f := range found {
				if f.Code != "lock-invalid" || f.Severity != diag.Error {
					t.Errorf("%s %s", f.Severity, f.Code)
				}
				s, e := f.Span.Start, f.Span.End
				got = append(got, fmt.Sprintf("%d:%d-%d:%d %s", s.Line, s.Column, e.Line, e.Column, f.Summary))
			}
			if os.Getenv("XFWC_UPDATE") == "1" {
				out := strings.Join(src, "")
				for _, g := range got {
					out += "! " + g + "\n"
				}
				if err := os.WriteFile(path, []byte(out), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !slices.Equal(got, want) {
				t.Errorf("findings\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
			}
		})
	}
}

// Whatever Parse accepts, Format writes so that Parse reads the same facts, and
// formatting again changes nothing.
func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("../../examples/office/xfwc.lock")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte(ownLock))
	f.Add([]byte(feedLock))
	bad, _ := filepath.Glob("testdata/bad/*.txt")
	for _, path := range bad {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		first, found := Parse("xfwc.lock", src)
		for _, x := range found {
			if !x.Span.IsValid() || x.Span.Start.Offset > len(src) {
				t.Fatalf("%s: no place in the lock", x.Summary)
			}
		}
		if len(found) > 0 {
			return
		}
		text := first.Format()
		second, found := Parse("xfwc.lock", text)
		if len(found) > 0 {
			t.Fatalf("%s does not read back: %s", text, found[0].Summary)
		}
		for _, l := range []*File{first, second} {
			for _, p := range slices.Concat(l.Peers, l.Own) {
				p.Span = diag.Span{}
			}
			for _, d := range l.Feeds {
				d.Span = diag.Span{}
			}
		}
		if again := second.Format(); string(again) != string(text) {
			t.Fatalf("formatted again:\n%s\nwas\n%s", again, text)
		}
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("facts changed:\n%s", text)
		}
	})
}
