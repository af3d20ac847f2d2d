package suricata

import (
	"fmt"

	"xfwc/compiler/ir"
	"xfwc/lang/diag"
)

// noDevice says that the engine line lacks the interface to listen on.
func noDevice(pt *ir.Point, e *ir.Engine) diag.Finding {
	f := diag.New("value-missing", e.Origin.Span,
		fmt.Sprintf("suricata at point %s has no interface to listen on", pt.Name))
	f.Remedy = "Name the interface: suricata passive eth0."
	return f
}

// badDevice says that the interface cannot be written into the configuration.
func badDevice(pt *ir.Point, e *ir.Engine, err error) diag.Finding {
	f := diag.New("value-invalid", e.Origin.Span,
		fmt.Sprintf("suricata at point %s cannot listen on %q: %v", pt.Name, e.Device, err))
	f.Remedy = "Name a network interface of the machine."
	return f
}

// idle says that the sensor has nothing to look for.
func idle(pt *ir.Point, e *ir.Engine) diag.Finding {
	f := diag.New("name-unused", e.Origin.Span,
		fmt.Sprintf("suricata at point %s has nothing to look for: this version writes no rule for what passes %s", pt.Name, e.Device))
	f.Remedy = "State a content rule on a clear leg that passes the interface, or remove the engine from the point."
	return f
}
