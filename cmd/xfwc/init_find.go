package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"xfwc/compiler"
	"xfwc/compiler/ir"
)

// What `xfwc init` finds out about the machine. It is all text from elsewhere:
// what does not have the form of what it should be is taken for not found.

// host is the machine as far as init looks at it.
type host struct {
	hostname func() (string, error)
	env      func(string) string
	// run gives what a program prints, also when it fails; "" when it is missing.
	run func(program string, args ...string) string
	// read gives a file of /proc; nil when there is none. It is never used for
	// a configuration file, because those hold secrets.
	read  func(path string) []byte
	glob  func(pattern string) []string
	links func() []link
}

// link is a network interface that is up, with its addresses.
type link struct {
	name     string
	prefixes []netip.Prefix // not masked: the address with the length of its network
}

// thisHost looks at the machine that the program runs on.
func thisHost() host {
	return host{
		hostname: os.Hostname,
		env:      os.Getenv,
		run: func(program string, args ...string) string {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			out, _ := exec.CommandContext(ctx, program, args...).Output()
			return string(out)
		},
		read: func(path string) []byte {
			text, _ := os.ReadFile(path)
			return text
		},
		glob: func(pattern string) []string {
			found, _ := filepath.Glob(pattern)
			return found
		},
		links: func() []link {
			all, _ := net.Interfaces()
			var up []link
			for _, i := range all {
				if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
					continue
				}
				l := link{name: i.Name}
				addrs, _ := i.Addrs()
				for _, a := range addrs {
					if p, err := netip.ParsePrefix(a.String()); err == nil {
						l.prefixes = append(l.prefixes, p)
					}
				}
				up = append(up, l)
			}
			return up
		},
	}
}

// facts are what the starter is made from. Each …From says why a value was
// assumed, "" where it was found or stated.
type facts struct {
	software, version, versionFrom string
	listeners                      []ir.Listener
	hostname                       string
	domains                        []string
	domainsFrom                    string
	addresses                      []netip.Addr
	addressesFrom                  string
	iface, ifaceFrom               string
	near                           []netip.Prefix // networks on iface itself
	others                         []facing       // other interfaces
	admin                          netip.Addr
	adminNear                      bool // admin is no address of the internet, and on no network that is known
}

// facing is an interface and the network that the policy names for it.
type facing struct {
	name, network string
	prefixes      []netip.Prefix
}

// find looks around. software and version are what the flags state, or "".
func find(h host, software, version string) (*facts, error) {
	f := &facts{}
	if err := f.findSoftware(h, software, version); err != nil {
		return nil, err
	}
	f.findNames(h)
	f.findAddresses(h)
	from, _, _ := strings.Cut(h.env("SSH_CONNECTION"), " ")
	if a, err := netip.ParseAddr(from); err == nil && usable(a.Unmap()) {
		f.admin = a.Unmap()
		known := func(p netip.Prefix) bool { return p.Contains(f.admin) }
		f.adminNear = compiler.Bogon(f.admin) && !slices.ContainsFunc(f.near, known) &&
			!slices.ContainsFunc(f.others, func(o facing) bool { return slices.ContainsFunc(o.prefixes, known) })
	}
	return f, nil
}

// installs is how each server shows on a machine: packages of these names, or
// folders, of which the last part may hold the version.
var installs = []struct {
	software string
	packages []string
	folders  []string
	domains  string // files that are named after the domains
}{
	{"ejabberd", []string{"ejabberd"}, []string{"/opt/ejabberd-[0-9]*", "/etc/ejabberd"}, ""},
	{"metronome", []string{"metronome"}, []string{"/etc/metronome"}, "/etc/metronome/conf.d/*.cfg.lua"},
	{"mongooseim", []string{"mongooseim"}, []string{"/etc/mongooseim"}, ""},
	{"openfire", []string{"openfire"}, []string{"/opt/openfire", "/etc/openfire", "/usr/share/openfire"}, ""},
	{"prosody", []string{"prosody", "prosody-0.12", "prosody-13.0"}, []string{"/etc/prosody"}, "/etc/prosody/conf.d/*.cfg.lua"},
	{"tigase", []string{"tigase-server"}, []string{"/opt/tigase-server-[0-9]*", "/opt/tigase-server", "/etc/tigase"}, ""},
}

