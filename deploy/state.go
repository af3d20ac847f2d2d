package deploy

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"xfwc/backends/nftables"
)

// Holder is who holds the lock of a state directory.
type Holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

// Event is one line of the journal.
type Event struct {
	Time    time.Time `json:"time"`
	ID      string    `json:"id"`    // the same for all events of one command
	What    string    `json:"event"` // "begin", "done", "failed", "pending", "confirmed", "rolled-back", "expired", "recovered"
	Command string    `json:"command,omitempty"`
	Policy  string    `json:"policy,omitempty"`
	Point   string    `json:"point,omitempty"`
	From    string    `json:"from,omitempty"`  // digest of the ruleset before
	To      string    `json:"to,omitempty"`    // digest of the ruleset after
	Plan    string    `json:"plan,omitempty"`  // the saved plan that was used
	Token   string    `json:"token,omitempty"` // of the change that waits or waited
	PID     int       `json:"pid,omitempty"`
	User    string    `json:"user,omitempty"`
	Note    string    `json:"note,omitempty"`
}

// record is what the state directory keeps about one applied ruleset.
type record struct {
	Version       int               `json:"version"`
	ID            string            `json:"id"` // of the journal events
	Policy        string            `json:"policy"`
	Point         string            `json:"point"`
	Path          string            `json:"path,omitempty"`
	When          time.Time         `json:"when"`
	User          string            `json:"user,omitempty"`
	PolicyDigest  string            `json:"policy_digest"`
	LockDigest    string            `json:"lock_digest"`
	RulesetDigest string            `json:"ruleset_digest"`
	Sources       map[string]string `json:"sources,omitempty"`
	Lock          string            `json:"lock,omitempty"`

	Ruleset later[savedRuleset] `json:"ruleset"`
	Guards  later[savedGuards]  `json:"guards"`
}

const recordVersion = 2

// names of the files below the state directory; doc.go says what they hold.
const (
	lockFile     = "lock"
	journalFile  = "journal"
	appliedFile  = "applied"
	previousFile = "previous"
	nextFile     = "next"
	pendingFile  = "pending.json"
	tempPrefix   = ".writing-"
)

// store is a state directory. Its read methods never write, not even a lock,
// so that drift can use them.
type store struct{ dir string }

func (o Options) store() store {
	if o.StateDir == "" {
		return store{DefaultStateDir}
	}
	return store{o.StateDir}
}

func (s store) path(name string) string { return filepath.Join(s.dir, name) }

// readRecord reads applied, previous or next; nil without error when there is
// no such record.
func (s store) readRecord(name string) (*record, error) {
	path := s.path(name + ".json")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &StateError{Op: "read", Path: path, Err: err}
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, &StateError{Op: "read", Path: path, Err: err}
	}
	if r.Version != recordVersion {
		return nil, &StateError{Op: "read", Path: path, Err: fmt.Errorf("it has version %d, and this xfwc reads version %d", r.Version, recordVersion)}
	}
	return &r, nil
}

// readPending reads the change that waits; nil when there is none.
func (s store) readPending() (*Pending, error) {
	path := s.path(pendingFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &StateError{Op: "read", Path: path, Err: err}
	}
	var p Pending
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, &StateError{Op: "read", Path: path, Err: err}
	}
	return &p, nil
}

// ReadJournal reads the events of a state directory, oldest first. A line that
// a crash tore is left out. No journal is no events.
func ReadJournal(stateDir string) ([]Event, error) {
	return store{stateDir}.readJournal()
}

func (s store) readJournal() ([]Event, error) {
	path := s.path(journalFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &StateError{Op: "read", Path: path, Err: err}
	}
	var events []Event
	for line := range bytes.Lines(b) {
		var e Event
		if json.Unmarshal(line, &e) == nil {
			events = append(events, e)
		}
	}
	return events, nil
}

// planUsed reports whether a saved plan was applied before.
func (s store) planUsed(id string) (bool, error) {
	events, err := s.readJournal()
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(events, func(e Event) bool {
		return e.Plan == id && (e.What == "done" || e.What == "pending")
	}), nil
}

