package nftables

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// A dump taken while the table changes shows one state or the other.
func TestDumpIsConsistent(t *testing.T) {
	needKernel(t)
	rs := []*Ruleset{guarded(1, "hash"), guarded(6, "hash")}
	var wants []*Snapshot
	for _, r := range rs {
		w, err := Desired(r, DumpOptions{})
		if err != nil {
			t.Fatal(err)
		}
		wants = append(wants, w)
	}
	if n := Update(wants[0], wants[1], rs[1]).Transactions(); n != 1 {
		t.Fatalf("the update has %d transactions and so states between", n)
	}
	scratch(t, func(c *Conn) error {
		if err := c.Commit(Full(rs[0]), 0); err != nil {
			return err
		}
		// The sockets are made here, in the namespace.
		other, err := Open()
		if err != nil {
			return err
		}
		defer other.Close()
		done := make(chan error, 1)
		stop := make(chan struct{})
		go func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				if err := other.Commit(Update(wants[n%2], wants[(n+1)%2], rs[(n+1)%2]), 0); err != nil {
					done <- err
					return
				}
				runtime.Gosched()
			}
		}()
		var seen [2]int
		for range 300 {
			s, err := c.Dump(DumpOptions{})
			if errors.Is(err, ErrInterrupted) {
				continue // it says so, and gives nothing
			}
			if err != nil {
				return err
			}
			switch {
			case Compare(s, wants[0]) == nil:
				seen[0]++
			case Compare(s, wants[1]) == nil:
				seen[1]++
			default:
				return fmt.Errorf("neither the one nor the other:%s", showDifferences(Compare(s, wants[0])))
			}
		}
		close(stop)
		if err := <-done; err != nil {
			return err
		}
		if seen[0] == 0 || seen[1] == 0 {
			return fmt.Errorf("the one state was seen %d times, the other %d times", seen[0], seen[1])
		}
		return nil
	})
}

// When a later transaction of an update is refused, what the first has added is
// gone too.
func TestRefusedUpdateLeavesNothing(t *testing.T) {
	needKernel(t)
	old := &Ruleset{Chains: []*Chain{{Name: "stale"}, {Name: "in", Hook: "input"}}}
	new := &Ruleset{
		Sets: []*Set{{Name: "nets", Key: []KeyType{IPv4Addr}, Interval: true, Elements: []Element{{Keys: []KeyValue{pfx("10.0.0.0/8")}}}}},
		Chains: []*Chain{{Name: "in", Hook: "input", Rules: []*Rule{
			{Stmts: []Stmt{MatchAddrSet{V4, Source, "nets", false}, Verdict{Kind: Drop}}}}}},
	}
	scratch(t, func(c *Conn) error {
		if err := c.Commit(Full(old), 0); err != nil {
			return err
		}
		want, err := Desired(new, DumpOptions{})
		if err != nil {
			return err
		}
		live, err := c.Dump(DumpOptions{})
		if err != nil {
			return err
		}
		b := Update(live, want, new)
		if b.Transactions() != 2 {
			return fmt.Errorf("%d transactions", b.Transactions())
		}
		// Somebody uses the chain that the second transaction deletes.
		user := NewBatch(nil)
		user.AddChain(&Chain{Name: "user"})
		user.AddRule("user", &Rule{Stmts: []Stmt{Verdict{Goto, "stale"}}}, "")
		if err := c.Commit(user, 0); err != nil {
			return err
		}
		before, err := c.Dump(DumpOptions{})
		if err != nil {
			return err
		}
		if err := c.Commit(b, live.Generation); !errors.Is(err, ErrGeneration) {
			return fmt.Errorf("with a stale generation: %v", err)
		}
		if err := c.Commit(b, 0); !errors.Is(err, syscall.EBUSY) {
			return fmt.Errorf("with a chain in use: %v", err)
		}
		after, err := c.Dump(DumpOptions{})
		if err != nil {
			return err
		}
		return sameDump("the table after a refused update", "the table before", after, before)
	})
}

// Each transaction of an update expects the generation that the one before has
// left.
func TestGenerationOfSeveralTransactions(t *testing.T) {
	needKernel(t)
	scratch(t, func(c *Conn) error {
		b := &Batch{}
		b.AddTable("")
		b.Cut()
		b.AddChain(&Chain{Name: "a"})
		b.Cut()
		b.Cut()
		b.AddChain(&Chain{Name: "b"})
		if b.Transactions() != 3 || b.Len() != 3 {
			return fmt.Errorf("%d transactions, %d messages", b.Transactions(), b.Len())
		}
		gen, err := c.Generation()
		if err != nil {
			return err
		}
		if err := c.Commit(b, gen); err != nil {
			return err
		}
		after, err := c.Generation()
		if err == nil && after != gen+3 {
			err = fmt.Errorf("generation %d after %d", after, gen)
		}
		return err
	})
}

func TestScratch(t *testing.T) {
	needKernel(t)
	namespace := func() string {
		s, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := namespace()
	var inside string
	wrong := errors.New("wrong")
	if err := Scratch(func(*Conn) error { inside = namespace(); return wrong }); !errors.Is(err, wrong) {
		t.Errorf("the error is %v", err)
	}
	if inside == before || namespace() != before {
		t.Errorf("namespaces: before %s, inside %s, after %s", before, inside, namespace())
	}
	if err := Scratch(func(*Conn) error { runtime.Goexit(); return nil }); err == nil || !strings.Contains(err.Error(), "broken off") {
		t.Errorf("work that ends its goroutine: %v", err)
	}
	func() {
		defer func() {
			if p := recover(); p != "boom" {
				t.Errorf("a panic came out as %v", p)
			}
		}()
		_ = Scratch(func(*Conn) error { panic("boom") })
	}()
	// A socket that is closed says so, and closing it again is nothing.
	err := Scratch(func(c *Conn) error {
		if err := c.Close(); err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
		if _, err := c.Dump(DumpOptions{}); !errors.Is(err, syscall.EBADF) {
			return fmt.Errorf("a dump on a closed socket: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A batch with many mistakes reports each, with its label.
func TestManyErrors(t *testing.T) {
	needKernel(t)
	scratch(t, func(c *Conn) error {
		b := &Batch{}
		b.AddTable("")
		b.AddChain(&Chain{Name: "c"})
		const n = 2000
		for i := range n {
			b.AddRule("c", &Rule{Stmts: []Stmt{CountPacket{"none"}}}, fmt.Sprintf("line %d", i))
		}
		var refused *CommitError
		if err := c.Commit(b, 0); !errors.As(err, &refused) {
			return fmt.Errorf("got %v", err)
		}
		if len(refused.Failures) != n || refused.Failures[n-1].Label != fmt.Sprintf("line %d", n-1) {
			return fmt.Errorf("%d failures, the last is %v", len(refused.Failures), refused.Failures[len(refused.Failures)-1])
		}
		if text := refused.Error(); !strings.Contains(text, "1995 more") || strings.Count(text, "\n") > 8 {
			return fmt.Errorf("the message is %q", text)
		}
		return nil
	})
}
