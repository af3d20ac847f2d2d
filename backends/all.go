package backends

import (
	"xfwc/backends/haproxy"
	"xfwc/backends/nftables"
	"xfwc/backends/suricata"
)

// All lists the backends, in the order of every output.
func All() []Backend {
	return []Backend{
		nftables.Backend{},
		haproxy.Backend{},
		suricata.Backend{},
	}
}