// everApplied reports whether the journal knows of a finished apply of the
// policy at the point.
func (s store) everApplied(policy, point string) (bool, error) {
	events, err := s.readJournal()
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(events, func(e Event) bool {
		return e.Policy == policy && e.Point == point && (e.What == "done" || e.What == "confirmed")
	}), nil
}

// records reads those of the named records that are there.
func (s store) records(names ...string) ([]*record, error) {
	var out []*record
	for _, n := range names {
		r, err := s.readRecord(n)
		if err != nil {
			return nil, err
		}
		if r != nil {
			out = append(out, r)
		}
	}
	return out, nil
}

// writer is a state directory whose lock this process holds.
type writer struct {
	store
	lock *os.File
	// event holds what is the same in every journal line of this command.
	event Event
	// next is the record that this command has written as the next one: it need
	// not be read again.
	next *record
}

// openWriter creates the directory if need be and takes its lock. It waits for
// another holder as long as wait says.
func openWriter(o Options, now time.Time) (*writer, error) {
	s := o.store()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, &StateError{Op: "create", Path: s.dir, Err: err}
	}
	path := s.path(lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, &StateError{Op: "lock", Path: path, Err: err}
	}
	if err := flock(f, o.LockWait); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &StateError{Op: "lock", Path: path, Err: err}
		}
		return nil, &LockedError{Path: path, Holder: readHolder(f)}
	}
	w := &writer{store: s, lock: f}
	w.event = Event{ID: randomID(), Command: o.Command, PID: os.Getpid(), User: userName()}
	holder, _ := json.Marshal(Holder{PID: os.Getpid(), Command: o.Command, Since: now})
	// Who holds the lock is good to know and no more: a full disk must not keep
	// a rollback from the kernel.
	_ = overwrite(f, append(holder, '\n'))
	w.removeTemps()
	return w, nil
}

// flock takes the exclusive lock, trying again until wait is over. A blocking
// flock cannot be given a time limit.
func flock(f *os.File, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func readHolder(f *os.File) Holder {
	var h Holder
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 4096))
	if err == nil {
		_ = json.Unmarshal(b, &h) // what cannot be read is an unknown holder
	}
	return h
}

func overwrite(f *os.File, b []byte) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(b, 0)
	return err
}

// close gives the lock back. The file stays: removing it would let two
// processes lock two files of the same name.
func (w *writer) close() {
	_ = w.lock.Truncate(0)
	_ = w.lock.Close() // closing the last descriptor releases the lock
}

// removeTemps removes what a killed writer left half written.
func (w *writer) removeTemps() {
	names, err := filepath.Glob(w.path(tempPrefix + "*"))
	if err != nil {
		return
	}
	for _, n := range names {
		_ = os.Remove(n)
	}
}

// writeFile replaces a file whole: either the old or the new content is there
// after a crash at any moment. That the new one is there is certain after the
// next syncDir.
func (w *writer) writeFile(name string, content []byte) error {
	return w.writeFrom(name, bytes.NewReader(content))
}

// writeFrom is writeFile for content that comes piece by piece.
func (w *writer) writeFrom(name string, content io.Reader) error {
	path := w.path(name)
	fail := func(err error) error { return &StateError{Op: "write", Path: path, Err: err} }
	f, err := os.CreateTemp(w.dir, tempPrefix+name+"-*")
	if err != nil {
		return fail(err)
	}
	temp := f.Name()
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
		return fail(err)
	}
	return nil
}

func (w *writer) writeJSON(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return &StateError{Op: "write", Path: w.path(name), Err: err}
	}
	if err := w.writeFile(name, append(b, '\n')); err != nil {
		return err
	}
	return w.sync()
}

// sync makes sure that the names in the directory are on disk.
func (w *writer) sync() error {
	if err := syncDir(w.dir); err != nil {
		return &StateError{Op: "write", Path: w.dir, Err: err}
	}
	return nil
}

// rename moves a file within the directory; a file that is not there is no
// error.
func (w *writer) rename(from, to string) error {
	err := os.Rename(w.path(from), w.path(to))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &StateError{Op: "write", Path: w.path(to), Err: err}
	}
	return nil
}

