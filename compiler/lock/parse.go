package lock

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"xfwc/lang/diag"
)

// maxSize bounds what Parse reads: far above any real federation.
const maxSize = 16 << 20

// maxDepth bounds nesting: the format itself needs five levels.
const maxDepth = 16

// Parse reads a lock. It never panics and reports every problem of one run as
// lock-invalid, with its place; the File holds what could be read, and is never
// nil. Fields that this version does not know are refused, because a compile
// that ignored a fact would not be the compile that the lock promises.
func Parse(name string, src []byte) (*File, []diag.Finding) {
	r := &reader{name: name, src: src}
	f := &File{Version: Version}
	if len(src) > maxSize {
		r.add(0, 1, fmt.Sprintf("the lock is larger than %d MiB", maxSize>>20))
		return f, r.found
	}
	root, ok := r.decode()
	if !ok {
		return f, r.found
	}
	r.file(f, root)
	f.Sort()
	diag.Sort(r.found)
	return f, r.found
}

// value is a JSON value with the place it was read from.
type value struct {
	start, end int
	kind       byte // '{', '[', 's', 'n', 'b', '0' (null)
	text       string
	flag       bool
	members    []member
	items      []*value
}

type member struct {
	start, end int // of the name
	name       string
	value      *value
}

type reader struct {
	name  string
	src   []byte
	lines []int // offsets of line starts, made at the first finding
	found []diag.Finding
}

func (r *reader) pos(offset int) diag.Pos {
	if r.lines == nil {
		r.lines = []int{0}
		for i, c := range r.src {
			if c == '\n' {
				r.lines = append(r.lines, i+1)
			}
		}
	}
	offset = max(0, min(offset, len(r.src)))
	line := sort.SearchInts(r.lines, offset+1)
	return diag.Pos{Filename: r.name, Offset: offset, Line: line, Column: offset - r.lines[line-1] + 1}
}

func (r *reader) span(start, end int) diag.Span {
	return diag.Span{Start: r.pos(start), End: r.pos(end)}
}

func (r *reader) add(start, end int, summary string) {
	r.found = append(r.found, diag.New("lock-invalid", r.span(start, end), summary))
}

func (r *reader) at(v *value, format string, args ...any) {
	r.add(v.start, v.end, fmt.Sprintf(format, args...))
}

// decode reads the tokens into values with places; a syntax error ends it.
func (r *reader) decode() (*value, bool) {
	d := json.NewDecoder(bytes.NewReader(r.src))
	d.UseNumber()
	v, err := r.next(d, 0)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return v, true
		}
		if err == nil {
			err = errors.New("text after the end of the lock")
		}
	}
	offset := int(d.InputOffset())
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		// The offset of a syntax error counts the character that is wrong.
		offset = max(int(syntax.Offset)-1, 0)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		offset = max(len(r.src)-1, 0)
		err = errors.New("the text ends early")
	}
	r.add(offset, offset+1, "not JSON: "+strings.TrimPrefix(err.Error(), "json: "))
	return nil, false
}

func (r *reader) next(d *json.Decoder, depth int) (*value, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	start := r.skip(int(d.InputOffset()))
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	v := &value{start: start, end: int(d.InputOffset())}
	switch t := t.(type) {
	case json.Delim:
		v.kind = byte(t)
		for d.More() {
			if v.kind == '[' {
				item, err := r.next(d, depth+1)
				if err != nil {
					return nil, err
				}
				v.items = append(v.items, item)
				continue
			}
			m := member{start: r.skip(int(d.InputOffset()))}
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			m.end = int(d.InputOffset())
			m.name, _ = key.(string) // the decoder allows nothing else here
			if m.value, err = r.next(d, depth+1); err != nil {
				return nil, err
			}
			v.members = append(v.members, m)
		}
		if _, err := d.Token(); err != nil {
			return nil, err
		}
		v.end = int(d.InputOffset())
	case string:
		v.kind, v.text = 's', t
	case json.Number:
		v.kind, v.text = 'n', t.String()
	case bool:
		v.kind, v.flag = 'b', t
	default:
		v.kind = '0'
	}
	return v, nil
}

// skip moves over what the decoder leaves before a token.
func (r *reader) skip(i int) int {
	for i < len(r.src) && strings.IndexByte(" \t\r\n,:", r.src[i]) >= 0 {
		i++
	}
	return i
}

