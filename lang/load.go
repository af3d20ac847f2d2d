package lang

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"xfwc/lang/diag"
)

// maxIncludes bounds how deep includes may nest. It stops a chain through
// symbolic links, whose files never have the same path twice.
const maxIncludes = 64

// Source is where Load reads files.
type Source struct {
	// Read gives the content of a file.
	Read func(path string) ([]byte, error)
	// Glob lists the files that a pattern of path/filepath matches.
	Glob func(pattern string) ([]string, error)
	// Parse reads the text of a file; nil is [Parse]. Who loads again and again
	// remembers here what did not change.
	Parse func(name string, src []byte) (*File, []diag.Finding)
}

// OS reads the files of this machine. It reads no more of a file than Parse
// accepts, and regular files alone.
func OS() Source {
	return Source{
		Read: func(path string) ([]byte, error) {
			return readRegular(path, maxSize+1)
		},
		Glob: filepath.Glob,
	}
}

// ReadFile is os.ReadFile for regular files alone: a pipe or a device may never
// come to an end. A symbolic link to a regular file is one.
func ReadFile(path string) ([]byte, error) { return readRegular(path, math.MaxInt64) }

func readRegular(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // which does not wait for a pipe's writer
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, &fs.PathError{Op: "read", Path: path, Err: syscall.EISDIR}
	case !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("it is no regular file")}
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// Load reads a policy file and what it includes. The files come in reading
// order: path first, then each include in order of appearance with everything
// below it. Patterns are relative to the file that includes; the files that one
// pattern matches come in the order of their paths, and a file is read once
// even if two includes name it. sources holds the text of every file by name.
//
// A file that cannot be read, a pattern that matches nothing and an include
// that leads back to its own file are findings; the other files are still read.
func Load(path string, s Source) (files []*File, sources map[string][]byte, findings []diag.Finding) {
	if s.Parse == nil {
		s.Parse = Parse
	}
	l := loader{source: s, sources: map[string][]byte{}}
	path = filepath.Clean(path)
	src, err := s.Read(path)
	if err != nil {
		start := diag.Pos{Filename: path, Line: 1, Column: 1}
		f := diag.New("syntax-include", diag.Span{Start: start, End: start}, fmt.Sprintf("%s cannot be read: %s", path, reason(err)))
		f.Remedy = "Name an existing policy file that can be read."
		return nil, l.sources, []diag.Finding{f}
	}
	l.add(path, src, nil)
	return l.files, l.sources, l.findings
}

type loader struct {
	source   Source
	files    []*File
	sources  map[string][]byte
	findings []diag.Finding
}

// including is an include statement on the way to the file that is read.
type including struct {
	file string // that holds the statement
	decl *IncludeDecl
}

// add parses a file and loads what it includes. trail leads to the file.
func (l *loader) add(name string, src []byte, trail []including) {
	file, findings := l.source.Parse(name, src)
	l.files = append(l.files, file)
	l.sources[name] = src
	l.findings = append(l.findings, findings...)
	for _, d := range file.Decls {
		if d.Include != nil {
			l.include(name, d.Include, append(slices.Clip(trail), including{name, d.Include}))
		}
	}
}

// include loads the files of one include statement, the last of the trail.
func (l *loader) include(from string, d *IncludeDecl, trail []including) {
	fail := func(format string, args ...any) *diag.Finding {
		l.findings = append(l.findings, diag.New("syntax-include", d.Pattern.Span(), fmt.Sprintf(format, args...)))
		return &l.findings[len(l.findings)-1]
	}
	pattern := d.Pattern.Value()
	if pattern == "" {
		fail("this include names no file")
		return
	}
	if len(trail) > maxIncludes {
		fail("includes are nested deeper than %d files", maxIncludes).Remedy = "Include the files from fewer levels."
		return
	}
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(from), pattern)
	}
	names, err := l.source.Glob(pattern)
	if err != nil {
		fail("%q is not a pattern of file names", d.Pattern.Value()).Remedy = "A pattern uses * ? and [a-z]; a backslash takes their meaning away."
		return
	}
	if len(names) == 0 {
		if strings.ContainsAny(pattern, `*?[\`) {
			fail("no file matches %q", pattern).Remedy = "Correct the pattern, or remove the include; it is relative to this file."
		} else {
			fail("%q does not exist", pattern)
		}
		return
	}
	slices.Sort(names)
	for _, name := range names {
		name = filepath.Clean(name)
		if i := slices.IndexFunc(trail, func(in including) bool { return in.file == name }); i >= 0 {
			f := fail("this include leads back to %s", name)
			f.Remedy = "Remove one include of the cycle."
			if i == len(trail)-1 {
				f.Summary = "this include names its own file"
				f.Remedy = "Remove the include, or narrow its pattern."
			}
			for _, in := range trail[i : len(trail)-1] {
				f.Labels = append(f.Labels, diag.Label{Span: in.decl.Span(), Text: "by way of this include"})
			}
			continue
		}
		if _, done := l.sources[name]; done {
			continue
		}
		src, err := l.source.Read(name)
		if err != nil {
			fail("%s cannot be read: %s", name, reason(err))
			continue
		}
		l.add(name, src, trail)
	}
}

// reason is an error without the path, which the finding names already.
func reason(err error) string {
	var perr *fs.PathError
	if errors.As(err, &perr) {
		err = perr.Err
	}
	return err.Error()
}
