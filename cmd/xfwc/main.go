// Command xfwc checks, compiles and puts in force the policy of an XMPP site,
// and notices when a machine stops agreeing with it.
package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

func main() {
	collectLate()
	os.Exit(run(os.Args[1:], world{
		in:          os.Stdin,
		out:         os.Stdout,
		err:         os.Stderr,
		env:         os.Getenv,
		now:         time.Now,
		hostname:    os.Hostname,
		host:        thisHost(),
		inTerminal:  isTerminal(os.Stdin),
		outTerminal: isTerminal(os.Stdout),
		errTerminal: isTerminal(os.Stderr),
	}))
}

// collectLate lets the memory grow to 128 MB before the garbage collector runs,
// and as usual from then on: a command lives for a moment, and with a feed of
// many addresses the collector would take a quarter of it.
func collectLate() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return // somebody knows better
	}
	percent, limit := debug.SetGCPercent(-1), debug.SetMemoryLimit(128<<20)
	// The first collection finds that nothing uses this.
	runtime.SetFinalizer(new([16]byte), func(*[16]byte) {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
}