// fields walks an object; read returns false for a name it does not know.
func (r *reader) fields(v *value, what string, required []string, read func(name string, v *value) bool) {
	if v.kind != '{' {
		r.at(v, "%s has to be an object", what)
		return
	}
	seen := map[string]bool{}
	for _, m := range v.members {
		if seen[m.name] {
			r.add(m.start, m.end, fmt.Sprintf("%s states %q twice", what, m.name))
			continue
		}
		seen[m.name] = true
		if !read(m.name, m.value) {
			r.add(m.start, m.end, fmt.Sprintf("%s has a field %q that this version does not know", what, m.name))
		}
	}
	for _, name := range required {
		if !seen[name] {
			r.add(v.start, v.start+1, fmt.Sprintf("%s lacks %q", what, name))
		}
	}
}

// entries walks an object whose names are facts rather than fields.
func (r *reader) entries(v *value, what string, read func(m member)) {
	if v.kind != '{' {
		r.at(v, "%s has to be an object", what)
		return
	}
	seen := map[string]bool{}
	for _, m := range v.members {
		if seen[m.name] {
			r.add(m.start, m.end, fmt.Sprintf("%s states %q twice", what, m.name))
			continue
		}
		seen[m.name] = true
		read(m)
	}
}

func (r *reader) number(v *value, what string, most uint64) uint64 {
	if v.kind == 'n' {
		if n, err := strconv.ParseUint(v.text, 10, 64); err == nil && n <= most {
			return n
		}
	}
	r.at(v, "%s has to be a whole number from 0 to %d", what, most)
	return 0
}

func (r *reader) string(v *value, what string) (string, bool) {
	if v.kind != 's' {
		r.at(v, "%s has to be a string", what)
		return "", false
	}
	return v.text, true
}

func (r *reader) file(f *File, root *value) {
	r.fields(root, "the lock", []string{"version"}, func(name string, v *value) bool {
		switch name {
		case "version":
			if n := r.number(v, "the version", 1<<31); n != Version && v.kind == 'n' {
				r.at(v, "the lock is of version %d, and this program reads version %d", n, Version)
			}
		case "peers":
			r.entries(v, "peers", func(m member) {
				if p := r.peer(m, false); p != nil {
					f.Peers = append(f.Peers, p)
				}
			})
		case "own":
			r.entries(v, "own", func(m member) {
				if p := r.peer(m, true); p != nil {
					f.Own = append(f.Own, p)
				}
			})
		case "feeds":
			r.entries(v, "feeds", func(m member) {
				if d := r.feed(m); d != nil {
					f.Feeds = append(f.Feeds, d)
				}
			})
		default:
			return false
		}
		return true
	})
}

// peer reads a peer, or a domain of the policy's own, which has records for
// clients as well.
func (r *reader) peer(m member, own bool) *Peer {
	before := len(r.found)
	p := &Peer{Domain: m.name, DNSSEC: "unknown", Span: r.span(m.start, m.value.end)}
	if !validHost(m.name) {
		r.add(m.start, m.end, fmt.Sprintf("%q is no domain in lower-case ASCII", m.name))
	}
	what, services := "peer "+m.name, []string{Server, ServerTLS}
	if own {
		what, services = "domain "+m.name, []string{Server, ServerTLS, Client, ClientTLS}
	}
	r.fields(m.value, what, []string{"addresses"}, func(name string, v *value) bool {
		switch name {
		case "srv":
			if v.kind != '[' {
				r.at(v, "srv of %s has to be a list", what)
				break
			}
			for _, item := range v.items {
				r.srv(p, item, what, services)
			}
		case "fallback":
			if v.kind != 'b' {
				r.at(v, "fallback of %s has to be true or false", what)
			}
			p.Fallback = v.flag
		case "xmppconnect":
			if !own {
				return false
			}
			if v.kind != 'b' {
				r.at(v, "xmppconnect of %s has to be true or false", what)
			}
			p.Connect = v.flag
		case "addresses":
			r.entries(v, "addresses of "+what, func(m member) { r.host(p, m) })
		case "dnssec":
			s, _ := r.string(v, "dnssec of "+what)
			if !slices.Contains([]string{"secure", "insecure", "bogus", "unknown"}, s) {
				r.at(v, "dnssec of %s has to be secure, insecure, bogus or unknown", what)
			}
			p.DNSSEC = s
		default:
			return false
		}
		return true
	})
	if p.Fallback && len(p.Records(Server))+len(p.Records(ServerTLS)) > 0 {
		r.add(m.start, m.end, fmt.Sprintf("%s has SRV records and a fallback, which is for peers without any", what))
	}
	for _, h := range p.Hosts {
		if h.Target != p.Domain && !slices.ContainsFunc(p.SRV, func(s SRV) bool { return s.Target == h.Target }) {
			r.add(m.start, m.end, fmt.Sprintf("%s has addresses of %s, which no record names", what, h.Target))
		}
	}
	if len(r.found) > before {
		return nil
	}
	return p
}

