package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"xfwc/lang"
)

// newInit builds `xfwc init`.
func newInit(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a starter policy for one server on one machine",
		Long: `init prints a policy for one XMPP server, or writes it to FILE, which must not
exist. It passes 'xfwc check'; change names, addresses and networks to yours.`,
		Example: "  xfwc init --software prosody --domain chat.example --address 198.51.100.20 policy.xfw",
		Args:    cobra.MaximumNArgs(1),
	}
	software := choiceFlag(cmd, "software", "the XMPP server", "prosody", "ejabberd", "openfire")
	domain := cmd.Flags().String("domain", "chat.example", "the domain that the server serves")
	addresses := cmd.Flags().StringSlice("address", []string{"198.51.100.20", "2001:db8::20"}, "the server's addresses")
	iface := cmd.Flags().String("interface", "eth0", "the network interface that faces the internet")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		text, err := starter(software.value, *domain, *addresses, *iface)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			_, err := s.out.Write(text)
			return err
		}
		f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists already; init does not overwrite a policy", args[0])
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
		s.note("wrote %s; next: xfwc check %s", args[0], args[0])
		return nil
	}
	return cmd
}

// What a value may look like to stand in the starter policy. The compiler
// judges values in full; this keeps a typing error from making a file that
// does not even parse.
var (
	domainForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+$`)
	ifaceForm  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]{0,14}$`)
)

// starters are what differs between servers.
var starters = map[string]struct {
	version string
	auth    string // Openfire calls back to learn who a peer is; the others take the certificate
	closed  string // a port that the software opens by default and that nobody outside needs
}{
	"prosody":  {"0.12", "external", "5347"},
	"ejabberd": {"24.12", "external", "5280"},
	"openfire": {"5.0", "dialback over tls", "9090"},
}

// starter is a policy for one server on one machine.
func starter(software, domain string, addresses []string, iface string) ([]byte, error) {
	if !domainForm.MatchString(domain) {
		return nil, fmt.Errorf("--domain %q is not a domain name", domain)
	}
	if !ifaceForm.MatchString(iface) {
		return nil, fmt.Errorf("--interface %q is not the name of a network interface", iface)
	}
	if len(addresses) == 0 {
		return nil, errors.New("--address needs at least one address")
	}
	for i, a := range addresses {
		addr, err := netip.ParseAddr(a)
		if err != nil || addr.Zone() != "" {
			return nil, fmt.Errorf("--address %q is not an address", a)
		}
		addresses[i] = addr.Unmap().String()
	}
	own := starters[software]
	text := strings.NewReplacer(
		"SOFTWARE", software, "VERSION", own.version, "AUTH", own.auth, "CLOSED", own.closed,
		"DOMAIN", domain, "ADDRESSES", strings.Join(addresses, ", "), "IFACE", iface,
	).Replace(starterText)
	return lang.Format([]byte(text)), nil
}

const starterText = `# What the XMPP site DOMAIN means to allow. Change addresses and networks to
# yours, then run: xfwc check, xfwc plan, xfwc apply --confirm 5m.

policy "DOMAIN" {
  owner   "admin@DOMAIN"
  profile baseline
}

# Where you administer from. Without it, ssh is left as it is.
network home = 192.0.2.0/28

server chat {
  software SOFTWARE VERSION
  domain   DOMAIN
  address  ADDRESSES
}

# The machine that the server runs on. If its host name is not "box", add:
# hostname "its-host-name"
point box {
  role      host of chat
  interface IFACE faces internet
  nftables
}

clients of chat {
  from any
  starttls required
  direct-tls port 5223
  registration closed  # the server has to be set so as well
  limit connections 20 per source
  limit connections 5000 global
  limit attempts 30/minute burst 10 per source
  limit attempts 200/second burst 400 global
}

federation of chat {
  default allow
  tls     required
  auth    AUTH
  limit connections 30 per source
  limit connections 1000 global
  limit attempts 60/minute burst 30 per source
  limit attempts 100/second burst 200 global
}

allow network home to ssh of box

test "everybody may log in and federate" {
  allow tcp any -> chat:5222
  allow tcp any -> chat:5223
  allow tcp any -> chat:5269
}

test "what the server opens besides is not public" {
  deny tcp any -> chat:CLOSED
}
`
