package nftables

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// loopbackUp brings the loopback interface of the calling thread's namespace up.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// guarded denies the source 127.66.0.1 by a set, and lets the others reach UDP
// port 9000; the rest of UDP is counted and dropped. n makes variants.
func guarded(n int, kind string) *Ruleset {
	blocked := &Set{Name: "blocked", Key: []KeyType{IPv4Addr}, Interval: true}
	nets := []string{"127.66.0.0/16", "127.70.0.0/16"}
	switch {
	case kind == "hash", kind == "redefined" && n%2 == 0, kind == "hash replaced":
		blocked.Interval = false
		nets = []string{"127.66.0.1", "127.70.0.1"}
		if kind == "hash replaced" {
			blocked.Size = uint32(64 + n)
		}
	case kind == "renamed", kind == "map renamed":
		blocked.Name = fmt.Sprintf("blocked%d", n)
	}
	if n%2 == 0 {
		nets[1] = "127.71.0.1" // elements come and go
	}
	for _, s := range nets {
		blocked.Elements = append(blocked.Elements, Element{Keys: []KeyValue{pfx(s)}})
	}
	note := fmt.Sprintf("policy.xfw:%d", n)
	deny := &Rule{Stmts: []Stmt{MatchAddrSet{Family: V4, Side: Source, Set: blocked.Name}, Verdict{Goto, "denied"}}, Comment: note}
	if kind == "map" || kind == "map renamed" || kind == "map redefined" {
		blocked.Key = []KeyType{IPv4Addr, InetProto, InetService}
		blocked.Verdict = true
		if blocked.Interval = kind != "map redefined" || n%2 == 0; !blocked.Interval {
			blocked.Elements[0].Keys[0] = pfx("127.66.0.1")
			blocked.Elements[1].Keys[0] = pfx("127.70.0.1")
		}
		for i := range blocked.Elements {
			e := &blocked.Elements[i]
			e.Keys = append(e.Keys, KeyValue{Num: 17}, KeyValue{Num: 9000})
			e.Do, e.Chain = Goto, "denied"
		}
		deny.Stmts = []Stmt{VmapAddrProtoPort{V4, Source, blocked.Name}}
	}
	ports := &Set{Name: "ports", Key: []KeyType{InetProto, InetService}, Verdict: true, Elements: []Element{
		{Keys: []KeyValue{{Num: 17}, {Num: 9000}}, Do: Goto, Chain: "service"},
		{Keys: []KeyValue{{Num: 17}, {Num: uint16(9100 + n%2)}}, Do: Goto, Chain: "denied"}}}
	r := &Ruleset{
		Counters: []*Counter{{Name: "fell_through"}, {Name: "denied"}},
		Sets:     []*Set{blocked, ports},
		Chains: []*Chain{
			{Name: "service", Rules: []*Rule{{Stmts: []Stmt{Verdict{Kind: Accept}}, Comment: note}}},
			{Name: "denied", Rules: []*Rule{{Stmts: []Stmt{CountPacket{"denied"}, Verdict{Kind: Drop}}}}},
			{Name: "input", Hook: "input", Priority: 10, Rules: []*Rule{
				deny,
				{Stmts: []Stmt{MatchEstablished{}, Verdict{Kind: Accept}}},
				{Stmts: []Stmt{VmapProtoPort{"ports"}}, Comment: note},
				{Stmts: []Stmt{MatchL4Proto{"udp"}, CountPacket{"fell_through"}, Verdict{Kind: Drop}}},
			}},
		},
	}
	if n%3 == 0 {
		r.Chains = append(r.Chains, &Chain{Name: "fresh", Rules: []*Rule{{Stmts: []Stmt{Verdict{Kind: Drop}}}}})
		ports.Elements = append(ports.Elements, Element{Keys: []KeyValue{{Num: 17}, {Num: 9200}}, Do: Goto, Chain: "fresh"})
	}
	return r
}