var (
	versionForm   = regexp.MustCompile(`[0-9]+(\.[0-9]+){1,3}`)
	domainForm    = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	hostnameForm  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)
	interfaceForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.@-]{0,14}$`)
)

func isDomain(s string) bool    { return len(s) <= 253 && domainForm.MatchString(strings.ToLower(s)) }
func isInterface(s string) bool { return s != "lo" && interfaceForm.MatchString(s) }

// findSoftware finds which server is installed, in which version.
func (f *facts) findSoftware(h host, software, version string) error {
	found := installed(h)
	switch {
	case software != "":
		f.software = software
	case len(found) == 1:
		for name := range found {
			f.software = name
		}
	case len(found) == 0:
		f.software, f.versionFrom = "prosody", "no server was found on this machine"
	default:
		names := make([]string, 0, len(found))
		for name := range found {
			names = append(names, name)
		}
		slices.Sort(names)
		return fmt.Errorf("this machine has %s: choose with --software", strings.Join(names, " and "))
	}
	first, last, _ := compiler.KnownVersions(f.software)
	switch {
	case version != "":
		f.version = version
	case found[f.software] != "":
		f.version = found[f.software]
	default:
		f.version = last
		if f.versionFrom == "" {
			f.versionFrom = "its version was not found"
		}
	}
	listeners, ok := compiler.Defaults(f.software, f.version)
	if !ok {
		return fmt.Errorf("the defaults of %s %s are not known, only those from %s on: state a version with --version", f.software, f.version, first)
	}
	f.listeners = listeners
	return nil
}

// installed are the servers of this machine with their versions; "" is a
// version that does not show.
func installed(h host) map[string]string {
	var packages []string
	for _, i := range installs {
		packages = append(packages, i.packages...)
	}
	versions := map[string]string{}
	asked := h.run("dpkg-query", append([]string{"-W", "-f=${db:Status-Status} ${Package} ${Version}\n"}, packages...)...) +
		h.run("rpm", append([]string{"-q", "--qf", "installed %{NAME} %{VERSION}\n"}, packages...)...)
	for line := range strings.Lines(asked) {
		if w := strings.Fields(line); len(w) == 3 && w[0] == "installed" && slices.Contains(packages, w[1]) {
			_, upstream, epoch := strings.Cut(w[2], ":")
			if !epoch {
				upstream = w[2]
			}
			versions[w[1]] = versionForm.FindString(upstream)
		}
	}
	found := map[string]string{}
	for _, i := range installs {
		for _, p := range i.packages {
			if v, ok := versions[p]; ok {
				found[i.software] = v
			}
		}
		for _, pattern := range i.folders {
			for _, folder := range h.glob(pattern) {
				if found[i.software] == "" {
					found[i.software] = versionForm.FindString(filepath.Base(folder))
				}
			}
		}
	}
	if v, ok := found["prosody"]; ok && v == "" {
		found["prosody"] = versionForm.FindString(h.run("prosodyctl", "about"))
	}
	return found
}

// findNames finds the host name, and the domains that the server's files are
// named after.
func (f *facts) findNames(h host) {
	name, _ := h.hostname()
	full := strings.ToLower(strings.TrimSpace(h.run("hostname", "-f")))
	if !isDomain(full) {
		full = strings.ToLower(name)
	}
	if n := strings.ToLower(name); n != "localhost" && len(n) <= 253 && hostnameForm.MatchString(n) {
		f.hostname = n
	}
	for _, i := range installs {
		if i.software != f.software || i.domains == "" {
			continue
		}
		for _, file := range h.glob(i.domains) {
			d := strings.ToLower(strings.TrimSuffix(filepath.Base(file), ".cfg.lua"))
			if isDomain(d) && d != "example.com" && len(f.domains) < 50 {
				f.domains = append(f.domains, d)
			}
		}
	}
	switch {
	case len(f.domains) > 0:
	case isDomain(full) && full != "localhost.localdomain":
		f.domains, f.domainsFrom = []string{full}, "the host name; write the domains of your addresses, such as user@DOMAIN"
	default:
		f.domains, f.domainsFrom = []string{"chat.example"}, "no domain was found"
	}
}

// findAddresses finds the interface with the default route and its addresses,
// and what the other interfaces face.
func (f *facts) findAddresses(h host) {
	up := h.links()
	f.iface = defaultRoute(h)
	i := slices.IndexFunc(up, func(l link) bool { return l.name == f.iface })
	if i < 0 || !isInterface(f.iface) {
		f.iface, f.ifaceFrom = "eth0", "no interface with a default route was found"
		f.addresses, f.addressesFrom = []netip.Addr{netip.MustParseAddr("198.51.100.20"), netip.MustParseAddr("2001:db8::20")}, "these addresses belong to nobody"
		return
	}
	passing := passingAddresses(h)
	for _, p := range up[i].prefixes {
		if a := p.Addr().Unmap(); usable(a) && !passing[a] && len(f.addresses) < 8 && !slices.Contains(f.addresses, a) {
			f.addresses = append(f.addresses, a)
			// Whoever else has addresses of this kind on the link is no bogon.
			if compiler.Bogon(a) && p.Bits() > 0 && !p.IsSingleIP() && !slices.ContainsFunc(f.near, p.Masked().Overlaps) {
				f.near = append(f.near, p.Masked())
			}
		}
	}
	if len(f.addresses) == 0 {
		f.addresses, f.addressesFrom = []netip.Addr{netip.MustParseAddr("198.51.100.20"), netip.MustParseAddr("2001:db8::20")}, "the interface has no address; these belong to nobody"
	}
	taken := append([]netip.Prefix{}, f.near...)
	for _, l := range up {
		if l.name == f.iface || !isInterface(l.name) || virtual.MatchString(l.name) || len(f.others) == 8 {
			continue
		}
		var ps []netip.Prefix
		for _, p := range l.prefixes {
			m := p.Masked()
			if usable(p.Addr()) && p.Bits() > 0 && !p.IsSingleIP() && !slices.ContainsFunc(taken, m.Overlaps) {
				ps = append(ps, m)
				taken = append(taken, m)
			}
		}
		if len(ps) > 0 {
			f.others = append(f.others, facing{l.name, fmt.Sprintf("net-%d", len(f.others)+1), ps})
		}
	}
}

// virtual are interfaces that programs make for containers and virtual machines.
var virtual = regexp.MustCompile(`^(docker|br-|veth|virbr|vnet|lxc|lxd|cni|flannel|cali|podman|tun|tap|wg)`)

// usable are addresses that machines have on networks: those of the internet,
// and those that sites and providers use inside (RFC 1918, RFC 4193, RFC 6598).
func usable(a netip.Addr) bool {
	return a.Zone() == "" && (!compiler.Bogon(a) || a.IsPrivate() || shared.Contains(a))
}

var shared = netip.MustParsePrefix("100.64.0.0/10")

// defaultRoute is the interface that the kernel's default route uses, IPv4
// before IPv6.
func defaultRoute(h host) string {
	for line := range strings.Lines(string(h.read("/proc/net/route"))) {
		if w := strings.Fields(line); len(w) > 7 && w[1] == "00000000" && w[7] == "00000000" {
			return w[0]
		}
	}
	for line := range strings.Lines(string(h.read("/proc/net/ipv6_route"))) {
		if w := strings.Fields(line); len(w) == 10 && strings.Trim(w[0], "0") == "" && w[1] == "00" && w[9] != "lo" {
			return w[9]
		}
	}
	return ""
}

// passingAddresses are IPv6 addresses that do not stay: temporary ones, those
// that are deprecated, and those that are not settled yet.
func passingAddresses(h host) map[netip.Addr]bool {
	passing := map[netip.Addr]bool{}
	for line := range strings.Lines(string(h.read("/proc/net/if_inet6"))) {
		w := strings.Fields(line)
		if len(w) != 6 || len(w[0]) != 32 {
			continue
		}
		flags, err := strconv.ParseUint(w[4], 16, 32)
		if err != nil || flags&(temporary|dadFailed|deprecated|tentative) == 0 {
			continue
		}
		var groups []string
		for i := 0; i < 32; i += 4 {
			groups = append(groups, w[0][i:i+4])
		}
		if a, err := netip.ParseAddr(strings.Join(groups, ":")); err == nil {
			passing[a] = true
		}
	}
	return passing
}

// Flags of an address in /proc/net/if_inet6, IFA_F_… of linux/if_addr.h.
const (
	temporary  = 0x01
	dadFailed  = 0x08
	deprecated = 0x20
	tentative  = 0x40
)
