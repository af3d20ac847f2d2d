package haproxy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The typed writer. A configuration is lines of words. A word is either a
// constant of this package's source or made by one of the functions here, each
// of which gives text that HAProxy reads as exactly one argument, or refuses.

// word is one argument as it stands in the file. Constants become words by
// themselves; a string has to go through a function that returns one.
type word string

// maxWords is how many arguments HAProxy takes in a line (MAX_LINE_ARGS).
const maxWords = 64

var (
	errEmpty   = errors.New("an empty value would end HAProxy's list of arguments")
	errControl = errors.New("the value holds a control character, a line break, or is not UTF-8")
	errName    = errors.New("the name holds a character other than letters, digits, dot, hyphen and underscore, or is longer than 64 bytes")
	errPath    = errors.New("the path is not an absolute path of RFC 3986 section 3.3")
	errMethod  = errors.New("the method is not one of letters")
	errHost    = errors.New("the host is not a domain name")
	errOrigin  = errors.New("the origin is not a scheme with a domain name")
	errAddress = errors.New("the address is not one that a socket can have")
	errPort    = errors.New("the port is 0")
)

// config collects the lines of a file. The first error stays, and makes the
// whole file invalid.
type config struct {
	b   bytes.Buffer
	err error
}

// section begins a section.
func (c *config) section(words ...word) {
	c.b.WriteByte('\n')
	c.write("", words)
}

// line writes a line of a section.
func (c *config) line(words ...word) { c.write("    ", words) }

func (c *config) write(indent string, words []word) {
	if len(words) > maxWords && c.err == nil {
		c.err = fmt.Errorf("a line has %d words, HAProxy reads %d", len(words), maxWords)
	}
	c.b.WriteString(indent)
	for i, w := range words {
		if w == "" && c.err == nil {
			c.err = errEmpty
		}
		if i > 0 {
			c.b.WriteByte(' ')
		}
		c.b.WriteString(string(w))
	}
	c.b.WriteByte('\n')
}

// comment writes a comment line.
func (c *config) comment(s string) { c.b.WriteString("    # " + printable(s) + "\n") }

// note keeps the error of a value and passes the word on.
func (c *config) note(w word, err error) word {
	if err != nil && c.err == nil {
		c.err = err
	}
	if err != nil {
		return "invalid"
	}
	return w
}

func (c *config) name(s string) word                 { return c.note(name(s)) }
func (c *config) quoted(s string) word               { return c.note(quoted(s)) }
func (c *config) path(s string) word                 { return c.note(path(s)) }
func (c *config) method(s string) word               { return c.note(method(s)) }
func (c *config) host(s string) word                 { return c.note(host(s)) }
func (c *config) origin(s string) word               { return c.note(origin(s)) }
func (c *config) prefix(p netip.Prefix) word         { return c.note(prefix(p)) }
func (c *config) socket(a netip.Addr, p uint16) word { return c.note(socket(a, p)) }

// printable makes text fit a comment: one line of ASCII.
func printable(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c > '~' || c == '\\' {
			b[i] = '_'
		}
	}
	return string(b)
}

// name makes the name of a section, an ACL or a server.
func name(s string) (word, error) {
	if s == "" || len(s) > 64 {
		return "", errName
	}
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '.' && c != '-' && c != '_' {
			return "", errName
		}
	}
	return word(s), nil
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// quoted makes a value in strong quotes, within which HAProxy gives no
// character a meaning but the closing quote.
func quoted(s string) (word, error) {
	if s == "" {
		return "", errEmpty
	}
	if !utf8.ValidString(s) {
		return "", errControl
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return "", errControl
		}
	}
	return word("'" + strings.ReplaceAll(s, "'", `'\''`) + "'"), nil
}

// path makes a URL path as it stands on the wire. Anything that a request
// cannot hold there would be a rule that never matches.
func path(s string) (word, error) {
	if len(s) > 1024 || !strings.HasPrefix(s, "/") {
		return "", errPath
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case alphanumeric(c), strings.IndexByte("/-._~!$&'()*+,;=:@", c) >= 0:
		case c == '%' && i+2 < len(s) && hexDigit(s[i+1]) && hexDigit(s[i+2]):
			i += 2
		default:
			return "", errPath
		}
	}
	return quoted(s)
}

// method makes an HTTP method as RFC 9110 section 9.3 spells them.
func method(s string) (word, error) {
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return "", errMethod
		}
	}
	if s == "" || len(s) > 16 {
		return "", errMethod
	}
	return word(s), nil
}

// host makes a domain name in lower case, as it is compared with the header Host.
func host(s string) (word, error) {
	if s == "" || len(s) > 253 {
		return "", errHost
	}
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '.' && c != '-' && c != '_' || c >= 'A' && c <= 'Z' {
			return "", errHost
		}
	}
	return quoted(s)
}

// origin makes a web origin as browsers spell it: lower case, and the port left
// out where it is the scheme's own (RFC 6454 section 6.2).
func origin(s string) (word, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	usual, known := map[string]string{"https": "443", "http": "80"}[scheme]
	name, port, stated := strings.Cut(rest, ":")
	if _, err := host(name); !ok || !known || err != nil {
		return "", errOrigin
	}
	if n, err := strconv.ParseUint(port, 10, 16); stated && (err != nil || strconv.FormatUint(n, 10) != port) {
		return "", errOrigin
	}
	if port == usual || !stated {
		return quoted(scheme + "://" + name)
	}
	return quoted(s)
}

func hexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// socket makes an address with a port.
func socket(a netip.Addr, port uint16) (word, error) {
	if !a.IsValid() || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() {
		return "", errAddress
	}
	if port == 0 {
		return "", errPort
	}
	return word(netip.AddrPortFrom(a, port).String()), nil
}

// prefix makes a network for an address match.
func prefix(p netip.Prefix) (word, error) {
	if !p.IsValid() || p.Addr().Zone() != "" || p.Addr().Is4In6() {
		return "", errAddress
	}
	return word(p.Masked().String()), nil
}

func number[N uint | uint16 | uint32 | uint64 | int](n N) word { return word(fmt.Sprint(n)) }

// milliseconds makes a time; a bare number is milliseconds to HAProxy.
func milliseconds(ms uint64) word { return word(strconv.FormatUint(ms, 10) + "ms") }

// seconds makes a time of whole seconds.
func seconds(n uint64) word { return word(strconv.FormatUint(n, 10) + "s") }

// call makes a sample fetch or a store with one argument, such as
// sc0_conn_cur(table).
func call(fetch, argument word) word { return fetch + "(" + argument + ")" }

// join puts words into one argument, as in a,b.
func join(words ...word) word {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	return word(strings.Join(list, ","))
}

// file gives the text with its description: a digest over all other lines.
func (c *config) file(head string, global func(description word)) ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	sections := bytes.Clone(c.b.Bytes())
	render := func(description word) []byte {
		c.b.Reset()
		c.b.WriteString("# " + printable(head) + "\n")
		c.section("global")
		global(description)
		c.b.Write(sections)
		return bytes.Clone(c.b.Bytes())
	}
	without := bytes.Replace(render("x"), []byte("    description x\n"), nil, 1)
	text := render(word(fmt.Sprintf("xfwc:sha256:%x", sha256.Sum256(without))))
	return text, c.err
}