// While tables are updated one after another, no packet of a denied source
// passes and no packet of an allowed one is dropped.
func TestUpdateHasNoWindow(t *testing.T) {
	needKernel(t)
	for _, kind := range []string{"ranges", "hash", "hash replaced", "redefined", "renamed", "map", "map redefined", "map renamed"} {
		t.Run(kind, func(t *testing.T) {
			scratch(t, func(c *Conn) error {
				var wants []*Snapshot
				var rulesets []*Ruleset
				for n := range 6 {
					r := guarded(n, kind)
					w, err := Desired(r, DumpOptions{})
					if err != nil {
						return err
					}
					wants, rulesets = append(wants, w), append(rulesets, r)
				}
				if err := c.Commit(Full(rulesets[0]), 0); err != nil {
					return err
				}
				return flood(t, c, func(n int) error {
					live, err := c.Dump(DumpOptions{})
					if err != nil {
						return err
					}
					return c.Commit(Update(live, wants[n%6], rulesets[n%6]), live.Generation)
				})
			})
		})
	}
}

// flood sends packets of a denied and of an allowed source while step is called
// over and over.
func flood(t *testing.T, c *Conn, step func(int) error) error {
	if err := loopbackUp(); err != nil {
		return err
	}
	// Sockets belong to the namespace in which they are made, so that other
	// goroutines can use them.
	listen, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:9000")))
	if err != nil {
		return err
	}
	defer listen.Close()
	dial := func(from string) (*net.UDPConn, error) {
		return net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)),
			net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:9000")))
	}
	bad, err := dial("127.66.0.1")
	if err != nil {
		return err
	}
	defer bad.Close()
	good, err := dial("127.0.0.2")
	if err != nil {
		return err
	}
	defer good.Close()

	var leaked, passed, sent atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		buf := make([]byte, 16)
		for {
			_, from, err := listen.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if from.Addr().Unmap() == netip.MustParseAddr("127.66.0.1") {
				leaked.Add(1)
			} else {
				passed.Add(1)
			}
		}
	})
	for _, conn := range []*net.UDPConn{bad, good} {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = conn.Write([]byte("x"))
					sent.Add(1)
				}
			}
		})
	}
	updates := 0
	err = func() error {
		for end := time.Now().Add(600 * time.Millisecond); time.Now().Before(end); updates++ {
			if err := step(updates + 1); err != nil {
				return err
			}
		}
		return nil
	}()
	close(stop)
	time.Sleep(20 * time.Millisecond)
	listen.Close()
	wg.Wait()
	if err != nil {
		return err
	}
	fell, err := counterValue(c, "fell_through")
	if err != nil {
		return err
	}
	denied, err := counterValue(c, "denied")
	if err != nil {
		return err
	}
	t.Logf("%d updates, %d packets sent, %d passed, %d denied, %d leaked, %d wrongly dropped", updates, sent.Load(), passed.Load(), denied, leaked.Load(), fell)
	switch {
	case updates < 20 || passed.Load() < 1000 || denied < 1000:
		return errors.New("too little traffic to tell")
	case leaked.Load() > 0:
		return fmt.Errorf("%d packets of a denied source passed", leaked.Load())
	case fell > 0:
		return fmt.Errorf("%d packets of an allowed source were dropped", fell)
	}
	return nil
}

// counterValue reads the packets of a named counter.
func counterValue(c *Conn, name string) (packets uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err = c.ask(unix.NFT_MSG_GETOBJ, 0, familyInet, func(w *writer) {
		w.str(unix.NFTA_OBJ_TABLE, TableName)
		w.str(unix.NFTA_OBJ_NAME, name)
		w.u32(unix.NFTA_OBJ_TYPE, objTypeCounter)
	}, func(b []byte) error {
		as, err := readAttrs(b)
		if err != nil {
			return err
		}
		data, err := readAttrs(get(as, unix.NFTA_OBJ_DATA))
		packets = be64(get(data, unix.NFTA_COUNTER_PACKETS))
		return err
	})
	return packets, err
}
