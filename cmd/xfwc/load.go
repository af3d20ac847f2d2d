package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"xfwc/compiler"
	"xfwc/compiler/ir"
	"xfwc/compiler/lock"
	"xfwc/lang"
	"xfwc/lang/diag"
)

// lockName is the lock file's name, beside the root policy file.
const lockName = "xfwc.lock"

// source is a policy with everything it was read and made from.
type source struct {
	path     string
	files    []*lang.File
	texts    map[string][]byte // the policy's files by name
	lock     *lock.File        // nil when there is none
	lockText []byte            // nil when there is none
	policy   *ir.Policy        // nil when it could not be made
	findings []diag.Finding
}

// lockPath is where the lock file of a policy is.
func lockPath(policy string) string { return filepath.Join(filepath.Dir(policy), lockName) }

// read loads a policy's files and its lock, and compiles nothing. The error is
// for what no policy line can be blamed for: the root file or the lock cannot
// be read.
func read(path string, from lang.Source) (*source, error) {
	// Load reports an unreadable include as a finding at the include; for the
	// root file there is no line to point at.
	if info, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("cannot read the policy: %w", err)
	} else if info.IsDir() {
		return nil, fmt.Errorf("cannot read the policy: %s is a directory; name the policy file, such as %s", path, filepath.Join(path, "policy.xfw"))
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("cannot read the policy: %s is no regular file", path)
	}
	src := &source{path: path}
	src.files, src.texts, src.findings = lang.Load(path, from)
	if err := src.readLock(); err != nil {
		return nil, err
	}
	return src, nil
}

// readLock reads the lock of a policy, if it has one.
func (src *source) readLock() error {
	name := lockPath(src.path)
	text, err := lang.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
			return fmt.Errorf("cannot read the lock file: %s is no regular file; remove it, and run xfwc lock", name)
		}
		return fmt.Errorf("cannot read the lock file: %w", err)
	}
	src.lockText = text
	var findings []diag.Finding
	src.lock, findings = lock.Parse(name, text)
	src.findings = append(src.findings, findings...)
	return nil
}

// compile reads a policy and makes its meaning. date is for waivers that
// expire, YYYY-MM-DD; "" judges none. profile is in place of the policy's own; ""
// is that one. Where the policy has errors the findings are all of them, and the
// policy cannot be used.
func compile(path, date, profile string) (*source, error) {
	return compileFrom(path, date, profile, lang.OS())
}

// compileFrom is compile for policy files that are elsewhere.
func compileFrom(path, date, profile string, from lang.Source) (*source, error) {
	src, err := read(path, from)
	if err != nil {
		return nil, err
	}
	src.compile(date, profile)
	return src, nil
}

// compile makes the meaning of a policy whose files and lock were read.
func (src *source) compile(date, profile string) {
	out := compiler.Compile(compiler.Input{
		Files: src.files, Problems: src.findings, Lock: src.lock, ReadFeed: lang.ReadFile, Date: date, Profile: profile,
	})
	src.policy = out.Policy
	src.findings = append(src.findings, out.Findings...)
	diag.Sort(src.findings)
}

// place adds what the backends find to a policy that was compiled, unless it has
// errors.
func (src *source) place(date string) { src.placeFor(date, func(string) bool { return true }) }

// placeFor is place for some kinds of engines.
func (src *source) placeFor(date string, wanted func(kind string) bool) {
	if diag.HasErrors(src.findings) {
		return
	}
	emitted := emitFor(src.policy, src.policy.Points, wanted)
	placed := slices.Concat(emitted.Findings, src.unheld(emitted.Ledger))
	src.findings = append(src.findings, compiler.Waive(src.files, placed, date)...)
	diag.Sort(src.findings)
}

// load compiles a policy for a command that puts it to use. When the policy has
// errors they are printed, and the result is the ending "failed"; what is
// merely a warning is the business of xfwc check.
func (s *session) load(path string) (*source, error) {
	return s.loadUnless(path, func(diag.Finding) bool { return false })
}

// loadToAsk compiles a policy for a command that only answers questions about
// it. Best practice and the policy's own tests judge what the policy means, so
// their errors do not keep it from having a meaning: to find out why a test
// fails one has to ask.
func (s *session) loadToAsk(path string) (*source, error) {
	return s.loadUnless(path, judging())
}

