package nftables

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// Each random case starts namespaces and runs nft: fewer of them than rapid's
// own default, unless -rapid.checks says otherwise.
func TestMain(m *testing.M) {
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "rapid.checks" })
	if !set {
		_ = flag.Set("rapid.checks", "25")
		_ = flag.Set("rapid.nofailfile", "true")
		_ = flag.Set("rapid.shrinktime", "10s")
	}
	os.Exit(m.Run())
}

// state is all that a namespace shows of the table.
type state struct {
	listing string
	dump    *Snapshot
}

func observe(c *Conn) (state, error) {
	s, err := c.Dump(DumpOptions{})
	if err != nil {
		return state{}, err
	}
	l, err := list()
	return state{l, s}, err
}

// same compares what two namespaces show, the dump also beyond what Compare
// looks at.
func same(nameA, nameB string, a, b state) error {
	if a.listing != b.listing {
		return fmt.Errorf("nft lists %s and %s differently:\n%s", nameA, nameB, cmp.Diff(a.listing, b.listing))
	}
	return sameDump(nameA, nameB, a.dump, b.dump)
}

func sameDump(nameA, nameB string, a, b *Snapshot) error {
	if ds := Compare(a, b); ds != nil {
		return fmt.Errorf("Compare finds %s and %s different: %s", nameA, nameB, showDifferences(ds))
	}
	// The notes of what exists are not compared: the kernel keeps old ones.
	ignore := cmp.Options{cmpopts.IgnoreFields(Snapshot{}, "Generation"), cmpopts.IgnoreFields(Object{}, "Raw", "Note"),
		cmpopts.IgnoreFields(Item{}, "Raw", "Handle"), cmpopts.EquateEmpty()}
	if d := cmp.Diff(a, b, ignore); d != "" {
		return fmt.Errorf("the dumps of %s and %s differ:\n%s", nameA, nameB, d)
	}
	return nil
}

func showDifferences(ds []Difference) string {
	var b strings.Builder
	for _, d := range ds {
		fmt.Fprintf(&b, "\n%s %s %s definition=%v elements=%v reordered=%v", d.Change, d.Kind, d.Name, d.Definition, d.Elements, d.Reordered)
		if d.Live != nil && d.Want != nil && d.Definition {
			fmt.Fprintf(&b, "\n  live %q %q\n  want %q %q", d.Live.Head, d.Live.Comment, d.Want.Head, d.Want.Comment)
		}
		for _, it := range d.Extra {
			fmt.Fprintf(&b, "\n  extra %s # %s", it.Text, it.Comment)
		}
		for _, it := range d.Lacks {
			fmt.Fprintf(&b, "\n  lacks %s # %s", it.Text, it.Comment)
		}
	}
	return b.String()
}

// threeLoads loads a ruleset as text, as text twice, and by netlink, and holds
// the results against each other.
func threeLoads(r *Ruleset) error {
	if err := r.Validate(); err != nil {
		return err
	}
	var once, twice, direct state
	err := Scratch(func(c *Conn) (err error) {
		if err := loadText(r.Text()); err != nil {
			return err
		}
		if once, err = observe(c); err != nil {
			return err
		}
		if err := loadText(r.Text()); err != nil {
			return err
		}
		twice, err = observe(c)
		return err
	})
	if err != nil {
		return err
	}
	err = Scratch(func(c *Conn) (err error) {
		if err := c.Commit(Full(r), 0); err != nil {
			return err
		}
		direct, err = observe(c)
		return err
	})
	if err != nil {
		return err
	}
	if err := same("the text", "the text loaded twice", once, twice); err != nil {
		return err
	}
	return same("the text", "netlink", once, direct)
}

func TestTextEqualsNetlink(t *testing.T) {
	needNft(t)
	for _, c := range []struct {
		name string
		r    *Ruleset
	}{
		{"everything", everything()},
		{"nothing", &Ruleset{}},
		{"only a comment", &Ruleset{Comment: "x"}},
		{"odd comments", oddComments()},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := threeLoads(c.r); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// oddComments has comments and prefixes that nft cannot take as they are.
func oddComments() *Ruleset {
	r := &Ruleset{Comment: "a \"quoted\" $variable"}
	c := &Chain{Name: "c", Comment: strings.Repeat("ü", 300)}
	for _, s := range []string{`"`, `\`, "a\nb", "a\x00b", "\xff\xfe", "; drop", "} table inet x {", "#", "$x ${x}", "`id`", "*", "@x",
		strings.Repeat("x", 127), strings.Repeat("x", 128), strings.Repeat("x", 129), " ", "日本"} {
		c.Rules = append(c.Rules, &Rule{Stmts: []Stmt{LogPacket{Prefix: s}}, Comment: s})
		r.Counters = append(r.Counters, &Counter{Name: fmt.Sprintf("c%d", len(r.Counters)), Comment: s})
		r.Sets = append(r.Sets, &Set{Name: fmt.Sprintf("s%d", len(r.Sets)), Key: []KeyType{IPv4Addr}, Comment: s})
	}
	r.Chains = []*Chain{c}
	return r
}

func TestRandomTextEqualsNetlink(t *testing.T) {
	needNft(t)
	rapid.Check(t, func(t *rapid.T) {
		r := ruleset(false).Draw(t, "ruleset")
		if err := threeLoads(r); err != nil {
			t.Fatalf("%v\n%s", err, r.Text())
		}
	})
}

// A text loaded over the table of another gives what it gives on its own,
// except for what it does not speak of: that stays, without rules.
func TestTextOverAnotherTable(t *testing.T) {
	needNft(t)
	rapid.Check(t, func(t *rapid.T) {
		old, new := ruleset(true).Draw(t, "old"), ruleset(true).Draw(t, "new")
		want, err := Desired(new, DumpOptions{})
		if err != nil {
			t.Fatalf("%v\n%s", err, new.Text())
		}
		var got *Snapshot
		err = Scratch(func(c *Conn) (err error) {
			if err := loadText(old.Text()); err != nil {
				return err
			}
			if err := loadText(new.Text()); err != nil {
				return err
			}
			got, err = c.Dump(DumpOptions{})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range Compare(got, want) {
			if d.Change == Foreign && (d.Kind != kindChain || len(d.Live.Items) == 0) {
				continue
			}
			t.Fatalf("%s\n%s\n%s", showDifferences([]Difference{d}), old.Text(), new.Text())
		}
	})
}

// Every statement type is in the ruleset that the tests load.
func TestEverythingIsThere(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "ruleset.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "isStmt" {
			want[f.Recv.List[0].Type.(*ast.Ident).Name] = true
		}
	}
	if len(want) < 20 {
		t.Fatalf("only %d statement types found", len(want))
	}
	keys := map[KeyType]bool{}
	r := everything()
	for _, s := range r.Sets {
		for _, k := range s.Key {
			keys[k] = true
		}
	}
	for _, c := range r.Chains {
		for _, rule := range c.Rules {
			for _, s := range rule.Stmts {
				delete(want, reflect.TypeOf(s).Name())
			}
		}
	}
	for s := range want {
		t.Errorf("no rule has a %s", s)
	}
	for k := range keyTypes {
		if !keys[k] {
			t.Errorf("no set has the key type %s", keyTypes[k].name)
		}
	}
}

// The text is what people review: its form is held by a golden.
func TestTextGolden(t *testing.T) {
	path := filepath.Join("testdata", "everything.nft")
	got := everything().Text()
	if os.Getenv("XFWC_UPDATE") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the text differs from %s (XFWC_UPDATE=1 rewrites it):\n%s", path, cmp.Diff(string(want), string(got)))
	}
}
