package deploy

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"xfwc/backends/nftables"
	"xfwc/compiler/ir"
)

// compare lists how the live table differs from the wanted one, in the order of
// the table: the table itself, counters, sets, chains with their rules. It
// loads the wanted ruleset into a namespace of its own for that, unless the
// target has its canonical form already.
func compare(m Reader, live *nftables.Snapshot, t *target) ([]Change, error) {
	switch {
	case t.want == nil && !live.Exists:
		if err := t.load(m, t.large); err != nil {
			return nil, err
		}
		t.lean = true
	case t.want == nil || t.lean && live.Exists:
		if err := t.load(m, t.skip); err != nil {
			return nil, err
		}
	}
	return differences(m, live, t, sampleSize)
}

// differences is compare for a target that has its canonical form. Of a set that
// is not read, as many elements are looked up as sample says.
func differences(m Reader, live *nftables.Snapshot, t *target, sample int) ([]Change, error) {
	c := &comparison{t: t, live: live, want: t.want, liveUse: users(live), wantUse: users(t.want)}
	if !live.Exists {
		c.add(Change{
			Class: Missing, Kind: "table", Object: nftables.TableName,
			Text: "table inet " + nftables.TableName + " is gone: nothing of the policy is in force",
			Step: "add table inet " + nftables.TableName,
		})
		return c.out, nil
	}
	c.objects()
	if err := c.samples(m, sample); err != nil {
		return nil, err
	}
	return c.out, nil
}

// digestChain is where the table keeps the digests of large sets; no packet
// comes there.
const digestChain = "xfwc.digests"

type comparison struct {
	t          *target
	live, want *nftables.Snapshot
	// liveUse and wantUse say which policy line uses an object, by kind and name.
	liveUse, wantUse map[string]string
	out              []Change
	// unread are the large sets whose definition, digest and count are right.
	unread []*nftables.Set
}

func (c *comparison) add(ch Change) {
	ch.Witness = c.t.decisions.witness(ch)
	c.out = append(c.out, ch)
}

// objects walks both lists, which are in the same order.
func (c *comparison) objects() {
	live, want := c.live.Objects, c.want.Objects
	for len(live) > 0 || len(want) > 0 {
		order := 0
		switch {
		case len(live) == 0:
			order = 1
		case len(want) == 0:
			order = -1
		default:
			order = cmp.Or(cmp.Compare(kindRank(live[0].Kind), kindRank(want[0].Kind)),
				cmp.Compare(live[0].Kind, want[0].Kind), cmp.Compare(live[0].Name, want[0].Name))
		}
		switch {
		case order < 0:
			c.foreign(&live[0])
			live = live[1:]
		case order > 0:
			c.missing(&want[0])
			want = want[1:]
		default:
			c.both(&live[0], &want[0])
			live, want = live[1:], want[1:]
		}
	}
}

// kindRank is the order of kinds in a snapshot.
func kindRank(kind string) int {
	if i := slices.Index([]string{"table", "counter", "set", "chain"}, kind); i >= 0 {
		return i
	}
	return 4
}

func (c *comparison) foreign(o *nftables.Object) {
	once := c.liveUse[o.Kind+" "+o.Name]
	if o.Kind == "set" {
		once = cmp.Or(once, noFeed(o.Note))
	}
	name := o.Kind + " " + o.Name
	step := "remove " + named(name, once)
	ch := Change{
		Class: Foreign, Kind: o.Kind, Object: o.Name, Live: o.Head, note: once,
		Text: name + " is foreign: nothing of the policy asks for it",
		Step: step,
	}
	if hook := field(o.Head, "hook"); o.Kind == "chain" && hook != "" {
		ch.Text = fmt.Sprintf("%s is foreign: it judges packets on the hook %s with %d rule(s), and nothing of the policy asks for it", name, hook, len(o.Items))
	}
	c.add(ch)
}

func (c *comparison) missing(o *nftables.Object) {
	c.add(Change{
		Class: Missing, Kind: o.Kind, Object: o.Name, Origin: c.origin(o), Wanted: o.Head,
		Text: c.object(o) + " is missing",
		Step: "add " + c.object(o),
	})
	if o.Kind == "chain" && o.Name != digestChain {
		for i := range o.Items {
			c.missingRule(o, i)
		}
	}
}

func (c *comparison) both(live, want *nftables.Object) {
	if live.Head != want.Head {
		c.head(live, want)
	}
	switch {
	case want.Kind == "chain" && want.Name == digestChain:
		// What it holds is told of the sets that it is about.
	case want.Kind == "chain":
		c.rules(live, want)
	case want.Kind != "set":
	case live.Comment != want.Comment:
		c.digest(live, want)
	case live.Skipped != want.Skipped || want.Skipped && !c.dynamic(want.Name):
		c.unreadSet(live, want)
	default:
		c.elements(live, want)
	}
}

