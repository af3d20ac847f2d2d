package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"xfwc/compiler"
	"xfwc/compiler/ir"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// newInit builds `xfwc init`.
func newInit(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a starter policy for the server on this machine",
		Long: `init prints a policy for one XMPP server, or writes it to a file. It asks
nothing: it looks which server is installed and in which version, which domains
its configuration files are named after, which addresses the machine has, and
where you come from over ssh. It opens no configuration file, for they hold
secrets. Flags say what it cannot find or gets wrong.

The policy passes 'xfwc check --profile strict'. Lines that say CHANGE hold an
assumption; look at them before the policy is put in force.`,
		Example: "  xfwc init -o policy.xfw\n  xfwc init --software ejabberd --version 24.12 --domain chat.example --address 198.51.100.20",
		Args:    cobra.MaximumNArgs(1),
	}
	software := choiceFlag(cmd, "software", "the XMPP server (default the one that is installed)", append([]string{""}, compiler.Software()...)...)
	flags := cmd.Flags()
	version := flags.String("version", "", "its version (default the one that is installed)")
	domains := flags.StringSlice("domain", nil, "the domains that it serves (default from the names of its configuration files, or the host name)")
	addresses := flags.StringSlice("address", nil, "the addresses that it is reached by (default those of the interface with the default route)")
	iface := flags.String("interface", "", "the network interface that faces the internet (default the one with the default route)")
	output := flags.StringP("output", "o", "", "write to this file")
	force := flags.Bool("force", false, "overwrite the file")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 1 {
			if *output != "" {
				return errors.New("name the file once: behind -o, or as the argument")
			}
			*output = args[0]
		}
		f, err := find(s.host, software.value, *version)
		if err != nil {
			return err
		}
		if err := f.override(*domains, *addresses, *iface); err != nil {
			return err
		}
		text, err := starter(f)
		if err != nil {
			return err
		}
		if *output == "" {
			_, err := s.out.Write(text)
			return err
		}
		if err := writeStarter(*output, text, *force); err != nil {
			return err
		}
		s.note("wrote %s for %s %s; look at the lines that say CHANGE, then: xfwc check %s", *output, f.software, f.version, *output)
		return nil
	}
	return cmd
}

// writeStarter creates the file, and replaces one only where it is told to.
func writeStarter(name string, text []byte, force bool) error {
	if force {
		return writeWhole(name, text, 0o644)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already; init overwrites it with --force only", name)
	}
	if err != nil {
		return fmt.Errorf("cannot write the policy: %w", err)
	}
	if _, err := f.Write(text); err != nil {
		f.Close()
		return fmt.Errorf("cannot write the policy: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("cannot write the policy: %w", err)
	}
	return nil
}

// override puts what the flags state in the place of what was found.
func (f *facts) override(domains, addresses []string, iface string) error {
	if domains != nil {
		f.domains, f.domainsFrom = nil, ""
		for _, d := range domains {
			if !isDomain(d) {
				return fmt.Errorf("--domain %q is not a domain name", d)
			}
			f.domains = append(f.domains, strings.ToLower(d))
		}
	}
	if addresses != nil {
		f.addresses, f.addressesFrom, f.near, f.others = nil, "", nil, nil
		f.adminNear = compiler.Bogon(f.admin)
		for _, text := range addresses {
			a, err := netip.ParseAddr(text)
			if err != nil || a.Zone() != "" {
				return fmt.Errorf("--address %q is not an address", text)
			}
			f.addresses = append(f.addresses, a.Unmap())
		}
	}
	if iface != "" {
		if !isInterface(iface) {
			return fmt.Errorf("--interface %q is not the name of a network interface", iface)
		}
		f.iface, f.ifaceFrom, f.near, f.others = iface, "", nil, nil
		f.adminNear = compiler.Bogon(f.admin)
	}
	if len(f.domains) == 0 || len(f.addresses) == 0 {
		return errors.New("--domain and --address need a value each")
	}
	return nil
}

// starter is a policy for one server on one machine. It is held to the compiler
// before anybody sees it: whatever was found, what comes out is a policy that
// strict best practice has nothing to say about.
func starter(f *facts) ([]byte, error) {
	text := lang.Format([]byte(f.policy()))
	file, findings := lang.Parse("policy.xfw", text)
	if len(findings) == 0 {
		findings = compiler.Compile(compiler.Input{Files: []*lang.File{file}}).Findings
	}
	for _, found := range findings {
		if found.Severity >= diag.Warning {
			return nil, fmt.Errorf("cannot write a policy that passes its checks: %s (%s)", found.Summary, found.Code)
		}
	}
	return text, nil
}

// policy is the text of the starter, before it is formatted.
func (f *facts) policy() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	name := f.domains[0]

	line("%s", lang.Comment("What the XMPP site "+name+" means to allow: a starter for "+f.software+" "+f.version+" on one machine."))
	line("# Lines that say CHANGE hold an assumption. When they are right: xfwc check,")
	line("# xfwc plan, xfwc apply --confirm 5m.")
	line("")
	line("policy %s {", lang.Quote(name))
	line("owner %s # CHANGE: whom to ask about this policy", lang.Quote("admin@"+name))
	line("profile strict")
	line("}")
	line("")
	line("# Where you administer from: ssh is closed to everybody else.")
	if f.admin.IsValid() {
		line("network admins = %s # CHANGE: found as the other end of your ssh session; add your networks", f.admin)
	} else {
		line("network admins = 192.0.2.0/28 # CHANGE: these addresses belong to nobody")
	}
	for _, o := range f.others {
		line("network %s = %s", o.network, joined(o.prefixes))
	}
	if len(f.near) > 0 {
		line("# The neighbours on %s.", f.iface)
		line("network near = %s", joined(f.near))
	}
	line("")
	line("server chat {")
	line("software %s %s%s", f.software, f.version, f.changes(f.versionFrom))
	line("domain %s%s", strings.Join(f.domains, ", "), f.changes(f.domainsFrom))
	line("address %s%s", joined(f.addresses), f.changes(f.addressesFrom))
	f.ports(line)
	line("}")
	line("")
	line("# The machine that it runs on.")
	line("point box {")
	line("role host of chat")
	if f.hostname != "" {
		line("hostname %s", lang.Quote(f.hostname))
	}
	faces := "internet"
	if len(f.near) > 0 {
		faces += ", near"
	}
	if f.adminNear {
		faces += ", admins"
	}
	line("interface %s faces %s%s", f.iface, faces, f.changes(f.ifaceFrom))
	for _, o := range f.others {
		line("interface %s faces %s", o.name, o.network)
	}
	line("nftables")
	line("%s", f.software)
	line("}")
	line("")
	f.clients(line)
	f.federation(line)
	line("allow network admins to ssh of box")
	line("")
	f.tests(line)
	return b.String()
}

