package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// browser is a headless Chromium that is spoken to in the Chrome DevTools
// Protocol, over two pipes: messages are JSON and end in a NUL.
type browser struct {
	t       *testing.T
	cmd     *exec.Cmd
	in      *os.File
	replies chan message
	next    int
	session string
	events  []message // since they were last taken
}

type message struct {
	ID     int             `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *struct{ Message string }
}

// openBrowser starts Chromium with one empty page. It is skipped on a machine
// without Chromium, but not in CI.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("chromium is missing: scripts/install-tools.sh installs it")
		}
		t.Skip("skipped: chromium is missing; run scripts/install-tools.sh")
	}
	hears, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, says, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, in: in, replies: make(chan message, 1000)}
	b.cmd = exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	b.cmd.ExtraFiles = []*os.File{hears, says}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hears.Close()
	says.Close()
	go func() {
		defer close(b.replies)
		for r := bufio.NewReader(out); ; {
			raw, err := r.ReadBytes(0)
			if err != nil {
				return
			}
			var m message
			if json.Unmarshal(bytes.TrimSuffix(raw, []byte{0}), &m) == nil {
				b.replies <- m
			}
		}
	}()
	t.Cleanup(func() {
		b.session = ""
		if b.send("Browser.close", nil) == nil {
			for range b.replies {
			}
		}
		in.Close()
		out.Close()
		b.cmd.Wait()
	})
	var made struct{ TargetID, SessionID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &made)
	b.call("Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &made)
	b.session = made.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

func (b *browser) send(method string, params any) error {
	b.next++
	m := map[string]any{"id": b.next, "method": method}
	if params != nil {
		m["params"] = params
	}
	if b.session != "" {
		m["sessionId"] = b.session
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = b.in.Write(append(raw, 0))
	return err
}

// call sends a command and reads its result.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	if err := b.send(method, params); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	m := b.wait(method, func(m message) bool { return m.ID == b.next })
	if m.Error != nil {
		b.t.Fatalf("%s: %s", method, m.Error.Message)
	}
	if result != nil {
		if err := json.Unmarshal(m.Result, result); err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
	}
}

// wait reads messages until one is the right one, and keeps the events.
func (b *browser) wait(what string, right func(message) bool) message {
	b.t.Helper()
	limit := time.After(60 * time.Second)
	for {
		select {
		case m, open := <-b.replies:
			if !open {
				b.t.Fatalf("%s: the browser is gone", what)
			}
			if m.Method != "" {
				b.events = append(b.events, m)
			}
			if right(m) {
				return m
			}
		case <-limit:
			b.t.Fatalf("%s: no answer within a minute", what)
		}
	}
}

// open shows a file in a window of a width, and gives what went wrong on the way:
// messages on the console, and requests for anything but the file itself.
func (b *browser) open(file string, width int, scheme string) []string {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]string{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	page := url.URL{Scheme: "file", Path: file}
	b.events = nil
	b.call("Page.navigate", map[string]any{"url": page.String()}, nil)
	b.wait("load", func(m message) bool { return m.Method == "Page.loadEventFired" })
	var wrong []string
	for _, e := range b.events {
		switch e.Method {
		case "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded":
			wrong = append(wrong, fmt.Sprintf("%s %s", e.Method, e.Params))
		case "Network.requestWillBeSent":
			var sent struct{ Request struct{ URL string } }
			if err := json.Unmarshal(e.Params, &sent); err != nil || sent.Request.URL != page.String() {
				wrong = append(wrong, "a request for "+sent.Request.URL)
			}
		}
	}
	return wrong
}

// eval runs an expression in the page.
func (b *browser) eval(expression string, result any) {
	b.t.Helper()
	var got struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &got)
	if got.ExceptionDetails != nil {
		b.t.Fatalf("%.60s…: %s", expression, got.ExceptionDetails)
	}
	if err := json.Unmarshal(got.Result.Value, result); err != nil {
		b.t.Fatalf("%.60s…: %v", expression, err)
	}
}

// data calls a command that gives a file.
func (b *browser) data(method string, params any) []byte {
	b.t.Helper()
	var got struct{ Data string }
	b.call(method, params, &got)
	raw, err := base64.StdEncoding.DecodeString(got.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	return raw
}

// contrast finds texts whose colour is too near to what is behind them: less
// than 4.5 to 1, or 3 to 1 where they are large (WCAG 2.2, 1.4.3).
const contrast = `(() => {
  const rgb = c => (c.match(/[\d.]+/g) || []).map(Number);
  const opaque = c => { const p = rgb(c); return p.length >= 3 && (p.length < 4 || p[3] === 1) ? p : null; };
  const light = p => { const [r, g, b] = p.slice(0, 3).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const box = e.tagName === 'g' && e.querySelector(':scope > rect');
      const c = opaque(getComputedStyle(box || e)[box ? 'fill' : 'backgroundColor']);
      if (c) return c;
    }
    return opaque(getComputedStyle(document.documentElement).backgroundColor) || [255, 255, 255];
  };
  const bad = new Set();
  let seen = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || ['TITLE', 'DESC'].includes(e.tagName.toUpperCase()) || !e.checkVisibility()) continue;
    seen++;
    const s = getComputedStyle(e), svg = e instanceof SVGElement;
    const front = rgb(svg ? s.fill : s.color), back = behind(e);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05), size = parseFloat(s.fontSize);
    if (ratio < (size >= 24 || size >= 18.66 && s.fontWeight >= 700 ? 3 : 4.5))
      bad.add(ratio.toFixed(2) + ' ' + e.tagName + '.' + (e.getAttribute('class') || '') + ' in .' + (e.parentElement.getAttribute('class') || '') + ': ' + walk.currentNode.data.trim().slice(0, 30));
  }
  return {seen, bad: [...bad].slice(0, 20)};
})()`

// small finds texts of the picture that are drawn too small to be read.
const small = `[...document.querySelectorAll('.picture text')].filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 9).map(e => e.textContent).slice(0, 5)`

// spill finds texts of the picture that leave their box or the picture.
const spill = `[...document.querySelectorAll('.picture text')].filter(e => {
  if (!e.checkVisibility()) return false;
  const t = e.getBoundingClientRect(), box = e.parentElement.querySelector(':scope > rect') || e.closest('svg'), r = box.getBoundingClientRect();
  return t.left < r.left - 1 || t.right > r.right + 1 || t.top < r.top - 2 || t.bottom > r.bottom + 2;
}).map(e => e.textContent).slice(0, 5)`

// crowdPolicy is a site with more of everything than a picture can show.
func crowdPolicy() []byte {
	var b bytes.Buffer
	b.WriteString("policy \"crowd\" { comply nist-800-41 }\nnetwork ops = 10.9.0.0/24\n")
	for i := range 6 {
		fmt.Fprintf(&b, "point gateway-number-%d { role gateway  nftables  haproxy  interface eth0 faces internet  interface eth1 faces ops  address 198.51.100.%d }\n", i, i+1)
	}
	for i := range 9 {
		fmt.Fprintf(&b, "server server-%d { software prosody 13.0  domain s%d.example  address 198.51.100.%d }\n", i, i, 100+i)
		fmt.Fprintf(&b, "point host-%d { role host of server-%d  nftables }\nclients of server-%d { from any }\n", i, i, i)
		fmt.Fprintf(&b, "component bridge-%d of server-%d { port 5347  from 10.0.%d.4 }\nallow network ops to ssh of host-%d\n", i, i, i, i)
	}
	b.WriteString("federation of server-0 {\n  default deny\n")
	for i := range 40 {
		fmt.Fprintf(&b, "  peer a-peer-with-number-%d.example { address 203.0.113.%d }\n", i, i+1)
	}
	b.WriteString("}\n")
	for i := range 30 {
		fmt.Fprintf(&b, "network net-%d = 10.20.%d.0/24\nallow network net-%d to tcp/8443 of server-%d\n", i, i, i, i%9)
	}
	return b.Bytes()
}

// TestReportInBrowser opens the report of every example as a reviewer would: on a
// phone and on a desk, in light and dark, and on paper. With XFWC_SHOTS=DIR it
// leaves a picture of each there.
func TestReportInBrowser(t *testing.T) {
	policies, err := filepath.Glob("../../examples/*/policy.xfw")
	if err != nil || len(policies) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	extra, err := filepath.Glob("testdata/report/*.xfw")
	if err != nil || len(extra) == 0 {
		t.Fatalf("no policies of the test's own: %v", err)
	}
	crowd := filepath.Join(t.TempDir(), "crowd", "policy.xfw")
	if err := errors.Join(os.Mkdir(filepath.Dir(crowd), 0o755), os.WriteFile(crowd, crowdPolicy(), 0o644)); err != nil {
		t.Fatal(err)
	}
	b := openBrowser(t)
	for _, policy := range slices.Concat(policies, extra, []string{crowd}) {
		name := filepath.Base(filepath.Dir(policy))
		if name == "report" {
			name = strings.TrimSuffix(filepath.Base(policy), ".xfw")
		}
		t.Run(name, func(t *testing.T) {
			b.t = t
			file := filepath.Join(t.TempDir(), name+".html")
			w, _, errs := machine("edge")
			if code := run([]string{"report", policy, "-o", file, "--date", "2026-11-22"}, w); code != 0 && slices.Contains(policies, policy) {
				t.Fatalf("ended with %d: %s", code, errs)
			}
			for _, width := range []int{400, 800, 1400} {
				for _, scheme := range []string{"light", "dark"} {
					for _, w := range b.open(file, width, scheme) {
						t.Errorf("%d %s: %s", width, scheme, w)
					}
					var size struct{ Inner, Scroll, Height int }
					b.eval(`({Inner: innerWidth, Scroll: document.documentElement.scrollWidth, Height: document.documentElement.scrollHeight})`, &size)
					if size.Scroll > size.Inner || size.Inner != width {
						t.Errorf("%d %s: the page is %d wide in a window of %d", width, scheme, size.Scroll, size.Inner)
					}
					var text struct {
						Seen int
						Bad  []string
					}
					b.eval(contrast, &text)
					if text.Seen < 30 {
						t.Errorf("%d %s: only %d texts are seen", width, scheme, text.Seen)
					}
					for _, bad := range text.Bad {
						t.Errorf("%d %s: contrast %s", width, scheme, bad)
					}
					for what, expression := range map[string]string{"is too small": small, "leaves its box": spill} {
						var found []string
						b.eval(expression, &found)
						for _, f := range found {
							t.Errorf("%d %s: %q %s", width, scheme, f, what)
						}
					}
					if dir := os.Getenv("XFWC_SHOTS"); dir != "" && width != 800 {
						shot := b.data("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true,
							"clip": map[string]any{"x": 0, "y": 0, "width": width, "height": min(size.Height, 16000), "scale": 1}})
						if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), shot, 0o644)); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			pdf := b.data("Page.printToPDF", map[string]any{"preferCSSPageSize": true, "printBackground": true})
			if !bytes.HasPrefix(pdf, []byte("%PDF-")) || bytes.Count(pdf, []byte("/Type /Page\n"))+bytes.Count(pdf, []byte("/Type /Page ")) == 0 && len(pdf) < 10_000 {
				t.Errorf("printing gives %d bytes that begin with %.8q", len(pdf), pdf)
			}
			if dir := os.Getenv("XFWC_SHOTS"); dir != "" {
				if err := os.WriteFile(filepath.Join(dir, name+".pdf"), pdf, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
