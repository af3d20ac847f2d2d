// Command xfwc checks, compiles and puts in force the policy of an XMPP site,
// and notices when a machine stops agreeing with it.
package main

import (
	"os"
	"runtime/debug"
	"time"
)

func main() {
	// A command lives for a moment and then gives all of its memory back. With a
	// feed of many addresses the collector would otherwise take a third of it.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	os.Exit(run(os.Args[1:], world{
		in:          os.Stdin,
		out:         os.Stdout,
		err:         os.Stderr,
		env:         os.Getenv,
		now:         time.Now,
		hostname:    os.Hostname,
		inTerminal:  isTerminal(os.Stdin),
		outTerminal: isTerminal(os.Stdout),
		errTerminal: isTerminal(os.Stderr),
	}))
}