// ports states the ports of software that listens on IPv4 alone by default,
// where the server has IPv6 as well: its configuration has to say otherwise.
func (f *facts) ports(line func(string, ...any)) {
	if !slices.ContainsFunc(f.addresses, netip.Addr.Is6) || !slices.ContainsFunc(f.addresses, netip.Addr.Is4) {
		return
	}
	for _, l := range f.listeners {
		if l.Bind == "v4" && !l.Off && slices.Contains([]string{"clients", "clients-tls", "federation", "federation-tls"}, l.Service) {
			line("port %s %d # CHANGE: %s listens on IPv4 alone by default; let it listen on IPv6 too", l.Service, l.Port.From, f.software)
		}
	}
}

// changes is the comment behind a value that was assumed.
func (f *facts) changes(from string) string {
	if from == "" {
		return ""
	}
	return " " + lang.Comment("CHANGE: "+from)
}

func (f *facts) clients(line func(string, ...any)) {
	f.agree(line, "c2s-tls", "required", "require TLS of clients")
	line("clients of chat {")
	line("from any")
	line("starttls required")
	line("direct-tls port %d%s", f.directTLS(), map[bool]string{true: "", false: " # CHANGE: open it in the server's configuration too"}[f.listens("clients-tls")])
	if s, ok := compiler.SettingOf(f.software, f.version, "anonymous"); ok && s.Upstream() != "off" {
		f.setting(line, "sasl scram-sha-1, scram-sha-256", s.Key, "off") // and so not ANONYMOUS
	}
	f.setting(line, "tls 1.2", "tls-min", "1.2", "1.3")
	f.setting(line, "compression off", "compression", "off", "none")
	if s, ok := compiler.SettingOf(f.software, f.version, "registration"); ok && s.Upstream() == "invite" {
		line("registration invite")
	} else {
		f.setting(line, "registration closed", "registration", "off", "loopback")
	}
	line("limit connections 20 per source")
	line("limit connections 5000 global")
	line("limit attempts 30/minute burst 10 per source")
	line("limit attempts 200/second burst 400 global")
	line("# These the server alone can hold.")
	f.bound(line, "limit negotiation 60s", "negotiation", 60)
	f.stanzas(line, "stanza-size-c2s", "preauth-size", 256<<10)
	f.must(line, "limit bandwidth 10kB/second burst 100kB per stream", "shaper-c2s", 10000)
	f.bound(line, "limit resources 10 per account", "resources", 10)
	line("}")
	line("")
}

func (f *facts) federation(line func(string, ...any)) {
	f.agree(line, "s2s-tls", "required", "require TLS of other servers")
	f.agree(line, "s2s-auth", "certificate", "take a certificate for proof, and not dialback")
	line("federation of chat {")
	line("default allow")
	line("tls required")
	line("auth external")
	line("limit connections 30 per source")
	line("limit connections 1000 global")
	line("limit attempts 60/minute burst 30 per source")
	line("limit attempts 100/second burst 200 global")
	line("limit outgoing 600/minute burst 300 global")
	f.stanzas(line, "stanza-size-s2s", "preauth-size-s2s", 512<<10)
	line("}")
	line("")
}

