package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"xfwc/compiler/ir"
	"xfwc/deploy"
	"xfwc/lang/diag"
)

// newCompile builds `xfwc compile`.
func newCompile(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compile POLICY (-o DIR | --check DIR)",
		Short: "Write the artefacts of every point and engine, or compare them with a directory",
		Long: `compile writes DIR/<point>/<engine>/… for every engine of every point. The
same policy, lock and feeds give the same bytes, everywhere and always.

Files are replaced whole, and none before all could be written. Files that an
earlier compile left and this one does not make are removed. Files that xfwc
did not write stay: when one stands where an artefact belongs, compile refuses
and writes nothing.

With --check nothing is written: the differences between DIR and what compile
would write are printed as unified diffs, and the exit code is 2 when there are
any.`,
		Args: onePolicy,
	}
	out := cmd.Flags().StringP("output", "o", "", "the directory to write to; made when it does not exist")
	checkDir := cmd.Flags().String("check", "", "the directory to compare with; nothing is written")
	point := cmd.Flags().String("point", "", "only this point")
	engine := cmd.Flags().String("engine", "", "only this engine")
	format := formatFlag(cmd)
	cmd.MarkFlagsMutuallyExclusive("output", "check")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if *out == "" && *checkDir == "" {
			return errors.New("compile needs -o DIR to write to, or --check DIR to compare with")
		}
		src, err := s.load(args[0])
		if err != nil {
			return err
		}
		points, err := chosen(src.policy, *point, *engine)
		if err != nil {
			return err
		}
		if len(points) == 0 {
			s.note("the policy declares no point, so it compiles to nothing: add a point block")
		}
		emission := emit(src.policy, points, *engine)
		if diag.HasErrors(emission.Findings) {
			diag.Sort(emission.Findings)
			diag.RenderText(s.err, emission.Findings, src.shown(), s.color(s.errTerminal))
			return end(failed)
		}
		t := tree{artefacts: emission.Artefacts}
		for _, pt := range points {
			for _, e := range pt.Engines {
				if *engine == "" || e.Kind == *engine {
					t.covered = append(t.covered, path.Join(pt.Name, e.Kind))
				}
			}
		}
		t.whole = *point == "" && *engine == ""
		if *checkDir != "" {
			return s.compareTree(*checkDir, &t, format.value)
		}
		return s.writeTree(*out, &t, format.value)
	}
	return cmd
}

// tree is what compile makes, and which part of the output directory it
// answers for.
type tree struct {
	artefacts []ir.Artefact
	covered   []string // "<point>/<engine>" folders that artefacts are all of
	whole     bool     // artefacts are all of the output directory
}

// treeFile is one file of the output directory, for --format json.
type treeFile struct {
	Path  string `json:"path"`           // below the directory, slash separated
	State string `json:"state"`          // "unchanged", "written", "removed"; "changed", "missing", "stale" with --check
	Diff  string `json:"diff,omitempty"` // --check: from the directory to what compile makes
}

// mark stands in a comment near the top of every artefact; a file without it
// was not written by xfwc, and is never replaced or removed.
const mark = "written by xfwc"

// ours reports whether a file was written by xfwc: its first lines say so.
func ours(content []byte) bool {
	return bytes.Contains(content[:min(len(content), 512)], []byte(mark))
}

// stale lists the files below dir that this tree answers for, that xfwc wrote
// and that are not part of the tree any more; sorted.
func (t *tree) stale(dir string) ([]string, error) {
	wanted := map[string]bool{}
	for _, a := range t.artefacts {
		wanted[treePath(a)] = true
	}
	var found []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if name == "." && errors.Is(err, fs.ErrNotExist) {
				return fs.SkipAll
			}
			return err
		}
		if !d.Type().IsRegular() || wanted[name] || !t.answersFor(name) {
			return nil
		}
		content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		if ours(content) {
			found = append(found, name)
		}
		return nil
	})
	return found, err
}

// answersFor reports whether the tree says all about the file: it lies in
// <point>/<engine>/ of what was compiled.
func (t *tree) answersFor(name string) bool {
	parts := strings.SplitN(name, "/", 3)
	if len(parts) < 3 {
		return false
	}
	return t.whole || slices.Contains(t.covered, parts[0]+"/"+parts[1])
}

