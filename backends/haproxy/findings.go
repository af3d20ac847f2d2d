package haproxy

import (
	"fmt"

	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// noAddress says that the point lacks the addresses to listen on.
func noAddress(pt *ir.Point, r *ir.HTTPRoute) diag.Finding {
	f := diag.New("value-missing", r.Origin.Span,
		fmt.Sprintf("point %s has no address on which HAProxy could serve %s", pt.Name, r.Path))
	f.Labels = []diag.Label{{Span: pt.Origin.Span, Text: "the point"}}
	f.Remedy = "State the point's address."
	return f
}

// noBackend says that the server lacks what the proxy would forward to.
func noBackend(pt *ir.Point, r *ir.HTTPRoute) diag.Finding {
	f := diag.New("value-missing", r.Origin.Span,
		fmt.Sprintf("HAProxy at point %s has no address or HTTP port to forward %s to", pt.Name, r.Path))
	f.Remedy = "State the server's address, and its HTTP port with port http."
	return f
}

// portTaken says that two servers' web traffic would end on one socket.
func portTaken(pt *ir.Point, r, first *ir.HTTPRoute) diag.Finding {
	f := diag.New("value-conflict", r.Origin.Span,
		fmt.Sprintf("port %d of point %s serves two servers", r.Listen.From, pt.Name))
	f.Labels = []diag.Label{{Span: first.Origin.Span, Text: "first used here"}}
	f.Remedy = "Give one of the web statements another port, or let its TLS end at another point."
	return f
}

// unwritable says that a value has no place in a configuration.
func unwritable(pt *ir.Point, r *ir.HTTPRoute, err error) diag.Finding {
	f := diag.New("value-invalid", r.Origin.Span,
		fmt.Sprintf("HAProxy at point %s cannot serve %q: %v", pt.Name, r.Path, err))
	return f
}

// idle says that the proxy has nothing to serve.
func idle(pt *ir.Point, e *ir.Engine) diag.Finding {
	f := diag.New("name-unused", e.Origin.Span,
		fmt.Sprintf("haproxy at point %s has nothing to serve: no BOSH route's TLS ends there", pt.Name))
	f.Remedy = "Write tls terminate at " + pt.Name + " and a bosh route in a web statement, or remove the engine from the point."
	return f
}

// byHand says that nothing takes the direct TLS that clients reach the point by.
func byHand(pt *ir.Point, t *ir.ClientTerms) diag.Finding {
	f := diag.New("ledger-by-hand", t.At["direct-tls"],
		fmt.Sprintf("HAProxy of %s takes no direct TLS for clients of %s: this version writes neither an offload nor an ALPN router", pt.Name, t.Server.Name))
	f.Labels = []diag.Label{{Span: pt.Origin.Span, Text: "the point"}}
	f.Remedy = "Write it into the proxy by hand and waive this finding, or let the server end direct TLS: remove offload and alpn."
	return f
}

// byHandReason says in the ledger what of it is missing.
func byHandReason(pt *ir.Point, t *ir.ClientTerms) string {
	switch {
	case t.ALPN != pt:
		return "this version writes no direct TLS offload: write it by hand"
	case t.Offload != pt:
		return "this version writes no ALPN router: write it by hand"
	}
	return "this version writes neither an ALPN router nor a direct TLS offload: write them by hand"
}
