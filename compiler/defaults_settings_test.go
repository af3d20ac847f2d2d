package compiler

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"xfwc/compiler/ir"
)

func TestSettings(t *testing.T) {
	tests := []struct {
		software, version, key string
		want                   string // code, example, debian
	}{
		{"prosody", "0.12", "s2s-auth", "dialback certificate certificate"},
		{"prosody", "0.12.3", "preauth-size", "unknown - 10000"},
		{"prosody", "13.0.1", "preauth-size", "none - -"},
		{"prosody", "13.0.2", "preauth-size", "unknown - unknown"},
		{"prosody", "13.0", "shaper-c2s", "unlimited 10000/second 10000/second"},
		{"ejabberd", "23.01", "s2s-tls", "off optional required"},
		{"ejabberd", "24.12", "s2s-tls", "off optional required"},
		{"ejabberd", "25.04", "s2s-tls", "off optional unknown"},
		{"ejabberd", "25.04", "antispam", ""},
		{"ejabberd", "25.07", "antispam", "off - unknown"},
		{"ejabberd", "26.03", "preauth-size", "none - unknown"},
		{"ejabberd", "26.04", "preauth-size", "8192 - unknown"},
		{"ejabberd", "23.01", "cluster-port", "random - -"},
		{"ejabberd", "23.10", "negotiation", "30 - -"},
		{"ejabberd", "24.02", "negotiation", "120 - -"},
		{"openfire", "5.0.4", "connection-rate", "unlimited - unknown"},
		{"openfire", "5.1.0", "connection-rate", "unlimited - unknown"},
		{"mongooseim", "6.3.3", "component-secret", "none secret unknown"},
		{"mongooseim", "6.4.0", "s2s-tls", "off optional unknown"},
		{"tigase", "8.0", "anonymous", "on - unknown"},
		{"tigase", "8.1", "anonymous", "unknown - unknown"},
		{"tigase", "8.0.0", "c2s-tls", "optional - unknown"},
		{"tigase", "8.1.0", "c2s-tls", "required - unknown"},
		{"metronome", "4.0", "negotiation", "unlimited - unknown"},
		{"prosody", "0.11", "c2s-tls", ""},
		{"slapd", "2.6", "c2s-tls", ""},
		{"prosody", "13.0", "no-such-key", ""},
	}
	stated := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	for _, tt := range tests {
		s, ok := SettingOf(tt.software, tt.version, tt.key)
		got := ""
		if ok {
			got = stated(s.Code) + " " + stated(s.Example) + " " + stated(s.Debian)
		}
		if got != tt.want {
			t.Errorf("%s %s: %s is %q, want %q", tt.software, tt.version, tt.key, got, tt.want)
		}
	}
	// The option changes its name where the value does not.
	for version, option := range map[string]string{"6.3.3": "s2s.use_starttls", "6.4": "s2s.outgoing.tls.mode"} {
		if s, _ := SettingOf("mongooseim", version, "s2s-tls"); s.Option != option {
			t.Errorf("mongooseim %s: s2s-tls is %s, want %s", version, s.Option, option)
		}
	}
	for version, option := range map[string]string{"5.0": "none", "5.1": "xmpp.ratelimit.newconnections.c2s.enabled"} {
		if s, _ := SettingOf("openfire", version, "connection-rate"); s.Option != option {
			t.Errorf("openfire %s: connection-rate is %s, want %s", version, s.Option, option)
		}
	}
	s, _ := SettingOf("ejabberd", "23.10", "stanza-size-c2s")
	if s.Upstream() != "262144" || s.Distribution() != "262144" || s.Package != "23.01-1" {
		t.Errorf("ejabberd 23.10: %+v", s)
	}
	if s, _ = SettingOf("ejabberd", "24.12", "proxy65-access"); s.Upstream() != "local" || s.Distribution() != "off" {
		t.Errorf("a file that states nothing leaves the code's value: %+v", s)
	}
}

// settingForms are what values of a form look like.
var settingForms = map[string]*regexp.Regexp{
	"bytes":   regexp.MustCompile(`^[1-9][0-9]*$`),
	"seconds": regexp.MustCompile(`^[1-9][0-9]*$`),
	"number":  regexp.MustCompile(`^[1-9][0-9]*$`),
	"rate":    regexp.MustCompile(`^[1-9][0-9]*m?/([0-9]+ )?(second|minute)s?$`),
	"range":   regexp.MustCompile(`^[1-9][0-9]*-[1-9][0-9]*$`),
	"text":    regexp.MustCompile(`^[a-z0-9/ ]+$`),
}

func TestSettingRows(t *testing.T) {
	keys := map[string]SettingKey{}
	for i, k := range settingKeys {
		keys[k.Key] = k
		if i > 0 && settingKeys[i-1].Key >= k.Key {
			t.Errorf("%s is out of order", k.Key)
		}
		if k.Meaning == "" || k.Values == "" {
			t.Errorf("%s says nothing about itself", k.Key)
		}
	}
	used := map[string]bool{}
	for _, r := range settingRows {
		k, ok := keys[r.key]
		if !ok || !slices.Contains(Software(), r.software) || r.option == "" || r.source == "" || r.code == "" {
			t.Errorf("%+v", r)
		}
		used[r.key] = true
		for _, v := range []string{r.code, r.example, r.debian} {
			if v == "" || v == Unknown || v == "none" || v == "unlimited" {
				continue
			}
			if form, ok := settingForms[k.Values]; ok && !form.MatchString(v) ||
				!ok && !slices.Contains(strings.Split(k.Values, "|"), v) {
				t.Errorf("%s %s: %q is no value of it", r.software, r.key, v)
			}
		}
		for _, v := range []string{r.since, r.until} {
			if v != "" {
				mustVersion(v)
			}
		}
	}
	for key := range keys {
		if !used[key] {
			t.Errorf("nothing has the key %s", key)
		}
	}
	// One row for a key at every version.
	for _, s := range softwareRanges {
		for _, v := range Versions(s.name) {
			ss, ok := Settings(s.name, v)
			if !ok {
				t.Fatalf("%s %s is not known", s.name, v)
			}
			for i := range ss[min(1, len(ss)):] {
				if ss[i].Key == ss[i+1].Key {
					t.Errorf("%s %s has two rows for %s", s.name, v, ss[i].Key)
				}
			}
		}
	}
}