// fits looks at everything that stands where an artefact belongs, before
// anything is written: only what xfwc wrote, or what is the same already, gives
// way.
func (t *tree) fits(dir string) error {
	var foreign []string
	for _, a := range t.artefacts {
		name := treePath(a)
		if !filepath.IsLocal(name) {
			return fmt.Errorf("refused: the artefact %q would lie outside %s", name, dir)
		}
		target := filepath.Join(dir, filepath.FromSlash(name))
		info, err := os.Stat(target)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return fmt.Errorf("cannot write %s: %w", name, err)
		case !info.Mode().IsRegular():
			return fmt.Errorf("cannot write %s: something that is no file is in the way", target)
		}
		old, err := os.ReadFile(target)
		if err != nil {
			return fmt.Errorf("cannot tell whether xfwc wrote what is there: %w", err)
		}
		if !ours(old) && !bytes.Equal(old, a.Bytes) {
			foreign = append(foreign, target)
		}
	}
	if len(foreign) > 0 {
		return fmt.Errorf("refused: xfwc did not write %s; nothing was written: move it away, or choose another directory",
			strings.Join(foreign, " and "))
	}
	return nil
}

// writeTree brings the directory to the tree. Every new file is on disk under
// a temporary name before the first one is renamed into place.
func (s *session) writeTree(dir string, t *tree, format string) (err error) {
	stale, err := t.stale(dir)
	if err != nil {
		return fmt.Errorf("cannot look through %s: %w", dir, err)
	}
	if err := t.fits(dir); err != nil {
		return err
	}
	type move struct{ from, to string }
	var moves []move
	defer func() {
		for _, m := range moves { // what is still here was not moved into place
			os.Remove(m.from)
		}
	}()
	var files []treeFile
	for _, a := range t.artefacts {
		name := treePath(a)
		target := filepath.Join(dir, filepath.FromSlash(name))
		if old, err := os.ReadFile(target); err == nil && bytes.Equal(old, a.Bytes) {
			files = append(files, treeFile{Path: name, State: "unchanged"})
			continue
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return fmt.Errorf("cannot write %s: %w", name, err)
		}
		staged, err := stage(target, a.Bytes, 0o644)
		if err != nil {
			return err
		}
		moves = append(moves, move{staged, target})
		files = append(files, treeFile{Path: name, State: "written"})
	}
	for len(moves) > 0 {
		if err := os.Rename(moves[0].from, moves[0].to); err != nil {
			return fmt.Errorf("cannot write %s: %w", moves[0].to, err)
		}
		moves = moves[1:]
	}
	for _, name := range stale {
		target := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.Remove(target); err != nil {
			return fmt.Errorf("cannot remove what an earlier compile left: %w", err)
		}
		// Folders that are empty now go too, up to the output directory; Remove
		// refuses the others.
		for folder := filepath.Dir(target); folder != filepath.Clean(dir) && os.Remove(folder) == nil; {
			folder = filepath.Dir(folder)
		}
		files = append(files, treeFile{Path: name, State: "removed"})
	}
	if format == "json" {
		return writeJSON(s.out, map[string]any{"directory": dir, "files": files})
	}
	for _, f := range files {
		if _, err := fmt.Fprintf(s.out, "%-9s  %s\n", f.State, filepath.Join(dir, filepath.FromSlash(f.Path))); err != nil {
			return err
		}
	}
	return nil
}

// compareTree prints how the directory differs from the tree.
func (s *session) compareTree(dir string, t *tree, format string) error {
	if info, err := os.Stat(dir); err != nil {
		return fmt.Errorf("cannot compare with %s: %w", dir, err)
	} else if !info.IsDir() {
		return fmt.Errorf("cannot compare with %s: it is not a directory", dir)
	}
	stale, err := t.stale(dir)
	if err != nil {
		return fmt.Errorf("cannot look through %s: %w", dir, err)
	}
	files := []treeFile{}
	compare := func(name, state string, old, new []byte) {
		shown := filepath.Join(dir, filepath.FromSlash(name))
		before, after := shown, shown+" (compiled)"
		switch state {
		case "missing":
			before = "/dev/null"
		case "stale":
			after = "/dev/null"
		}
		files = append(files, treeFile{Path: name, State: state, Diff: deploy.CompareText(before, after, old, new)})
	}
	for _, a := range t.artefacts {
		name := treePath(a)
		old, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			compare(name, "missing", nil, a.Bytes)
		case err != nil:
			return fmt.Errorf("cannot compare: %w", err)
		case !bytes.Equal(old, a.Bytes):
			compare(name, "changed", old, a.Bytes)
		}
	}
	for _, name := range stale {
		old, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return fmt.Errorf("cannot compare: %w", err)
		}
		compare(name, "stale", old, nil)
	}
	if format == "json" {
		if err := writeJSON(s.out, map[string]any{"directory": dir, "files": files}); err != nil {
			return err
		}
	} else {
		for _, f := range files {
			if _, err := io.WriteString(s.out, f.Diff); err != nil {
				return err
			}
		}
	}
	if len(files) > 0 {
		s.note("%s differs from %s", count(len(files), "file"), "what the policy compiles to")
		return end(differs)
	}
	return nil
}

// writeJSON prints a result for programs: indented, one value, a newline.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