// judging tells the findings that judge what a policy means from those that say
// that it means nothing.
func judging() func(diag.Finding) bool {
	judges := map[string]bool{"test-failed": true}
	for _, c := range compiler.Checks() {
		judges[c.Code] = true
	}
	return func(f diag.Finding) bool { return judges[f.Code] }
}

// loadUnless compiles a policy and refuses it for its errors, apart from those
// that are passed over.
func (s *session) loadUnless(path string, passOver func(diag.Finding) bool) (*source, error) {
	src, err := compile(path, "", "")
	if err != nil {
		return nil, err
	}
	bad := unwaived(src.findings, passOver)
	if len(bad) == 0 {
		return src, nil
	}
	diag.RenderText(s.err, bad, src.shown(), s.color(s.errTerminal))
	return nil, &ended{failed, fmt.Errorf("%s: %s; nothing was done", src.path, count(len(bad), "error"))}
}

// unwaived are the errors that no waiver covers, apart from those that are
// passed over.
func unwaived(found []diag.Finding, passOver func(diag.Finding) bool) []diag.Finding {
	var bad []diag.Finding
	for _, f := range found {
		if f.Severity == diag.Error && f.Waived == nil && !passOver(f) {
			bad = append(bad, f)
		}
	}
	return bad
}

// shown is every text that a finding can point into: the policy's files and
// the lock.
func (src *source) shown() map[string][]byte {
	all := maps.Clone(src.texts)
	if src.lockText != nil && all != nil {
		all[lockPath(src.path)] = src.lockText
	}
	return all
}

// text is what stands in the policy at a span, on one line.
func (src *source) text(at diag.Span) string {
	text, from, to := src.texts[at.Start.Filename], at.Start.Offset, at.End.Offset
	if from < 0 || to > len(text) || from >= to {
		return ""
	}
	return strings.Join(strings.Fields(string(text[from:to])), " ")
}

// pointNames lists the policy's points for messages.
func pointNames(p *ir.Policy) string {
	names := make([]string, len(p.Points))
	for i, pt := range p.Points {
		names[i] = pt.Name
	}
	return strings.Join(names, ", ")
}

// pointNamed finds the point that --point names.
func pointNamed(p *ir.Policy, name string) (*ir.Point, error) {
	for _, pt := range p.Points {
		if pt.Name == name {
			return pt, nil
		}
	}
	return nil, fmt.Errorf("the policy has no point %q; its points are: %s", name, pointNames(p))
}

// pointHere chooses the point whose machine this is: the one that --point
// names, or the one whose name or hostname is this machine's host name, in
// full or up to the first dot.
func (s *session) pointHere(p *ir.Policy, flag string) (*ir.Point, error) {
	if flag != "" {
		return pointNamed(p, flag)
	}
	if len(p.Points) == 0 {
		return nil, errors.New("the policy declares no point, so there is nothing to put in force: add a point block")
	}
	host, err := s.hostname()
	if err != nil {
		return nil, fmt.Errorf("cannot tell this machine's host name: %w; name the point with --point (%s)", err, pointNames(p))
	}
	var found []*ir.Point
	for _, pt := range p.Points {
		if sameHost(pt.Name, host) || sameHost(pt.Hostname, host) {
			found = append(found, pt)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fmt.Errorf("no point of the policy is this machine (host name %s): name one of %s with --point, or give it a hostname line", host, pointNames(p))
	}
	return nil, fmt.Errorf("%s and %s both match this machine's host name %s: choose with --point", found[0].Name, found[1].Name, host)
}

// sameHost compares a name from the policy with the machine's host name; a
// name without dots is compared with the first label.
func sameHost(name, host string) bool {
	if name == "" {
		return false
	}
	name, host = strings.TrimSuffix(name, "."), strings.TrimSuffix(host, ".")
	if strings.EqualFold(name, host) {
		return true
	}
	if strings.Contains(name, ".") && strings.Contains(host, ".") {
		return false // two full names that differ
	}
	nameLabel, _, _ := strings.Cut(name, ".")
	hostLabel, _, _ := strings.Cut(host, ".")
	return strings.EqualFold(nameLabel, hostLabel)
}

// count is "1 error", "2 errors".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
