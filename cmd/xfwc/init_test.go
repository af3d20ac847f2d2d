package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"xfwc/compiler"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// fakeHost is a machine that answers from memory.
type fakeHost struct {
	name     string
	env      map[string]string
	programs map[string]string // by the name of the program
	files    map[string]string
	links    []link
}

func (h fakeHost) host() host {
	return host{
		hostname: func() (string, error) { return h.name, nil },
		env:      func(k string) string { return h.env[k] },
		run:      func(program string, _ ...string) string { return h.programs[program] },
		read:     func(path string) []byte { return []byte(h.files[path]) },
		glob: func(pattern string) []string {
			var found []string
			for name := range h.files {
				if ok, _ := filepath.Match(pattern, name); ok {
					found = append(found, name)
				}
			}
			slices.Sort(found)
			return found
		},
		links: func() []link { return h.links },
	}
}

func prefixes(ss ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range ss {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

const routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n" +
	"ens3\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"

// debian is a machine with everything that can be found.
var debian = fakeHost{
	name: "Chat1",
	env:  map[string]string{"SSH_CONNECTION": "203.0.113.9 51000 198.51.100.10 22"},
	programs: map[string]string{
		"dpkg-query": "installed prosody 1:0.12.3-1+deb12u1\nnot-installed ejabberd 23.01-1\n",
		"hostname":   "chat1.example.net\n",
	},
	files: map[string]string{
		"/proc/net/route":                               routes,
		"/proc/net/if_inet6":                            "20010db8000000000000000000000010 02 40 00 80     ens3\n20010db8000000000000000000000011 02 40 00 01     ens3\n",
		"/etc/prosody":                                  "",
		"/etc/prosody/conf.d/example.org.cfg.lua":       "a secret",
		"/etc/prosody/conf.d/muc.example.org.cfg.lua":   "a secret",
		"/etc/prosody/conf.d/localhost.cfg.lua":         "",
		"/etc/prosody/conf.d/00-\"; policy {}.cfg.lua":  "",
		"/etc/prosody/conf.avail/not.example.cfg.lua":   "",
		"/opt/prosody/conf.d/elsewhere.example.cfg.lua": "",
	},
	links: []link{
		{"ens3", prefixes("198.51.100.10/24", "2001:db8::10/64", "2001:db8::11/64", "fe80::1/64", "10.1.0.5/16")},
		{"ens4", prefixes("10.9.0.1/24", "2001:db8:9::1/64")},
		{"docker0", prefixes("172.17.0.1/16")},
	},
}

func TestFind(t *testing.T) {
	f, err := find(debian.host(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	got := []string{
		f.software + " " + f.version + f.versionFrom, f.hostname, strings.Join(f.domains, " ") + f.domainsFrom,
		joined(f.addresses) + f.addressesFrom, f.iface + f.ifaceFrom, joined(f.near), f.admin.String(),
	}
	want := []string{
		"prosody 0.12.3", "chat1", "example.org muc.example.org",
		"198.51.100.10, 2001:db8::10, 10.1.0.5", "ens3", "10.1.0.0/16", "203.0.113.9",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	if len(f.others) != 1 || f.others[0].name != "ens4" || joined(f.others[0].prefixes) != "10.9.0.0/24, 2001:db8:9::/64" {
		t.Errorf("other interfaces: %+v", f.others)
	}
	text, err := starter(f)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "secret") {
		t.Error("a configuration file was read")
	}
	strictlyClean(t, string(text))
}

func TestFindSoftware(t *testing.T) {
	tests := []struct {
		what              string
		programs          map[string]string
		files             []string
		software, version string // flags
		want              string // software, version, or what the error says
	}{
		{what: "nothing", want: "prosody 13.0"},
		{what: "rpm", programs: map[string]string{"rpm": "package prosody is not installed\ninstalled ejabberd 24.12\n"}, want: "ejabberd 24.12"},
		{what: "a removed package", programs: map[string]string{"dpkg-query": "config-files ejabberd 23.01-1\n"}, want: "prosody 13.0"},
		{what: "the installer of ejabberd", files: []string{"/opt/ejabberd-25.07"}, want: "ejabberd 25.07"},
		{what: "a folder without a version", files: []string{"/etc/mongooseim"}, want: "mongooseim 6.8"},
		{what: "prosody from its source", files: []string{"/etc/prosody"}, programs: map[string]string{"prosodyctl": "Prosody 13.0.2\n\n# Prosody directories\n"}, want: "prosody 13.0.2"},
		{what: "tigase", files: []string{"/opt/tigase-server-8.4.0-b12157"}, want: "tigase 8.4.0"},
		{what: "two servers", files: []string{"/etc/prosody", "/opt/openfire"}, want: "this machine has openfire and prosody: choose with --software"},
		{what: "two servers and a choice", files: []string{"/etc/prosody", "/opt/openfire"}, software: "openfire", want: "openfire 5.1"},
		{what: "too old", programs: map[string]string{"dpkg-query": "installed prosody 0.11.9-2\n"}, want: "the defaults of prosody 0.11.9 are not known, only those from 0.12 on: state a version with --version"},
		{what: "too old, and overridden", programs: map[string]string{"dpkg-query": "installed prosody 0.11.9-2\n"}, version: "0.12", want: "prosody 0.12"},
		{what: "newer than the table", programs: map[string]string{"dpkg-query": "installed ejabberd 27.01-1\n"}, want: "ejabberd 27.01"},
		{what: "no version", version: "trunk", want: "the defaults of prosody trunk are not known, only those from 0.12 on: state a version with --version"},
	}
	for _, tt := range tests {
		h := fakeHost{programs: tt.programs, files: map[string]string{}}
		for _, name := range tt.files {
			h.files[name] = ""
		}
		f, err := find(h.host(), tt.software, tt.version)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = f.software + " " + f.version
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, got, tt.want)
			continue
		}
		if err != nil {
			continue
		}
		if text, err := starter(f); err != nil {
			t.Errorf("%s: %v", tt.what, err)
		} else {
			strictlyClean(t, string(text))
		}
	}
}

// TestStarterPassesStrict holds the starter of every server, at every version
// where its defaults change, to its promise.
func TestStarterPassesStrict(t *testing.T) {
	for _, software := range compiler.Software() {
		for _, version := range compiler.Versions(software) {
			for _, addresses := range [][]string{{"198.51.100.10", "2001:db8::10"}, {"198.51.100.10"}, {"2001:db8::10"}, {"10.0.0.5"}} {
				f, err := find(debian.host(), software, version)
				if err != nil {
					t.Fatal(err)
				}
				if err := f.override([]string{"example.org"}, addresses, "eth0"); err != nil {
					t.Fatal(err)
				}
				text, err := starter(f)
				if err != nil {
					t.Errorf("%s %s at %v: %v", software, version, addresses, err)
					continue
				}
				strictlyClean(t, string(text))
			}
		}
	}
}

// TestStarterGolden shows the starters as people get them.
func TestStarterGolden(t *testing.T) {
	for _, software := range compiler.Software() {
		_, last, _ := compiler.KnownVersions(software)
		f, err := find(debian.host(), software, last)
		if err != nil {
			t.Fatal(err)
		}
		text, err := starter(f)
		if err != nil {
			t.Errorf("%s: %v", software, err)
			continue
		}
		name := filepath.Join("../../golden/init", software+".xfw")
		if os.Getenv("XFWC_UPDATE") != "" {
			if err := os.WriteFile(name, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != string(text) {
			t.Errorf("%s differs from\n%s\nXFWC_UPDATE=1 rewrites it", name, text)
		}
	}
}

// strictlyClean runs what `xfwc check --profile strict` runs.
func strictlyClean(t *testing.T, text string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "policy.xfw")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := compile(name, "2026-12-01", "strict")
	if err != nil {
		t.Fatal(err)
	}
	found := src.findings
	if !diag.HasErrors(found) {
		found = append(found, emit(src.policy, src.policy.Points, "").Findings...)
	}
	for _, f := range found {
		if f.Severity >= diag.Warning {
			t.Errorf("line %d: %s: %s\n%s", f.Span.Start.Line, f.Code, f.Summary, text)
		}
	}
	if strings.Contains(text, "\nwaive ") {
		t.Error("the starter waives something")
	}
	if formatted := lang.Format([]byte(text)); string(formatted) != text {
		t.Errorf("the starter is not formatted:\n%s", text)
	}
}

// FuzzStarter: whatever a machine says of itself, what init writes is a policy
// of the same statements, or it is refused.
func FuzzStarter(f *testing.F) {
	f.Add("chat1", "chat1.example.net", "installed prosody 0.12.3-1", "example.org", "ens3", "10.9.0.1/24", "203.0.113.9 1 2 3")
	f.Add("a\"}\npolicy", "x\n}", "installed ejabberd 24.12 }", "\"; } deny any", "eth0 } ", "::/0", "fe80::1%eth0\n")
	f.Add("", "", "", "", "", "0.0.0.0/0", "")
	f.Add("-", "..", "installed tigase-server 8", ".cfg.lua", "lo", "ff02::1/8", "any")
	f.Fuzz(func(t *testing.T, name, full, packages, domain, iface, addr, ssh string) {
		h := debian
		h.name = name
		h.env = map[string]string{"SSH_CONNECTION": ssh}
		h.programs = map[string]string{"dpkg-query": packages, "hostname": full, "rpm": packages, "prosodyctl": full}
		h.files = map[string]string{
			"/proc/net/route": strings.ReplaceAll(routes, "ens3", iface), "/proc/net/if_inet6": full,
			"/etc/prosody/conf.d/" + domain + ".cfg.lua": "",
		}
		h.links = []link{{iface, nil}, {"ens4", prefixes("192.0.2.1/24")}}
		if p, err := netip.ParsePrefix(addr); err == nil {
			h.links[0].prefixes = []netip.Prefix{p}
			h.links = append(h.links, link{"ens5", []netip.Prefix{p}})
		}
		found, err := find(h.host(), "", "")
		if err != nil {
			return
		}
		text := lang.Format([]byte(found.policy()))
		file, findings := lang.Parse("policy.xfw", text)
		if len(findings) > 0 {
			t.Fatalf("%v in\n%s", findings, text)
		}
		kinds := map[string]int{}
		for _, d := range file.Decls {
			switch {
			case d.Policy != nil:
				kinds["policy"]++
			case d.Server != nil:
				kinds["server"]++
			case d.Point != nil:
				kinds["point"]++
			case d.Access != nil:
				kinds["access"]++
			case d.Waive != nil:
				kinds["waive"]++
			}
		}
		if kinds["policy"] != 1 || kinds["server"] != 1 || kinds["point"] != 1 || kinds["access"] != 1 || kinds["waive"] != 0 {
			t.Fatalf("%v statements in\n%s", kinds, text)
		}
		if _, err := starter(found); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	})
}