// remove removes a file; one that is not there is no error.
func (w *writer) remove(names ...string) error {
	for _, n := range names {
		if err := os.Remove(w.path(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &StateError{Op: "write", Path: w.path(n), Err: err}
		}
	}
	return w.sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// writeNext writes the record that is about to be put in force, with its text.
func (w *writer) writeNext(r *record, text []byte) error {
	// The record is encoded while the text waits for the disk: feeds are long.
	// What concerns the disk is done by this thread, which may have a file system
	// of its own.
	from, to := io.Pipe()
	defer from.Close()
	go func() { to.CloseWithError(r.encode(to)) }()
	if err := w.writeFile(nextFile+".nft", text); err != nil {
		return err
	}
	if err := w.writeFrom(nextFile+".json", from); err != nil {
		return err
	}
	w.next = r
	return w.sync()
}

// promoteNext makes the next record the applied one, and the applied one the
// previous one, if it was another ruleset. Renames need no space. After a crash
// in between, recover finishes: next.json goes last.
func (w *writer) promoteNext() error {
	applied, err := w.readRecord(appliedFile)
	var damaged *StateError
	if errors.As(err, &damaged) {
		applied = nil // what cannot be read cannot be gone back to either
	} else if err != nil {
		return err
	}
	next := w.next
	if next == nil {
		if next, err = w.readRecord(nextFile); err != nil {
			return err
		}
	}
	if applied != nil && next != nil && applied.RulesetDigest != next.RulesetDigest {
		if err := w.renameRecord(appliedFile, previousFile); err != nil {
			return err
		}
	}
	if err := w.renameRecord(nextFile, appliedFile); err != nil {
		return err
	}
	w.next = nil
	return w.sync()
}

func (w *writer) renameRecord(from, to string) error {
	if err := w.rename(from+".nft", to+".nft"); err != nil {
		return err
	}
	return w.rename(from+".json", to+".json")
}

func (w *writer) removeNext() error {
	w.next = nil
	return w.remove(nextFile+".nft", nextFile+".json")
}

// log appends an event to the journal and waits until it is on disk.
func (w *writer) log(now time.Time, e Event) error {
	path := w.path(journalFile)
	fail := func(err error) error { return &StateError{Op: "write", Path: path, Err: err} }
	base := w.event
	e.Time, e.ID, e.Command, e.PID, e.User = now.UTC(), base.ID, base.Command, base.PID, base.User
	line, err := json.Marshal(e)
	if err != nil {
		return fail(err)
	}
	line = append(line, '\n')
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fail(err)
	}
	if torn(f, size) {
		line = append([]byte{'\n'}, line...)
	}
	if n, err := f.Write(line); err != nil {
		if n > 0 {
			_ = f.Truncate(size)
		}
		return fail(err)
	}
	if err := f.Sync(); err != nil {
		return fail(err)
	}
	return nil
}

// torn reports whether the journal ends in the middle of a line.
func torn(f *os.File, size int64) bool {
	if size == 0 {
		return false
	}
	last := make([]byte, 1)
	_, err := f.ReadAt(last, size-1)
	return err == nil && last[0] != '\n'
}

// reserve sets space aside for the journal lines that follow a commit, so that
// a disk that is full in that moment does not lose them. File systems that
// cannot do it do without.
func (w *writer) reserve() error {
	f, err := os.OpenFile(w.path(journalFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return &StateError{Op: "write", Path: w.path(journalFile), Err: err}
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, size, 8192)
	}
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) {
		return &StateError{Op: "write", Path: w.path(journalFile), Err: err}
	}
	return nil
}

// digest is "sha256:" and the hexadecimal hash of the parts, each with its
// length, so that no two lists of parts look alike.
func digest(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:", len(p))
		h.Write(p)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

func digestSources(sources map[string][]byte) string {
	names := make([]string, 0, len(sources))
	for n := range sources {
		names = append(names, n)
	}
	slices.Sort(names)
	var parts [][]byte
	for _, n := range names {
		parts = append(parts, []byte(n), sources[n])
	}
	return digest(parts...)
}

func digestRuleset(r *nftables.Ruleset) string { return digest(r.Text()) }

// randomID gives eight letters and digits that are easily told apart and typed.
func randomID() string {
	var b [5]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// userName is who runs the command, the person behind sudo if there is one.
func userName() string {
	if u := os.Getenv("SUDO_USER"); u != "" {
		return u
	}
	if u := os.Getenv("USER"); u != "" {
		return u
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}