// agree says which option of the server has to be changed for the statement
// that follows to be true.
func (f *facts) agree(line func(string, ...any), key, want, what string) {
	s, ok := compiler.SettingOf(f.software, f.version, key)
	if !ok || s.Upstream() == want {
		return
	}
	line("%s", lang.Comment(fmt.Sprintf("CHANGE: let %s %s; by default it has %s (%s).", f.software, what, s.Upstream(), s.Option)))
}

// setting writes a line that the server's configuration has to agree with, and
// says which option to set where its default is another one.
func (f *facts) setting(line func(string, ...any), text, key string, good ...string) {
	if s, ok := compiler.SettingOf(f.software, f.version, key); ok && !slices.Contains(good, s.Upstream()) {
		text += " " + f.instead(s)
	}
	line("%s", text)
}

// instead is the comment that names an option to set.
func (f *facts) instead(s compiler.Setting) string {
	by := "by default it is " + s.Upstream()
	if s.Upstream() == compiler.Unknown {
		by = "its default is not known here"
	}
	return lang.Comment("CHANGE: set " + s.Option + "; " + by)
}

// stanzas limits the size of stanzas to what the server takes by default, where
// that is in whole KiB and not smaller than RFC 6120 section 13.12 allows, and
// before a login to less.
func (f *facts) stanzas(line func(string, ...any), key, before string, otherwise uint64) {
	s, ok := compiler.SettingOf(f.software, f.version, key)
	if !ok || !settable(s) {
		return
	}
	size := otherwise
	if n, err := strconv.ParseUint(s.Upstream(), 10, 32); err == nil && n > 10000 && n%1024 == 0 {
		size = n
	}
	f.must(line, "limit stanza 16KiB before auth", before, 16<<10)
	f.bound(line, fmt.Sprintf("limit stanza %dKiB after auth", size>>10), key, size)
}

// must writes a limit that best practice asks for, also where the server has no
// option for it: something in front of it then has to hold it.
func (f *facts) must(line func(string, ...any), limit, key string, most uint64) {
	if s, ok := compiler.SettingOf(f.software, f.version, key); ok && settable(s) {
		f.bound(line, limit, key, most)
		return
	}
	line("%s %s", limit, lang.Comment("CHANGE: "+f.software+" "+f.version+" has no option for it that is known here"))
}

// bound writes a limit that only the server can hold, with the option to set
// where its default is larger, or is none. Without such an option the limit
// would be a promise that nobody keeps.
func (f *facts) bound(line func(string, ...any), limit, key string, most uint64) {
	s, ok := compiler.SettingOf(f.software, f.version, key)
	if !ok || !settable(s) {
		return
	}
	amount, _, _ := strings.Cut(s.Upstream(), "/")
	if n, err := strconv.ParseUint(amount, 10, 64); err != nil || n > most {
		limit += " " + f.instead(s)
	}
	line("%s", limit)
}

// settable reports whether there is an option.
func settable(s compiler.Setting) bool { return s.Option != "none" && s.Option != compiler.Unknown }

// tests are what the policy expects of itself: that the service is reached, and
// what the software opens besides is not.
func (f *facts) tests(line func(string, ...any)) {
	line(`test "everybody may log in and federate" {`)
	open := []uint16{}
	for _, service := range []string{"clients", "clients-tls", "federation", "federation-tls"} {
		for _, l := range f.listeners {
			if l.Service == service && !l.Off {
				open = append(open, l.Port.From)
			}
		}
	}
	if !f.listens("clients-tls") {
		open = append(open, f.directTLS())
	}
	for _, port := range open {
		line("allow tcp any -> chat:%d", port)
	}
	line("}")
	line("")
	line(`test "what the server opens besides is closed" {`)
	closed := slices.Clone(f.listeners)
	slices.SortFunc(closed, func(a, b ir.Listener) int {
		return cmp.Or(cmp.Compare(a.Port.From, b.Port.From), cmp.Compare(a.Port.Proto, b.Port.Proto))
	})
	for i, l := range closed {
		if slices.Contains(open, l.Port.From) || i > 0 && closed[i-1].Port == l.Port {
			continue
		}
		ports := fmt.Sprint(l.Port.From)
		if l.Port.To != l.Port.From {
			ports += fmt.Sprintf("-%d", l.Port.To)
		}
		line("deny %s any -> chat:%s", l.Port.Proto, ports)
	}
	line("}")
}

// listens reports whether the software opens a port for the service by default.
func (f *facts) listens(service string) bool {
	for _, l := range f.listeners {
		if l.Service == service && !l.Off {
			return true
		}
	}
	return false
}

// directTLS is the port of direct TLS: the software's own, or the usual one.
func (f *facts) directTLS() uint16 {
	for _, l := range f.listeners {
		if l.Service == "clients-tls" {
			return l.Port.From
		}
	}
	return 5223
}

func joined[T fmt.Stringer](all []T) string {
	words := make([]string, len(all))
	for i, x := range all {
		words[i] = x.String()
	}
	return strings.Join(words, ", ")
}