func (c *comparison) dynamic(set string) bool {
	s := c.t.sets[set]
	return s != nil && s.Dynamic
}

// object names a thing as the policy would.
func (c *comparison) object(o *nftables.Object) string {
	if o.Kind == "table" {
		return "table inet " + o.Name
	}
	return named(o.Kind+" "+o.Name, c.origin(o))
}

// elementOrigin is the policy line of an element: in a verdict map that of the
// chain that it leads to.
func (c *comparison) elementOrigin(set *nftables.Object, want *nftables.Item) string {
	if want != nil {
		for _, verdict := range []string{" : goto ", " : jump "} {
			if _, chain, ok := strings.Cut(want.Text, verdict); ok {
				return cmp.Or(c.wantUse["chain "+chain], c.origin(set))
			}
		}
	}
	return c.origin(set)
}

// named adds to a name what it is of: "set net_drop_v4 of network drop (policy.xfw:9)".
func named(name, origin string) string {
	line, label := splitOrigin(origin)
	switch {
	case line != "" && label != "":
		return fmt.Sprintf("%s of %s (%s)", name, label, line)
	case label != "":
		return fmt.Sprintf("%s (%s)", name, label)
	case line != "":
		return fmt.Sprintf("%s (%s)", name, line)
	}
	return name
}

// origin is the policy line that a wanted object comes from.
func (c *comparison) origin(o *nftables.Object) string {
	use := c.wantUse[o.Kind+" "+o.Name]
	if o.Kind == "set" {
		return cmp.Or(c.t.origins[o.Name], use, noFeed(o.Note))
	}
	return use
}

// noFeed leaves the digest of a feed out, which tells people nothing.
func noFeed(comment string) string {
	if strings.HasPrefix(comment, "feed ") {
		return ""
	}
	return comment
}

// users finds, for every set, counter and chain of a table, the policy line of
// the rules that use it, or for a chain that it consists of. Where several do,
// the chain's last rule and else the first user decides.
func users(s *nftables.Snapshot) map[string]string {
	out := map[string]string{}
	note := func(kind, name, origin string) {
		if _, ok := out[kind+" "+name]; !ok {
			out[kind+" "+name] = origin
		}
	}
	for _, o := range s.Objects {
		if o.Kind != "chain" {
			continue
		}
		for _, i := range slices.Backward(o.Items) {
			if line, _ := splitOrigin(i.Comment); line != "" {
				note("chain", o.Name, i.Comment)
				break
			}
		}
		for _, i := range o.Items {
			if line, _ := splitOrigin(i.Comment); line == "" {
				continue
			}
			for _, word := range strings.Fields(i.Text) {
				if set, ok := strings.CutPrefix(word, "set=@"); ok {
					note("set", strings.TrimRight(set, ";}"), i.Comment)
				}
				if name, ok := strings.CutPrefix(word, "name="); ok {
					note("counter", strings.Trim(name, `";`), i.Comment)
				}
			}
		}
	}
	return out
}

// head says which parts of a definition differ.
func (c *comparison) head(live, want *nftables.Object) {
	l, w := fields(live.Head), fields(want.Head)
	var what, texts []string
	for _, k := range slices.Sorted(keysOf(l, w)) {
		if l[k] == w[k] {
			continue
		}
		what = append(what, k)
		if want.Kind == "table" && k == "flags" && hasBit(l[k], tableDormant) && !hasBit(w[k], tableDormant) {
			texts = append(texts, "it is dormant, none of its rules is in force")
			continue
		}
		texts = append(texts, fmt.Sprintf("%s changed from %s to %s", strings.ReplaceAll(k, "_", " "),
			readable(want.Kind, k, w[k]), readable(want.Kind, k, l[k])))
	}
	ch := Change{
		Class: Changed, Kind: want.Kind, Object: want.Name, Origin: c.origin(want), What: strings.Join(what, ", "),
		Live: live.Head, Wanted: want.Head,
		Text: c.object(want) + ": " + strings.Join(texts, "; "),
		Step: "change " + strings.Join(what, ", ") + " of " + c.object(want),
	}
	c.add(ch)
}

// digest reports a large set of which the recorded digest is another one.
func (c *comparison) digest(live, want *nftables.Object) {
	c.add(Change{
		Class: Changed, Kind: "set", Object: want.Name, Origin: c.origin(want), What: "digest", Live: live.Comment, Wanted: want.Comment,
		Text: fmt.Sprintf("%s holds other elements: %s instead of %s", c.object(want), cmp.Or(live.Comment, "no digest"), cmp.Or(want.Comment, "no digest")),
		Step: "replace the elements of " + c.object(want),
	})
}

