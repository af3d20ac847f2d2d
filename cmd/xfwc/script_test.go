package main

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"xfwc": main})
}

// TestScripts runs testdata/script/*.txtar. XFWC_UPDATE=1 rewrites what their
// cmp lines compare with.
//
// Scripts have besides testscript's own commands:
//
//	exits N PROGRAM ARG…   the program ends with exit code N
//
// the condition [netns], which holds where network namespaces can be made, and
// in the environment EXAMPLES (the folder of examples), GOLDEN (that of their
// goldens) and DNS, a name server that knows the names of dnsRecords.
func TestScripts(t *testing.T) {
	server := startDNS(t)
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := filepath.Abs("../../golden/examples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/script",
		UpdateScripts:      os.Getenv("XFWC_UPDATE") != "",
		RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("EXAMPLES", examples)
			e.Setenv("GOLDEN", golden)
			e.Setenv("DNS", server)
			e.Setenv("XFWC_STATE_DIR", filepath.Join(e.WorkDir, "state"))
			e.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond != "netns" {
				return false, errors.New("unknown condition " + cond)
			}
			return canMakeNetns(t), nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits runs a program and compares its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N PROGRAM ARG…")
	}
	want, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("exits: %q is no exit code", args[0])
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s ended with %d, not with %d", strings.Join(args[1:], " "), got, want)
	}
}

// canMakeNetns tries to make a network namespace on a thread of its own. In CI
// it has to be possible: what needs it must not be skipped there.
func canMakeNetns(t *testing.T) bool {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		result <- unix.Unshare(unix.CLONE_NEWNET)
	}()
	err := <-result
	if err != nil && os.Getenv("CI") != "" {
		t.Fatalf("CI has to run as root: cannot make a network namespace: %v", err)
	}
	return err == nil
}

// dnsRecords is what the name server of the scripts knows.
var dnsRecords = []string{
	"_xmpp-server._tcp.branch.example. 3600 IN SRV 10 5 5269 xmpp.branch.example.",
	"xmpp.branch.example. 3600 IN A 203.0.113.50",
	"xmpp.branch.example. 3600 IN AAAA 2001:db8:50::5",
	"plain.example. 3600 IN A 203.0.113.70",
	"_xmpp-client._tcp.example.org. 3600 IN SRV 5 5 5222 chat.example.org.",
	"_xmpp-server._tcp.example.org. 3600 IN SRV 5 5 5269 chat.example.org.",
	"chat.example.org. 3600 IN A 198.51.100.20",
}

// startDNS serves dnsRecords on the loopback interface.
func startDNS(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	var records []dns.RR
	names := map[string]bool{}
	for _, text := range dnsRecords {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rr)
		names[rr.Header().Name] = true
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if !names[q.Question[0].Name] {
			m.Rcode = dns.RcodeNameError
		}
		for _, rr := range records {
			if rr.Header().Name == q.Question[0].Name && rr.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		w.WriteMsg(m)
	})}
	go server.ActivateAndServe()
	t.Cleanup(func() { server.Shutdown() })
	return conn.LocalAddr().String()
}
