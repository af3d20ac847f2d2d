package haproxy

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"xfwc/compiler/ir"
)

// The tests here run the real HAProxy, those that serve traffic in a network
// namespace of their own, where every address of the policy is on loopback.

// program gives the path of a program, or skips; in CI nothing may be missing.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name+" is missing; run scripts/install-tools.sh")
	}
	return path
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip("skipped: " + what)
}

// apart runs the calling test again in a process with its own network
// namespace, and reports whether this is that process.
func apart(t *testing.T) bool {
	t.Helper()
	const mark = "XFWC_TEST_APART"
	if os.Getenv(mark) == t.Name() {
		run(t, program(t, "ip"), "link", "set", "lo", "up")
		return true
	}
	program(t, "haproxy")
	program(t, "ip")
	if os.Getuid() != 0 {
		missing(t, "a network namespace of its own needs root")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.v="+strconv.FormatBool(testing.Verbose()))
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
	return false
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// local gives loopback an address.
func local(t *testing.T, list ...string) {
	t.Helper()
	for _, a := range list {
		bits := "32"
		if strings.Contains(a, ":") {
			bits = "128"
		}
		run(t, program(t, "ip"), "address", "add", a+"/"+bits, "dev", "lo")
	}
}

// certificate writes a self-signed certificate with its key for a point.
func certificate(t *testing.T, dir, point string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{point},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
	if err := os.WriteFile(filepath.Join(dir, point+".pem"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// install writes the configuration and the certificate into a folder, and has
// HAProxy check the configuration with warnings as errors.
func install(t *testing.T, point string, text []byte) string {
	t.Helper()
	dir := t.TempDir()
	certificate(t, dir, point)
	if err := os.WriteFile(dir+"/haproxy.cfg", text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program(t, "haproxy"), "-c", "-dW", "-f", dir+"/haproxy.cfg")
	cmd.Env = append(os.Environ(), "XFWC_TLS_DIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("haproxy -c: %v\n%s", err, out)
	}
	return dir
}

// start runs HAProxy with the configuration until the test ends.
func start(t *testing.T, text []byte) {
	t.Helper()
	dir := install(t, "edge", text)
	cmd := exec.Command(program(t, "haproxy"), "-db", "-dW", "-f", dir+"/haproxy.cfg")
	cmd.Env = append(os.Environ(), "XFWC_TLS_DIR="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("haproxy: %s", out.String())
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if listening(t, "443") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("HAProxy does not listen")
		}
	}
}

// listening looks for listeners without connecting: a connection would count.
func listening(t *testing.T, port string) bool {
	t.Helper()
	n := 0
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		p, _ := strconv.Atoi(port)
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			const listen = "0A"
			if len(f) > 3 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", p)) && f[3] == listen {
				n++
			}
		}
	}
	return n == 2 // one for each family
}

// backend is the server's HTTP port: it answers with what reached it.
func backend(t *testing.T, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		for _, h := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Real-Ip", "Forwarded", "Upgrade"} {
			w.Header().Set("Saw-"+h, strings.Join(r.Header.Values(h), "|"))
		}
		w.Header().Set("Saw-Path", r.URL.EscapedPath())
		fmt.Fprintf(w, "%s %d", r.Method, len(body))
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

// dialer connects from a source address.
func dialer(source string) *net.Dialer {
	d := &net.Dialer{Timeout: 5 * time.Second}
	if source != "" {
		d.LocalAddr = &net.TCPAddr{IP: netip.MustParseAddr(source).AsSlice()}
	}
	return d
}

// client makes requests from a source over HTTP/1.1 or HTTP/2.
func client(source string, http2 bool) *http.Client {
	tr := &http.Transport{
		DialContext:       dialer(source).DialContext,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the certificate is the test's own
		ForceAttemptHTTP2: http2, ExpectContinueTimeout: 5 * time.Second,
	}
	if !http2 {
		tr.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	return &http.Client{Transport: tr, Timeout: 15 * time.Second}
}

func TestServes(t *testing.T) {
	if !apart(t) {
		return
	}
	local(t, "198.51.100.1", "2001:db8:0:1::1", "198.51.100.10", "203.0.113.7", "2001:db8:77::7")
	backend(t, "198.51.100.10:5280")
	start(t, artefact(t, Backend{}.Emit(office()), "haproxy.cfg"))

	// A body in one piece states its length, one of unknown length does not.
	body := func(n int) func() io.Reader {
		return func() io.Reader { return strings.NewReader(strings.Repeat("x", n)) }
	}
	unknown := func(n int) func() io.Reader {
		return func() io.Reader { return struct{ io.Reader }{body(n)()} }
	}
	none := func() io.Reader { return nil }
	// A client that asks first gets its answer before it sends what is too large.
	ask := map[string]string{"Expect": "100-continue"}
	tests := []struct {
		name    string
		method  string
		path    string
		body    func() io.Reader
		headers map[string]string
		status  int
		reply   string // what the server answered, if the request may reach it
	}{
		{"POST", "POST", "/bosh", body(100), nil, 200, "POST 100"},
		{"POST with a query", "POST", "/bosh?x=1", body(1), nil, 200, "POST 1"},
		{"the largest body", "POST", "/bosh", body(65536), nil, 200, "POST 65536"},
		{"one byte more", "POST", "/bosh", body(65537), ask, 413, ""},
		{"much more", "POST", "/bosh", body(4 << 20), ask, 413, ""},
		{"body of unknown length", "POST", "/bosh", unknown(100), nil, 411, ""},
		{"path without a size", "POST", "/it's/a$path", body(200000), nil, 200, "POST 200000"},
		{"path without a size, unknown length", "POST", "/it's/a$path", unknown(200000), nil, 200, "POST 200000"},
		{"GET", "GET", "/bosh", none, nil, 405, ""},
		{"HEAD", "HEAD", "/bosh", none, nil, 405, ""},
		{"PUT", "PUT", "/bosh", body(10), nil, 405, ""},
		{"preflight", "OPTIONS", "/bosh", none, nil, 200, "OPTIONS 0"},
		{"preflight with a body", "OPTIONS", "/bosh", body(10), nil, 413, ""},
		{"preflight with a body of unknown length", "OPTIONS", "/bosh", unknown(1000), nil, 413, ""},
		{"another path", "POST", "/", body(10), nil, 404, ""},
		{"longer path", "POST", "/bosh/", body(10), nil, 404, ""},
		{"doubled slash", "POST", "//bosh", body(10), nil, 404, ""},
		{"encoded path", "POST", "/%62osh", body(10), nil, 404, ""},
		{"case of path", "POST", "/BOSH", body(10), nil, 404, ""},
		{"dots in path", "POST", "/x/../bosh", body(10), nil, 404, ""},
		{"the administration", "GET", "/admin/", none, nil, 404, ""},
		{"websocket", "GET", "/ws", none, map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}, 404, ""},
	}
	for _, h2 := range []bool{false, true} {
		for _, at := range []struct{ source, host string }{
			{"203.0.113.7", "198.51.100.1"}, {"2001:db8:77::7", "[2001:db8:0:1::1]"},
		} {
			c := client(at.source, h2)
			for _, tt := range tests {
				name := fmt.Sprintf("%s from %s, h2 %v", tt.name, at.source, h2)
				if h2 && tt.headers["Upgrade"] != "" {
					continue // HTTP/2 has no such header
				}
				req, err := http.NewRequest(tt.method, "https://"+at.host+tt.path, tt.body())
				if err != nil {
					t.Fatal(err)
				}
				for k, v := range tt.headers {
					req.Header.Set(k, v)
				}
				req.Header.Set("X-Forwarded-For", "192.0.2.1")
				req.Header.Add("X-Forwarded-For", "192.0.2.2")
				req.Header.Set("X-Forwarded-Proto", "http")
				req.Header.Set("X-Real-IP", "192.0.2.3")
				req.Header.Set("Forwarded", "for=192.0.2.4")
				res, err := c.Do(req)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				reply, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if res.StatusCode != tt.status || tt.reply != "" && string(reply) != tt.reply {
					t.Errorf("%s: %d %q, want %d %q", name, res.StatusCode, reply, tt.status, tt.reply)
				}
				if h2 != (res.ProtoMajor == 2) {
					t.Errorf("%s: protocol %s", name, res.Proto)
				}
				saw := res.Header.Get("Saw-Path") != ""
				if saw != (tt.reply != "") {
					t.Errorf("%s: reached the server: %v", name, saw)
				}
				if saw && (res.Header.Get("Saw-X-Forwarded-For") != at.source || res.Header.Get("Saw-X-Forwarded-Proto") != "https" ||
					res.Header.Get("Saw-X-Real-Ip") != "" || res.Header.Get("Saw-Forwarded") != "") {
					t.Errorf("%s: the server was told %v", name, res.Header)
				}
				if res.StatusCode == 405 && res.Header.Get("Allow") != "POST, OPTIONS" {
					t.Errorf("%s: Allow is %q", name, res.Header.Get("Allow"))
				}
			}
		}
	}

	// Requests that no client library sends.
	raw := []struct{ name, request, want string }{
		{"two framings", "POST /bosh HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "411"},
		{"two lengths", "POST /bosh HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", "400"},
		{"absolute form of another path", "POST https://x/admin HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "404"},
		{"upgrade to clear HTTP/2", "POST /bosh HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nContent-Length: 0\r\n\r\n", "200"},
	}
	for _, tt := range raw {
		conn, err := tls.DialWithDialer(dialer("203.0.113.7"), "tcp", "198.51.100.1:443", &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		io.WriteString(conn, tt.request)
		answer := make([]byte, 4096)
		n, _ := io.ReadAtLeast(conn, answer, 12)
		conn.Close()
		if got := string(answer[:n]); !strings.HasPrefix(got, "HTTP/1.1 "+tt.want) || strings.Contains(got, "Saw-Upgrade: h2c") {
			t.Errorf("%s: answered %.80q, want %s", tt.name, got, tt.want)
		}
	}

	if conn, err := tls.DialWithDialer(dialer("203.0.113.7"), "tcp", "198.51.100.1:443",
		&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		conn.Close()
		t.Error("TLS 1.1 is accepted")
	}
}

// A BOSH client that has nothing to say waits for the server's answer for up to
// a minute (XEP-0124 section 7.1), far longer than a silent client may be
// silent.
func TestHoldsLongPoll(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: takes longer than the proxy's time for silent clients, 10 s")
	}
	if !apart(t) {
		return
	}
	local(t, "198.51.100.1", "2001:db8:0:1::1", "198.51.100.10")
	const wait = 12 * time.Second
	l, err := net.Listen("tcp", "198.51.100.10:5280")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(wait)
		io.WriteString(w, "late")
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	start(t, artefact(t, Backend{}.Emit(office()), "haproxy.cfg"))

	results := make(chan string)
	for _, h2 := range []bool{false, true} {
		go func() {
			res, err := client("", h2).Post("https://198.51.100.1/bosh", "text/xml", strings.NewReader("<body/>"))
			if err != nil {
				results <- fmt.Sprintf("h2 %v: %v", h2, err)
				return
			}
			defer res.Body.Close()
			reply, err := io.ReadAll(res.Body)
			if err != nil || string(reply) != "late" {
				results <- fmt.Sprintf("h2 %v: %d %q, %v", h2, res.StatusCode, reply, err)
				return
			}
			results <- ""
		}()
	}
	silent, err := net.Dial("tcp", "198.51.100.1:443")
	if err != nil {
		t.Fatal(err)
	}
	silent.SetDeadline(time.Now().Add(wait))
	if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a client that says nothing is not cut off: %v", err)
	}
	for range 2 {
		if r := <-results; r != "" {
			t.Error(r)
		}
	}
}

// ask makes one request and gives the status of its answer.
func ask(t *testing.T, c *http.Client, method, path string, headers ...string) int {
	t.Helper()
	req, err := http.NewRequest(method, "https://198.51.100.1"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
		return 0
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if saw := res.Header.Get("Saw-Path") != ""; saw != (res.StatusCode == 200) {
		t.Errorf("%s %s %v: %d, reached the server: %v", method, path, headers, res.StatusCode, saw)
	}
	return res.StatusCode
}

// A path takes the methods, hosts and origins that it states, and another path
// beside it its own.
func TestJudgesRequests(t *testing.T) {
	if !apart(t) {
		return
	}
	local(t, "198.51.100.1", "2001:db8:0:1::1", "198.51.100.10")
	backend(t, "198.51.100.10:5280")
	p, pt := office()
	stated, other := p.Routes[0], p.Routes[1]
	stated.Methods = []string{"POST", "GET", "PATCH"}
	stated.Hosts = []string{"chat.example.org", "example.org"}
	stated.Origins = []string{"https://chat.example.org", "https://web.example.org:8443"}
	other.Path, other.Origins = "/other", []string{"*"}
	start(t, artefact(t, Backend{}.Emit(p, pt), "haproxy.cfg"))

	const host, site = "chat.example.org", "https://chat.example.org"
	tests := []struct {
		method, path string
		headers      []string
		status       int
	}{
		{"POST", "/bosh", []string{"Host", host}, 200},
		{"POST", "/bosh", []string{"Host", "Chat.Example.org:443", "Origin", site}, 200},
		{"GET", "/bosh", []string{"Host", "example.org", "Origin", "https://web.example.org:8443"}, 200},
		{"PATCH", "/bosh", []string{"Host", host}, 200},
		{"OPTIONS", "/bosh", []string{"Host", host}, 405},
		{"PUT", "/bosh", []string{"Host", host}, 405},
		{"POST", "/bosh", nil, 421},
		{"POST", "/bosh", []string{"Host", "chat.example.org.evil.example"}, 421},
		{"POST", "/bosh", []string{"Host", "www.example.org"}, 421},
		{"POST", "/bosh", []string{"Host", host, "Origin", "https://evil.example"}, 403},
		{"POST", "/bosh", []string{"Host", host, "Origin", "null"}, 403},
		{"POST", "/bosh", []string{"Host", host, "Origin", ""}, 403},
		{"POST", "/bosh", []string{"Host", host, "Origin", "http://chat.example.org"}, 403},
		{"POST", "/bosh", []string{"Host", host, "Origin", site + ":8443"}, 403},
		{"POST", "/bosh", []string{"Host", host, "Origin", site + ".evil.example"}, 403},
		{"POST", "/bosh", []string{"Host", host, "Origin", site + ", https://evil.example"}, 403},
		{"POST", "/bosh", []string{"Host", host, "Origin", site, "Origin", "https://evil.example"}, 403},
		{"POST", "/bosh", []string{"Host", host, "Origin", site, "Origin", site}, 403},
		{"POST", "/other", []string{"Origin", "https://evil.example"}, 200},
		{"OPTIONS", "/other", []string{"Origin", "null"}, 200},
		{"GET", "/other", nil, 405},
		{"PATCH", "/other", nil, 405},
	}
	for _, h2 := range []bool{false, true} {
		c := client("", h2)
		for _, tt := range tests {
			if got := ask(t, c, tt.method, tt.path, tt.headers...); got != tt.status {
				t.Errorf("%s %s %v, h2 %v: %d, want %d", tt.method, tt.path, tt.headers, h2, got, tt.status)
			}
		}
	}
	for _, request := range []string{
		"POST /bosh HTTP/1.1\r\nHost: chat.example.org\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n",
		"POST /bosh HTTP/1.1\r\nHost: evil.example\r\nHost: chat.example.org\r\nContent-Length: 0\r\n\r\n",
		"POST /bosh HTTP/1.1\r\nHost: evil.example, chat.example.org\r\nContent-Length: 0\r\n\r\n",
		"POST https://evil.example/bosh HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n",
		"POST https://evil.example/bosh HTTP/1.1\r\nHost: chat.example.org\r\nContent-Length: 0\r\n\r\n",
		"POST /bosh HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
	} {
		conn, err := tls.DialWithDialer(dialer(""), "tcp", "198.51.100.1:443", &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		io.WriteString(conn, request)
		answer := make([]byte, 4096)
		n, _ := io.ReadAtLeast(conn, answer, 12)
		conn.Close()
		if got := string(answer[:n]); !strings.HasPrefix(got, "HTTP/1.1 400") && !strings.HasPrefix(got, "HTTP/1.1 421") {
			t.Errorf("%q: answered %.80q", request, got)
		}
	}
}

// The proxy waits for an answer as long as the path says, the longest time of a
// backend and those of its other paths alike.
func TestWaitsForAnswer(t *testing.T) {
	if !apart(t) {
		return
	}
	local(t, "198.51.100.1", "2001:db8:0:1::1", "198.51.100.10")
	l, err := net.Listen("tcp", "198.51.100.10:5280")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(2500 * time.Millisecond)
		w.Header().Set("Saw-Path", r.URL.Path)
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	p, pt := office()
	p.Routes[0].Timeout, p.Routes[1].Timeout, p.Routes[1].Path = 1, 5, "/patient"
	start(t, artefact(t, Backend{}.Emit(p, pt), "haproxy.cfg"))
	for path, want := range map[string]int{"/bosh": 504, "/patient": 200} {
		if got := ask(t, client("", false), "POST", path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

// Requests are counted for each source and for everybody, for one path alone
// where it has a limit of its own, and not for those whom an allow statement
// exempts.
func TestLimitsRequests(t *testing.T) {
	if !apart(t) {
		return
	}
	local(t, "198.51.100.1", "2001:db8:0:1::1", "198.51.100.10", "203.0.113.7", "203.0.113.8", "203.0.113.9", "192.0.2.7")
	backend(t, "198.51.100.10:5280")
	p, pt := office()
	bound := func(id string, key ir.LimitKey, burst uint32) *ir.Limit {
		return &ir.Limit{ID: id, Kind: ir.Requests, Key: key, Count: 1, Unit: "minute", Burst: burst}
	}
	p.Flows[0].Bounds = []*ir.Limit{bound("source", ir.PerSource, 4), bound("everybody", ir.Global, 9)}
	p.Routes[0].Limits = []*ir.Limit{bound("path", ir.PerSource, 2)}
	p.Routes[1].Path = "/other"
	pt.Set = prefixes("198.51.100.1/32")
	p.Flows = append(p.Flows, allowed(prefixes("192.0.2.0/24"), pt))
	start(t, artefact(t, Backend{}.Emit(p, pt), "haproxy.cfg"))

	free := client("192.0.2.7", true)
	for range 12 {
		if got := ask(t, free, "POST", "/bosh"); got != 200 {
			t.Errorf("an exempt source: %d", got)
		}
	}
	for _, tt := range []struct {
		what, source string
		http2        bool
		paths        []string
		want         string
	}{
		{"two on the path, four in all", "203.0.113.7", false, []string{"/bosh", "/bosh", "/bosh", "/other", "/other"}, "++-+-"},
		{"another source, over HTTP/2", "203.0.113.8", true, []string{"/bosh", "/bosh", "/other", "/other", "/other"}, "++++-"},
		{"a third one, of which everybody has left two", "203.0.113.9", false, []string{"/other", "/other", "/other"}, "++-"},
	} {
		c, got := client(tt.source, tt.http2), []bool{}
		for _, path := range tt.paths {
			status := ask(t, c, "POST", path)
			if status != 200 && status != 429 {
				t.Errorf("%s: %d", tt.what, status)
			}
			got = append(got, status == 200)
		}
		check(t, tt.what, tt.want, got)
	}
}

func connections(n uint32, key ir.LimitKey) *ir.Limit {
	return &ir.Limit{ID: fmt.Sprintf("web-chat-connections-%s", key), Kind: ir.Connections, Key: key, Count: n}
}

func attempts(n uint32, unit string, burst uint32) *ir.Limit {
	return &ir.Limit{ID: "web-chat-attempts-source", Kind: ir.Attempts, Key: ir.PerSource, Count: n, Unit: unit, Burst: burst}
}

// opens connects from each source in turn, keeps the connections, and tells
// which were admitted: a refused one is closed before TLS.
func opens(t *testing.T, sources ...string) (admitted []bool, done func()) {
	t.Helper()
	var conns []net.Conn
	for _, s := range sources {
		host := "198.51.100.1:443"
		if strings.Contains(s, ":") {
			host = "[2001:db8:0:1::1]:443"
		}
		conn, err := dialer(s).DialContext(context.Background(), "tcp", host)
		if err == nil {
			conn.SetDeadline(time.Now().Add(5 * time.Second))
			secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
			if err = secure.Handshake(); err == nil {
				conns = append(conns, secure)
			} else {
				conn.Close()
			}
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("connection from %s hangs instead of being refused", s)
		}
		admitted = append(admitted, err == nil)
	}
	return admitted, func() {
		for _, c := range conns {
			c.Close()
		}
		time.Sleep(100 * time.Millisecond) // until HAProxy has seen it
	}
}

// check compares which connections were admitted with a picture: + and -.
func check(t *testing.T, what, want string, got []bool) {
	t.Helper()
	picture := ""
	for _, ok := range got {
		picture += map[bool]string{true: "+", false: "-"}[ok]
	}
	if picture != want {
		t.Errorf("%s: admitted %s, want %s", what, picture, want)
	}
}

func TestLimitsConnections(t *testing.T) {
	if !apart(t) {
		return
	}
	local(t, "198.51.100.1", "2001:db8:0:1::1", "203.0.113.7", "203.0.113.8", "2001:db8:77::7", "2001:db8:77::8", "2001:db8:78::7")
	start(t, artefact(t, Backend{}.Emit(office(connections(3, ir.PerSource), connections(7, ir.Global))), "haproxy.cfg"))

	const a, b = "203.0.113.7", "203.0.113.8"
	got, done := opens(t, a, a, a, a, a, b)
	check(t, "three for each IPv4 source", "+++--+", got)
	done()
	got, done = opens(t, a, a, a, a)
	check(t, "closed ones no longer count", "+++-", got)
	done()
	const x, y, z = "2001:db8:77::7", "2001:db8:77::8", "2001:db8:78::7"
	got, done = opens(t, x, y, x, y, x, z)
	check(t, "three for each IPv6 /64", "+++--+", got)
	done()
	got, done = opens(t, a, a, a, a, b, b, b, b, x, x, z)
	check(t, "seven for everybody, refused ones not counted", "+++-+++-+--", got)
	done()
}

func TestLimitsAttempts(t *testing.T) {
	if !apart(t) {
		return
	}
	local(t, "198.51.100.1", "2001:db8:0:1::1", "203.0.113.7", "203.0.113.8", "2001:db8:77::7", "2001:db8:77::8")
	everybody := &ir.Limit{ID: "web-chat-attempts-global", Kind: ir.Attempts, Key: ir.Global, Count: 60, Unit: "minute", Burst: 9}
	start(t, artefact(t, Backend{}.Emit(office(attempts(60, "minute", 4), everybody)), "haproxy.cfg"))
	got, done := opens(t, "203.0.113.7", "203.0.113.7", "203.0.113.7", "203.0.113.7", "203.0.113.7", "203.0.113.7")
	check(t, "four at once from a source", "++++--", got)
	done()
	got, done = opens(t, "2001:db8:77::7", "2001:db8:77::8", "2001:db8:77::7", "2001:db8:77::8", "2001:db8:77::7", "203.0.113.8", "203.0.113.8")
	check(t, "four from a /64, nine from everybody", "++++-+-", got)
	done()
}

// Only the sources of the web statement are served.
func TestAdmitsSources(t *testing.T) {
	if !apart(t) {
		return
	}
	local(t, "198.51.100.1", "2001:db8:0:1::1", "203.0.113.7", "203.0.113.200", "2001:db8:77::7", "2001:db8:78::7")
	p, pt := office()
	set := &ir.AddrSet{Name: "lan"}
	for i := range 40 { // more than a line takes
		set.Prefixes = append(set.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 32))
	}
	set.Prefixes = append(set.Prefixes, netip.MustParsePrefix("203.0.113.0/25"), netip.MustParsePrefix("2001:db8:77::/64"))
	p.Flows[0].From = ir.Endpoint{Label: "network lan", Set: set}
	start(t, artefact(t, Backend{}.Emit(p, pt), "haproxy.cfg"))
	got, done := opens(t, "203.0.113.7", "203.0.113.200", "2001:db8:77::7", "2001:db8:78::7")
	check(t, "sources in and outside the list", "+-+-", got)
	done()
}

// The sources of an allow statement are served whatever the web statement's from
// says, and neither bounded nor counted by its limits.
func TestExemptsSources(t *testing.T) {
	if !apart(t) {
		return
	}
	local(t, "198.51.100.1", "2001:db8:0:1::1", "203.0.113.7", "203.0.113.8", "203.0.113.200", "192.0.2.7", "2001:db8:9::7")
	p, pt := office(connections(1, ir.PerSource), connections(2, ir.Global))
	p.Flows[0].From = ir.Endpoint{Label: "network lan", Set: prefixes("203.0.113.0/25", "2001:db8:9::/64")}
	pt.Set = prefixes("198.51.100.1/32", "2001:db8:0:1::1/128")
	p.Flows = append(p.Flows, allowed(prefixes("192.0.2.0/24", "2001:db8:9::/64"), pt))
	start(t, artefact(t, Backend{}.Emit(p, pt), "haproxy.cfg"))
	got, done := opens(t, "192.0.2.7", "192.0.2.7", "192.0.2.7", "2001:db8:9::7", "2001:db8:9::7", "203.0.113.7", "203.0.113.7", "203.0.113.200", "203.0.113.8", "192.0.2.7")
	check(t, "exempt ones, also where from names them; one each for two others; a stranger", "++++++--++", got)
	done()
}

// The description is the digest of the rest of the file, and changes with it.
func TestDescription(t *testing.T) {
	text := artefact(t, Backend{}.Emit(office()), "haproxy.cfg")
	var stated string
	var rest bytes.Buffer
	for line := range bytes.Lines(text) {
		if d, ok := strings.CutPrefix(string(line), "    description "); ok {
			stated = strings.TrimSpace(d)
			continue
		}
		rest.Write(line)
	}
	if want := fmt.Sprintf("xfwc:sha256:%x", sha256.Sum256(rest.Bytes())); stated != want {
		t.Errorf("description %s, want %s", stated, want)
	}
	if again := artefact(t, Backend{}.Emit(office()), "haproxy.cfg"); !bytes.Equal(text, again) {
		t.Error("two emissions of one policy differ")
	}
	if other := artefact(t, Backend{}.Emit(office(connections(3, ir.PerSource))), "haproxy.cfg"); bytes.Contains(other, []byte(stated)) {
		t.Error("another configuration has the same digest")
	}
}

// One run of the real parser over everything nasty: what a running HAProxy
// matches against are exactly the strings that were given.
func TestEngineTakesNastyStrings(t *testing.T) {
	if !apart(t) {
		return
	}
	dir := t.TempDir()
	var c config
	c.section("frontend", "nasty")
	c.line("mode", "http")
	c.line("bind", "127.0.0.1:443")
	c.line("bind", "[::1]:443")
	c.line("timeout", "client", "1s")
	for i, s := range nasty() {
		c.comment(s)
		c.line("acl", c.name("n"+strconv.Itoa(i)), "path", "-m", "str", "--", c.quoted(s))
	}
	text, err := c.file("nasty\n'\"\\", func(description word) {
		c.line("description", description)
		c.line("stats", "socket", c.quoted(dir+"/socket"), "level", "admin")
	})
	if err != nil {
		t.Fatal(err)
	}
	start(t, text)
	for i, s := range nasty() {
		conn, err := net.Dial("unix", dir+"/socket")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "show acl #%d\n", i)
		answer, err := io.ReadAll(conn)
		conn.Close()
		if err != nil {
			t.Fatal(err)
		}
		// One line: an address in memory, a blank, the string.
		_, got, _ := strings.Cut(strings.TrimSuffix(string(answer), "\n\n"), " ")
		if got != s {
			t.Errorf("HAProxy matches %.80q, meant was %.80q", got, s)
		}
	}
}