// unreadSet compares a set that is too large to read by its count; samples
// looks into it.
func (c *comparison) unreadSet(live, want *nftables.Object) {
	if live.Count >= 0 && want.Count >= 0 && live.Count != want.Count {
		c.add(Change{
			Class: Changed, Kind: "set", Object: want.Name, Origin: c.origin(want), What: "elements",
			Live: strconv.Itoa(live.Count), Wanted: strconv.Itoa(want.Count),
			Text: fmt.Sprintf("%s has %d elements instead of %d", c.object(want), live.Count, want.Count),
			Step: fmt.Sprintf("replace the elements of %s", c.object(want)),
		})
		return
	}
	if s := c.t.sets[want.Name]; s != nil {
		c.unread = append(c.unread, s)
	}
}

// samples looks up members of the sets that were not read.
func (c *comparison) samples(m Reader, size int) error {
	for _, s := range c.unread {
		sample := make([]nftables.Element, 0, size)
		if len(s.Elements) <= size {
			sample = append(sample, s.Elements...)
		} else {
			for range size {
				sample = append(sample, s.Elements[rand.IntN(len(s.Elements))])
			}
		}
		missing, err := m.Missing(s, sample)
		if err != nil {
			return kernelError("look up elements in", err)
		}
		if len(missing) == 0 {
			continue
		}
		o := c.want.Object("set", s.Name)
		c.add(Change{
			Class: Changed, Kind: "set", Object: s.Name, Origin: c.origin(o), What: "elements",
			Text: fmt.Sprintf("%s lacks %d of %d elements that were looked up, such as %s", c.object(o), len(missing), len(sample), elementText(missing[0])),
			Step: "replace the elements of " + c.object(o),
		})
	}
	return nil
}

func elementText(e nftables.Element) string {
	var parts []string
	for _, k := range e.Keys {
		switch {
		case k.AddrTo.IsValid():
			parts = append(parts, k.Addr.String()+"-"+k.AddrTo.String())
		case k.Addr.IsValid():
			parts = append(parts, k.Addr.String())
		case k.Name != "":
			parts = append(parts, k.Name)
		default:
			parts = append(parts, strconv.Itoa(int(k.Num)))
		}
	}
	return strings.Join(parts, " . ")
}

// elements compares two sets that were read, in the order of their keys. An
// element whose key is in both, with another verdict or lifetime, is changed.
func (c *comparison) elements(live, want *nftables.Object) {
	type pair struct{ live, want *nftables.Item }
	byKey := map[string]*pair{}
	var order []string
	note := func(items []nftables.Item, put func(*pair, *nftables.Item)) {
		for i := range items {
			k := elementKey(items[i].Text)
			if byKey[k] == nil {
				byKey[k] = &pair{}
				order = append(order, k)
			}
			put(byKey[k], &items[i])
		}
	}
	note(want.Items, func(p *pair, i *nftables.Item) { p.want = i })
	note(live.Items, func(p *pair, i *nftables.Item) { p.live = i })
	set := c.object(want)
	for _, k := range order {
		p := byKey[k]
		ch := Change{Kind: "element", Object: want.Name, Origin: c.elementOrigin(want, p.want)}
		switch {
		case p.live == nil:
			ch.Class, ch.Wanted = Missing, p.want.Text
			ch.Text = fmt.Sprintf("element %s was removed from %s", p.want.Text, set)
			ch.Step = fmt.Sprintf("add element %s to %s", p.want.Text, set)
		case p.want == nil:
			ch.Class, ch.Live = Foreign, p.live.Text
			ch.Text = fmt.Sprintf("element %s was added to %s", p.live.Text, set)
			ch.Step = fmt.Sprintf("remove element %s from %s", p.live.Text, set)
		case p.live.Text != p.want.Text:
			ch.Class, ch.Live, ch.Wanted = Changed, p.live.Text, p.want.Text
			ch.Text = fmt.Sprintf("element %s of %s was changed to %s", p.want.Text, set, p.live.Text)
			ch.Step = fmt.Sprintf("change element %s of %s to %s", p.live.Text, set, p.want.Text)
		case p.live.Comment != p.want.Comment:
			ch.Class, ch.What, ch.Live, ch.Wanted = Changed, "comment", p.live.Comment, p.want.Comment
			ch.Text = fmt.Sprintf("the comment of element %s of %s was changed to %q", p.want.Text, set, p.live.Comment)
			ch.Step = fmt.Sprintf("restore element %s of %s", p.want.Text, set)
		default:
			continue
		}
		c.add(ch)
	}
}

