package deploy

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// trafficPolicies are two policies for one machine that differ in rules, in
// elements of interval and hash sets, in limits, and in a whole statement; both
// deny the same sources, and everything that they do not speak of.
func trafficPolicies(t *testing.T) [2]*Wanted {
	t.Helper()
	var hosts strings.Builder
	for i := range 300 {
		fmt.Fprintf(&hosts, "198.18.%d.%d, ", i/250, i%250+1)
	}
	text := func(extra, limit, statement string) string {
		return `policy "site" { owner "ops@example.org" }
network ranges = 203.0.113.0/24, ` + extra + `/24, 2001:db8:bad::/48
network hosts = ` + hosts.String() + extra + `, 198.51.100.7
server chat {
  software prosody 13.0
  domain   example.org
  address  192.0.2.10, 2001:db8::10
}
point host {
  role host of chat
  exclusive
  nftables
}
clients of chat {
  from any
  starttls required
  limit attempts ` + limit + `/second burst 1000000 global
}
` + statement + `
deny network ranges
deny network hosts
`
	}
	return [2]*Wanted{
		mustCompile(t, text("10.1.2.0", "3000000", "")),
		mustCompile(t, text("10.77.3.0", "2000000", "allow 192.0.2.50 to ssh of chat\nnetwork more = 10.66.0.0/16, 10.68.0.0/16\ndeny network more")),
	}
}

// Applies in a loop while packets flow: not one of a denied source passes, not
// one of an established conversation is lost. A table of somebody else counts
// before and behind xfwc's chains.
func TestAppliesUnderTraffic(t *testing.T) {
	newNamespace(t)
	far := newPeer(t)
	rounds, waiting := 100, 10
	if long() {
		rounds, waiting = 2000, 100
	}
	ws := trafficPolicies(t)
	o := options(t)
	// An established flow: UDP to a port that no policy speaks of, so that an
	// exclusive point denies it as soon as it does not look established.
	const flowPort = 9999
	served, err := net.ListenPacket("udp4", fmt.Sprintf("192.0.2.10:%d", flowPort))
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	echoed := make(chan struct{})
	go func() {
		b := make([]byte, 64)
		_, from, err := served.ReadFrom(b)
		if err == nil {
			_, _ = served.WriteTo(b[:1], from)
		}
		close(echoed)
		for err == nil {
			_, _, err = served.ReadFrom(b)
		}
	}()
	probe := `table inet probe {
	counter flow_in { }
	counter flow_passed { }
	counter denied_in { }
	counter denied_passed { }
	counter allowed_passed { }
	chain before {
		type filter hook prerouting priority -450;
		ip saddr 192.0.2.50 udp dport 9999 counter name flow_in
		ip saddr { 203.0.113.9, 198.51.100.7 } counter name denied_in
	}
	chain behind {
		type filter hook input priority 200;
		ct state established ip saddr 192.0.2.50 udp dport 9999 counter name flow_passed
		ip saddr { 203.0.113.9, 198.51.100.7 } counter name denied_passed
		ip saddr 192.0.2.51 counter name allowed_passed
	}
}
`
	nft(t, probe)
	flow := newFlow(t, far, netip.MustParseAddrPort("192.0.2.10:9999"))
	flow.send() // opens it
	select {
	case <-echoed:
	case <-time.After(5 * time.Second):
		t.Fatal("the flow was not answered")
	}
	mustApply(t, o, ws[1], ApplyOptions{})
	nft(t, "reset counters table inet probe")

	var stop atomic.Bool
	sent := make(chan int)
	go far.do(func() {
		n := 0
		for !stop.Load() {
			flow.send()
			for _, src := range []string{"203.0.113.9", "198.51.100.7", "192.0.2.51"} {
				flow.syn(netip.MustParseAddr(src), uint16(20000+n%40000))
			}
			n++
			if n%64 == 0 {
				time.Sleep(200 * time.Microsecond) // the queue of the link is short
			}
		}
		sent <- n
	})
	start := time.Now()
	for i := range rounds {
		out := mustApply(t, o, ws[i%2], ApplyOptions{})
		if !out.Changed {
			t.Fatalf("apply %d changed nothing", i)
		}
	}
	took := time.Since(start)
	// Changes that wait, each kept or taken back; both ends of it count.
	for i := range waiting {
		mustApply(t, o, ws[i%2], ApplyOptions{Confirm: time.Minute})
		if i%4 < 2 {
			if _, err := Confirm(o, ""); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if _, err := Rollback(o); err != nil {
			t.Fatal(err)
		}
		mustApply(t, o, ws[i%2], ApplyOptions{})
	}
	all := time.Since(start)
	stop.Store(true)
	n := <-sent
	time.Sleep(50 * time.Millisecond)
	count := readCounters(t)
	t.Logf("%d applies in %v (%v each) and %d that wait, under %d packets a second: %v", rounds, took.Round(time.Millisecond), (took / time.Duration(rounds)).Round(10*time.Microsecond), waiting, int(float64(4*n)/all.Seconds()), count)
	if count["flow_in"] < n*9/10 || count["denied_in"] < n || count["allowed_passed"] == 0 {
		t.Errorf("too little traffic arrived to prove anything: sent %d rounds, %v", n, count)
	}
	if count["denied_passed"] != 0 {
		t.Errorf("%d of %d packets of denied sources passed", count["denied_passed"], count["denied_in"])
	}
	if count["flow_passed"] != count["flow_in"] {
		t.Errorf("%d of %d packets of an established conversation were dropped", count["flow_in"]-count["flow_passed"], count["flow_in"])
	}
}

func nft(t *testing.T, script string) string {
	t.Helper()
	path := t.TempDir() + "/script.nft"
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	return command(t, "nft", "-f", path)
}

var counterLine = regexp.MustCompile(`counter (\w+) \{\s*packets (\d+)`)

func readCounters(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, m := range counterLine.FindAllStringSubmatch(command(t, "nft", "list", "counters", "table", "inet", "probe"), -1) {
		out[m[1]], _ = strconv.Atoi(m[2])
	}
	return out
}

// flow sends packets from the peer: datagrams of one conversation, and SYNs of
// any source.
type flow struct {
	udp, raw int
	to       netip.AddrPort
}

func newFlow(t *testing.T, p *peer, to netip.AddrPort) *flow {
	t.Helper()
	f := &flow{to: to}
	var err error
	p.do(func() {
		if f.udp, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0); err != nil {
			return
		}
		if err = unix.Bind(f.udp, &unix.SockaddrInet4{Port: 8888, Addr: [4]byte{192, 0, 2, 50}}); err != nil {
			return
		}
		if err = unix.Connect(f.udp, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
			return
		}
		f.raw, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(f.udp); unix.Close(f.raw) })
	return f
}