func (r *reader) srv(p *Peer, v *value, what string, services []string) {
	var s SRV
	var port *value
	r.fields(v, "an SRV record of "+what, []string{"service", "target", "port"}, func(name string, v *value) bool {
		switch name {
		case "service":
			s.Service, _ = r.string(v, "the service")
			if v.kind == 's' && !slices.Contains(services, s.Service) {
				r.at(v, "the service has to be %s", strings.Join(services, " or "))
			}
		case "target":
			s.Target, _ = r.string(v, "the target")
			if v.kind == 's' && s.Target != "." && !validHost(s.Target) {
				r.at(v, "%q is no host name in lower-case ASCII", s.Target)
			}
		case "port":
			port = v
			s.Port = uint16(r.number(v, "the port", 65535))
		case "priority":
			s.Priority = uint16(r.number(v, "the priority", 65535))
		case "weight":
			s.Weight = uint16(r.number(v, "the weight", 65535))
		case "ttl":
			s.TTL = uint32(r.number(v, "the TTL", 1<<31-1))
		default:
			return false
		}
		return true
	})
	if port != nil && port.text == "0" && s.Target != "." {
		r.at(port, "port 0 is for the target \".\" alone")
	}
	p.SRV = append(p.SRV, s)
}

func (r *reader) host(p *Peer, m member) {
	h := Host{Target: m.name}
	if !validHost(m.name) {
		r.add(m.start, m.end, fmt.Sprintf("%q is no host name in lower-case ASCII", m.name))
	}
	if m.value.kind != '[' {
		r.at(m.value, "the addresses of %s have to be a list", m.name)
		return
	}
	for _, v := range m.value.items {
		s, ok := r.string(v, "an address of "+m.name)
		if !ok {
			continue
		}
		a, err := netip.ParseAddr(s)
		switch {
		case err != nil || a.Zone() != "" || a.Is4In6():
			r.at(v, "%q is no IPv4 or IPv6 address", s)
		case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback():
			r.at(v, "%s cannot be the address of a peer", s)
		case slices.Contains(h.Addresses, a):
			r.at(v, "%s is listed twice", s)
		default:
			h.Addresses = append(h.Addresses, a)
		}
	}
	p.Hosts = append(p.Hosts, h)
}

func (r *reader) feed(m member) *Feed {
	before := len(r.found)
	d := &Feed{Path: m.name, Span: r.span(m.start, m.value.end)}
	if m.name == "" {
		r.add(m.start, m.end, "a feed has an empty path")
	}
	r.fields(m.value, "feed "+m.name, []string{"digest"}, func(name string, v *value) bool {
		switch name {
		case "digest":
			d.Digest, _ = r.string(v, "the digest")
			hex, ok := strings.CutPrefix(d.Digest, "sha256:")
			if v.kind == 's' && (!ok || len(hex) != 64 || strings.ContainsFunc(hex, notHex)) {
				r.at(v, "the digest has to be sha256: and 64 hexadecimal digits")
			}
		case "entries":
			d.Entries = int(r.number(v, "the number of entries", 1<<31-1))
		case "date":
			d.Date, _ = r.string(v, "the date")
			if _, err := time.Parse(time.DateOnly, d.Date); v.kind == 's' && err != nil {
				r.at(v, "the date has to be written as 2027-01-31")
			}
		case "sketch":
			r.sketch(d, v)
		default:
			return false
		}
		return true
	})
	if len(r.found) > before {
		return nil
	}
	return d
}

// sketch reads what Format writes: 64-bit numbers in rising order.
func (r *reader) sketch(d *Feed, v *value) {
	text, ok := r.string(v, "the sketch")
	if !ok {
		return
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	d.Sketch = make([]uint64, 0, len(raw)/8)
	for i := 0; i+8 <= len(raw); i += 8 {
		d.Sketch = append(d.Sketch, binary.BigEndian.Uint64(raw[i:]))
	}
	rising := slices.IsSorted(d.Sketch) && len(slices.Compact(slices.Clone(d.Sketch))) == len(d.Sketch)
	if err != nil || len(raw)%8 != 0 || len(d.Sketch) > SketchSize || !rising {
		r.at(v, "the sketch has to be at most %d rising 64-bit numbers in Base64", SketchSize)
	}
}

// validHost accepts host names of RFC 1123 section 2.1 in lower case, also with
// the underscores that DNS labels may have.
func validHost(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(label, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_'
		}) {
			return false
		}
	}
	return true
}

func notHex(c rune) bool { return (c < '0' || c > '9') && (c < 'a' || c > 'f') }
