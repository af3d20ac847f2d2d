package lsp

import (
	"bytes"
	"path/filepath"
	"slices"
	"sync"

	"xfwc/lang"
	"xfwc/lang/diag"
)

// document is a file that the editor has open. It is never changed.
type document struct {
	uri     string // as the editor spells it
	path    string
	file    bool // it has a place on disk, where its includes and its lock are
	version int
	text    *text
}

// view is everything that is open, at one moment, over what is on disk. What is
// read of it is remembered.
type view struct {
	open   map[string]*document // by path
	disk   lang.Source
	parsed *parsed

	mu       sync.Mutex
	trees    map[string]*tree
	roots    map[string][]string
	verdicts map[string]*verdict
}

func newView(open map[string]*document, disk lang.Source, p *parsed) *view {
	return &view{
		open: open, disk: disk, parsed: p,
		trees: map[string]*tree{}, roots: map[string][]string{}, verdicts: map[string]*verdict{},
	}
}

// source reads files as they are open, and others as they are on disk.
func (v *view) source() lang.Source {
	return lang.Source{
		Read: func(path string) ([]byte, error) {
			if d := v.open[path]; d != nil {
				return d.text.bytes, nil
			}
			return v.disk.Read(path)
		},
		Glob: func(pattern string) ([]string, error) {
			names, err := v.disk.Glob(pattern)
			if err != nil {
				return nil, err
			}
			for path := range v.open {
				if ok, err := filepath.Match(pattern, path); err == nil && ok && !slices.Contains(names, path) {
					names = append(names, path)
				}
			}
			return names, nil
		},
		Parse: v.parsed.parse,
	}
}

// parsed remembers the trees of files by their texts.
type parsed struct {
	mu    sync.Mutex
	files map[string]parsedFile // by path
}

type parsedFile struct {
	src      []byte
	file     *lang.File
	findings []diag.Finding
}

func (p *parsed) parse(name string, src []byte) (*lang.File, []diag.Finding) {
	p.mu.Lock()
	known, ok := p.files[name]
	p.mu.Unlock()
	if !ok || !bytes.Equal(known.src, src) {
		known.src = src
		known.file, known.findings = lang.Parse(name, src)
		p.mu.Lock()
		p.files[name] = known
		p.mu.Unlock()
	}
	return known.file, known.findings
}

// tree is a policy file with everything that it includes.
type tree struct {
	root     string
	files    []*lang.File
	texts    map[string]*text // by path
	findings []diag.Finding   // of the language

	once sync.Once
	uses []lang.Use // of all files
}

// tree reads the tree below a file.
func (v *view) tree(root string) *tree {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.load(root)
}

func (v *view) load(root string) *tree {
	if t := v.trees[root]; t != nil {
		return t
	}
	t := &tree{root: root, texts: map[string]*text{}}
	var sources map[string][]byte
	t.files, sources, t.findings = lang.Load(root, v.source())
	for path, src := range sources {
		if d := v.open[path]; d != nil {
			t.texts[path] = d.text
		} else {
			t.texts[path] = newText(src)
		}
	}
	v.trees[root] = t
	return t
}

// file is one file of the tree; nil where it is not part of it.
func (t *tree) file(path string) *lang.File {
	for _, f := range t.files {
		if f.Name == path {
			return f
		}
	}
	return nil
}

// allUses are the words of all files that stand for something.
func (t *tree) allUses() []lang.Use {
	t.once.Do(func() {
		for _, f := range t.files {
			lang.Uses(f, func(u lang.Use) { t.uses = append(t.uses, u) })
		}
	})
	return t.uses
}

// policyName is how the file is named that others are looked for from.
const policyName = "policy.xfw"

// rootsOf lists the policies that a file is part of: those in the folders from
// its own upwards that include it, the nearest first, then other open files that
// do. A file that nobody includes is a policy of its own.
func (v *view) rootsOf(path string) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if roots := v.roots[path]; roots != nil {
		return roots
	}
	var candidates []string
	if d := v.open[path]; d == nil || d.file {
		for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
			candidates = append(candidates, filepath.Join(dir, policyName))
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	var others []string
	for other := range v.open {
		others = append(others, other)
	}
	slices.Sort(others)
	var roots []string
	for _, c := range append(candidates, others...) {
		if c == path || slices.Contains(roots, c) {
			continue
		}
		if t := v.load(c); t.file(path) != nil {
			roots = append(roots, c)
		}
	}
	// What one of them includes is judged with that one.
	includes := func(a, b string) bool { return a != b && v.load(a).file(b) != nil }
	roots = slices.DeleteFunc(slices.Clone(roots), func(r string) bool {
		return slices.ContainsFunc(roots, func(other string) bool { return includes(other, r) && !includes(r, other) })
	})
	if len(roots) == 0 {
		roots = []string{path}
	}
	v.roots[path] = roots
	return roots
}

// home is the tree that a file is judged in.
func (v *view) home(path string) *tree { return v.tree(v.rootsOf(path)[0]) }

// uri is how the editor spells a file.
func (v *view) uri(path string) string {
	if d := v.open[path]; d != nil {
		return d.uri
	}
	return uriOf(path)
}

// location is where a span is.
func (v *view) location(t *tree, s diag.Span) (location, bool) {
	text := t.texts[s.Start.Filename]
	if text == nil {
		return location{}, false
	}
	return location{v.uri(s.Start.Filename), text.span(s)}, true
}