func (f *flow) send() { _, _ = unix.Write(f.udp, []byte("x")) }

// syn sends the first packet of a TCP conversation to the clients' port.
func (f *flow) syn(src netip.Addr, port uint16) {
	dst := f.to.Addr()
	p := make([]byte, 40)
	p[0], p[8], p[9] = 0x45, 64, unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(p[2:], 40)
	copy(p[12:16], src.AsSlice())
	copy(p[16:20], dst.AsSlice())
	tcp := p[20:]
	binary.BigEndian.PutUint16(tcp[0:], port)
	binary.BigEndian.PutUint16(tcp[2:], 5222)
	binary.BigEndian.PutUint32(tcp[4:], 1)
	tcp[12], tcp[13] = 5<<4, 0x02
	binary.BigEndian.PutUint16(tcp[14:], 65535)
	sum := uint32(unix.IPPROTO_TCP + len(tcp))
	for _, part := range [][]byte{p[12:20], tcp} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(tcp[16:], ^uint16(sum))
	_ = unix.Sendto(f.raw, p, 0, &unix.SockaddrInet4{Addr: dst.As4()})
}

// What packets meet while a change waits, and once the kernel has ended it with
// no process alive.
func TestPendingChangeDecidesPackets(t *testing.T) {
	newNamespace(t)
	far := newPeer(t)
	o := options(t)
	a, b := mustCompile(t, policyA), mustCompile(t, policyB)
	ln, err := net.Listen("tcp", "192.0.2.10:5222")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	reaches := func() bool {
		conn, err := far.tryDial("192.0.2.50", "192.0.2.10:5222", 300*time.Millisecond)
		if err == nil {
			conn.Close()
			return true
		}
		return false
	}
	mustApply(t, o, a, ApplyOptions{})
	if !reaches() {
		t.Fatal("policy A lets clients in, and the client is not")
	}
	p := mustApply(t, o, b, ApplyOptions{Confirm: 3 * time.Second}).Pending
	if err := unix.Kill(p.GuardPID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if reaches() {
		t.Error("policy B has no clients, and the client is let in while it waits")
	}
	eventually(t, 6*time.Second, "the client is still shut out", reaches)
	if over := time.Duration(p.DeadlineBoot) - ThisMachine().Now().Boot; over > 0 {
		t.Errorf("the change ended %v early", over)
	}
	// Confirmed, it stays.
	mustApply(t, o, b, ApplyOptions{Confirm: time.Second})
	if _, err := Confirm(o, ""); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond)
	if reaches() {
		t.Error("the confirmed policy is not in force after the deadline")
	}
}
