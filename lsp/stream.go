package lsp

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/sourcegraph/jsonrpc2"
)

// maxMessage bounds a message, in bytes: a policy file has at most 2,000,000.
const maxMessage = 64 << 20

// stream reads and writes messages. Bytes that are no message are answered with
// an error where somebody can be answered, and passed over: an editor that says
// one thing wrong is not left without a server.
//
// What is written waits in a list: whoever reads must never wait for an editor
// that is busy writing itself.
type stream struct {
	in  *bufio.Reader
	out io.Writer

	mu      sync.Mutex
	waiting [][]byte // messages that are to be written
	writing bool     // somebody is writing them
	failed  error    // why no more can be written
	idle    sync.Cond
}

func newStream(in io.Reader, out io.Writer) *stream {
	s := &stream{in: bufio.NewReader(in), out: out}
	s.idle.L = &s.mu
	return s
}

// ReadObject implements jsonrpc2.ObjectStream.
func (s *stream) ReadObject(v any) error {
	for {
		body, err := s.body()
		if err != nil {
			return err
		}
		if body == nil {
			continue
		}
		if !json.Valid(body) {
			if err := s.refuse(jsonrpc2.CodeParseError, "this message is no JSON"); err != nil {
				return err
			}
			continue
		}
		if err := understand(body, v); err != nil {
			if err := s.refuse(jsonrpc2.CodeInvalidRequest, err.Error()); err != nil {
				return err
			}
			continue
		}
		return nil
	}
}

// understand reads a message. The library leaves a message that is neither a
// request nor an answer empty, so that is looked at first.
func understand(body []byte, v any) error {
	var m struct {
		Method *string         `json:"method"`
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(body, &m); err != nil || m.Method == nil && m.Result == nil && m.Error == nil {
		return fmt.Errorf("this message is neither a request nor an answer")
	}
	return json.Unmarshal(body, v)
}

// body reads the next message; nil where there was none to read, and the error
// is that of the other side.
func (s *stream) body() ([]byte, error) {
	length := -1
	for {
		line, err := s.line()
		if err != nil {
			return nil, err
		}
		if line == "" {
			break
		}
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(name), "Content-Length") {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil || n < 0 {
				n = -1
			}
			length = n
		}
	}
	switch {
	case length < 0:
		return nil, nil
	case length > maxMessage:
		if _, err := io.CopyN(io.Discard, s.in, int64(length)); err != nil {
			return nil, err
		}
		return nil, s.refuse(jsonrpc2.CodeInvalidRequest, fmt.Sprintf("this message is longer than %d bytes", maxMessage))
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(s.in, body); err != nil {
		return nil, err
	}
	return body, nil
}

// line reads a line of a header, of which no more than its beginning is kept.
func (s *stream) line() (string, error) {
	var text []byte
	for {
		part, more, err := s.in.ReadLine()
		if err != nil {
			return "", err
		}
		text = append(text, part[:min(len(part), max(0, 200-len(text)))]...)
		if !more {
			return string(text), nil
		}
	}
}

// refuse answers a message whose id is not known.
func (s *stream) refuse(code int64, why string) error {
	return s.WriteObject(map[string]any{
		"jsonrpc": "2.0", "id": nil, "error": map[string]any{"code": code, "message": why},
	})
}

// WriteObject implements jsonrpc2.ObjectStream.
func (s *stream) WriteObject(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, fmt.Appendf(nil, "Content-Length: %d\r\n\r\n%s", len(body), body))
	if !s.writing {
		s.writing = true
		go s.write()
	}
	return s.failed
}

// write writes what waits, until nothing does.
func (s *stream) write() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.waiting) > 0 && s.failed == nil {
		next := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.mu.Unlock()
		_, err := s.out.Write(next)
		s.mu.Lock()
		s.failed = err
	}
	s.writing = false
	s.idle.Broadcast()
}

// flush waits until all is written, or cannot be.
func (s *stream) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.writing {
		s.idle.Wait()
	}
}

// Close implements jsonrpc2.ObjectStream. What it reads from belongs to others.
func (s *stream) Close() error { return nil }