// elementKey is the text of an element up to what is said of it.
func elementKey(text string) string {
	for _, stop := range []string{" : ", " timeout ", " flags=", " {", " attribute"} {
		if i := strings.Index(text, stop); i >= 0 {
			text = text[:i]
		}
	}
	return text
}

// splitOrigin parts "policy.xfw:12 clients of chat" into line and statement;
// line is "" for what is no policy line.
func splitOrigin(origin string) (line, label string) {
	first, rest, _ := strings.Cut(origin, " ")
	file, number, ok := strings.Cut(first, ":")
	if _, err := strconv.Atoi(number); !ok || file == "" || err != nil {
		return "", origin
	}
	return first, rest
}

// fields reads the name=value words of a definition; a word without a value
// has itself as value. Values in braces are kept whole.
func fields(head string) map[string]string {
	out := map[string]string{}
	for len(head) > 0 {
		head = strings.TrimLeft(head, " ")
		depth, end := 0, 0
		for ; end < len(head); end++ {
			switch head[end] {
			case '{':
				depth++
			case '}':
				depth--
			}
			if head[end] == ' ' && depth <= 0 {
				break
			}
		}
		if word := head[:end]; word != "" {
			k, v, ok := strings.Cut(word, "=")
			if !ok {
				v = k
			}
			out[k] = v
		}
		head = head[end:]
	}
	return out
}

func field(head, name string) string { return fields(head)[name] }

func keysOf(a, b map[string]string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range a {
			if !yield(k) {
				return
			}
		}
		for k := range b {
			if _, both := a[k]; !both && !yield(k) {
				return
			}
		}
	}
}

const tableDormant = 1

func hasBit(number string, bit int) bool {
	n, err := strconv.Atoi(number)
	return err == nil && n&bit != 0
}

// setFlags are the bits of NFTA_SET_FLAGS in nft's words, linux/netfilter/nf_tables.h.
var setFlags = []struct {
	bit  int
	name string
}{{2, "constant"}, {4, "interval"}, {8, "map"}, {16, "timeout"}, {32, "dynamic"}, {64, "object"}, {128, "concat"}}

// readable gives the kernel's numbers in nft's words.
func readable(kind, key, value string) string {
	switch {
	case value == "":
		return "none"
	case kind == "chain" && key == "policy" && value == "0":
		return "drop"
	case kind == "chain" && key == "policy" && value == "1":
		return "accept"
	case kind == "set" && key == "flags":
		var names []string
		for _, f := range setFlags {
			if hasBit(value, f.bit) {
				names = append(names, f.name)
			}
		}
		return cmp.Or(strings.Join(names, ","), "none")
	}
	return value
}

// canonicalText is a snapshot as text, for digests and diffs. Comments that are
// only for people are left out, as they are from comparisons.
func canonicalText(s *nftables.Snapshot) []byte {
	var b bytes.Buffer
	for _, o := range s.Objects {
		fmt.Fprintf(&b, "%s %s: %s", o.Kind, o.Name, o.Head)
		if o.Comment != "" {
			fmt.Fprintf(&b, " comment %q", o.Comment)
		}
		if o.Skipped && o.Count > 0 {
			fmt.Fprintf(&b, " elements %d", o.Count)
		}
		b.WriteByte('\n')
		for _, i := range o.Items {
			b.WriteString("    " + i.Text)
			if i.Comment != "" {
				fmt.Fprintf(&b, " comment %q", i.Comment)
			}
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// baseChains lists the live chains that stand on a hook.
func baseChains(s *nftables.Snapshot) []baseChain {
	var out []baseChain
	for _, o := range s.Objects {
		if hook := field(o.Head, "hook"); o.Kind == "chain" && hook != "" {
			out = append(out, baseChain{o.Name, hook})
		}
	}
	return out
}

// setOrigins says which policy line each set of a ruleset comes from: the
// backend names sets after address sets, by family and kind of member.
func setOrigins(d decisions) map[string]string {
	origins := map[string]string{}
	note := func(s *ir.AddrSet) {
		if s == nil {
			return
		}
		for _, suffix := range []string{"_v4", "_v6", "_v4_nets", "_v6_nets"} {
			origins[s.Name+suffix] = originText(s.Origin)
		}
	}
	entry := func(e *ir.Entry) {
		if e != nil {
			note(e.Match.Src)
			note(e.Match.Dst)
		}
	}
	if d.policy == nil {
		return origins
	}
	for _, g := range d.policy.Guards {
		if g.Point != d.point {
			continue
		}
		for _, e := range g.Confine {
			entry(e)
		}
		for _, s := range g.Services {
			note(s.Addrs)
			for _, e := range s.Entries {
				entry(e)
			}
			entry(s.Rest)
		}
	}
	return origins
}