// The files that Debian ships state what the column for Debian says: each line
// of testdata/debian.txtar is a fact taken from the real file by
// scripts/debian-defaults.sh, and belongs to one setting or to one listener.
func TestDebianSettings(t *testing.T) {
	src, err := os.ReadFile("testdata/debian.txtar")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`^([^=]+)=(\S+(?: \S+)*)$`)
	seen := 0
	for _, f := range txtar.Parse(src).Files {
		software, pkg, ok := strings.Cut(f.Name, " ")
		if !ok {
			t.Fatalf("%s is no package with its version", f.Name)
		}
		version, _, _ := strings.Cut(pkg, "-")
		for _, l := range strings.Split(strings.TrimSpace(string(f.Data)), "\n") {
			m := line.FindStringSubmatch(l)
			if m == nil {
				t.Fatalf("%s: %q", f.Name, l)
			}
			seen++
			if service, port, ok := strings.Cut(m[1], " "); ok {
				ls, _ := Defaults(software, version)
				i := slices.IndexFunc(ls, func(l ir.Listener) bool { return l.Service == service && l.Port == mustPorts(port) })
				if i < 0 {
					t.Errorf("%s %s: no listener is %s", software, version, m[1])
				} else if got, ok := DebianListener(software, version, ls[i]); !ok || got != m[2] {
					t.Errorf("%s %s: %s is %s in the package, and %q in the table", software, pkg, m[1], m[2], got)
				}
				continue
			}
			s, ok := SettingOf(software, version, m[1])
			if !ok || s.Package != pkg {
				t.Errorf("%s %s: %s has no setting from package %s, but from %q", software, version, m[1], pkg, s.Package)
				continue
			}
			if s.Distribution() != m[2] {
				t.Errorf("%s %s: %s is %s in the package, and %s in the table", software, pkg, m[1], m[2], s.Distribution())
			}
		}
	}
	if seen < 40 {
		t.Errorf("%d facts, want 40 or more", seen)
	}
}

// The page is made from the tables, so the two agree in both directions.
func TestDefaultsDocumentation(t *testing.T) {
	checkGolden(t, "docs/defaults.md", defaultsPage())
}

func defaultsPage() string {
	var b strings.Builder
	b.WriteString(`# Server defaults

What the servers do that nobody configured: which ports they open, and what the
options are that checks ask about. ` + "`xfwc defaults SOFTWARE VERSION`" + ` prints it for one
version.

Three places say what an option is by default, and they disagree: the program's
code, the project's own example configuration, and the file that Debian
installs. An empty cell means that the place does not state the option, so that
the code decides; **unknown** means that no source was read for it. Ports are
those of the example configuration, and the column for Debian says where its
package differs: another transport, or off.

This page is made from the tables themselves: XFWC_UPDATE=1 go test ./compiler
writes it anew.
`)
	versions := func(since, until string) string {
		switch {
		case since != "" && until != "":
			return "from " + since + " to before " + until
		case since != "":
			return "from " + since
		case until != "":
			return "before " + until
		}
		return ""
	}
	cell := func(s string) string {
		if s == Unknown {
			return "**unknown**"
		}
		return strings.ReplaceAll(s, "|", "\\|")
	}
	for _, s := range softwareRanges {
		fmt.Fprintf(&b, "\n## %s\n\nKnown from %s to %s.", s.name, s.first, s.last)
		var pkgs []string
		for _, p := range debianPackages {
			if p.software == s.name {
				pkgs = append(pkgs, p.version)
			}
		}
		if pkgs != nil {
			fmt.Fprintf(&b, " The Debian packages %s were read.", strings.Join(pkgs, " and "))
		}
		b.WriteString("\n\n| service | port | bound to | transport | Debian | versions | source |\n|---|---|---|---|---|---|---|\n")
		for _, r := range listenerRows {
			if r.software == s.name {
				bind, off := strings.CutSuffix(r.bind, " off")
				if off {
					bind += ", when configured"
				}
				debian := r.debian
				if pkgs == nil {
					debian = Unknown
				}
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", r.service, r.port, bind, r.transport, cell(debian), versions(r.since, r.until), cell(r.source))
			}
		}
		fmt.Fprintf(&b, "\n| setting | option | code | example | Debian | versions | source |\n|---|---|---|---|---|---|---|\n")
		for _, r := range settingRows {
			if r.software == s.name {
				debian := r.debian
				if pkgs == nil {
					debian = Unknown
				}
				fmt.Fprintf(&b, "| [%s](#keys) | %s | %s | %s | %s | %s | %s |\n", r.key, cell(r.option), cell(r.code), cell(r.example), cell(debian), versions(r.since, r.until), cell(r.source))
			}
		}
	}
	b.WriteString("\n## Keys\n\n| key | says | values |\n|---|---|---|\n")
	for _, k := range settingKeys {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", k.Key, k.Meaning, strings.ReplaceAll(k.Values, "|", ", "))
	}
	b.WriteString("\nBytes, seconds and numbers are whole; a rate of a shaper is in bytes. In place of\neach may stand none (there is no such option), unlimited or unknown.\n")
	return b.String()
}
