package deploy

import (
	"net/netip"

	"xfwc/compiler/ir"
)

// Session is an established TCP session of this machine.
type Session struct {
	Local, Remote netip.AddrPort
	// Inbound is set when the local port listens: the other side opened it.
	Inbound bool
	// Interface it goes through, "" when unknown.
	Interface string
	// SSH is set for the session that the caller works over, from
	// SSH_CONNECTION.
	SSH bool
}

// Cut is a session that the wanted policy would deny if it were opened anew.
type Cut struct {
	Session Session `json:"session"`
	Hook    ir.Hook `json:"hook"`
	// Origin is the policy line that denies it, such as
	// "policy.xfw:12 deny network drop"; "" when it is denied because no
	// statement allows it.
	Origin string `json:"origin,omitempty"`
	Reason string `json:"reason"`
	// Allowed is set when the caller accepts the loss.
	Allowed bool `json:"allowed,omitempty"`
}

func (c Cut) String() string {
	dir := "to " + c.Session.Remote.String() + " from " + c.Session.Local.String()
	if c.Session.Inbound {
		dir = "from " + c.Session.Remote.String() + " to " + c.Session.Local.String()
	}
	if c.Session.SSH {
		dir += " (your ssh session)"
	}
	s := dir + ": " + c.Reason
	if c.Origin != "" {
		s += " (" + c.Origin + ")"
	}
	return s
}
