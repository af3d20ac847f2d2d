package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// writeWhole replaces a file so that a reader, also after a crash, sees the old
// content or the new one, never a part.
func writeWhole(name string, content []byte, mode os.FileMode) error {
	staged, err := stage(name, content, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(staged, name); err != nil {
		os.Remove(staged)
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	return nil
}

// replace writes files in the place of those that are there: none before all
// could be written. A link stays one; what it leads to is written.
func replace(texts map[string][]byte) (err error) {
	staged := map[string]string{} // by the file to replace
	defer func() {
		for _, temporary := range staged {
			os.Remove(temporary)
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		real, err := filepath.EvalSymlinks(name)
		if err != nil {
			return fmt.Errorf("cannot write %s: %w", name, err)
		}
		info, err := os.Stat(real)
		if err != nil {
			return fmt.Errorf("cannot write %s: %w", name, err)
		}
		if staged[real], err = stage(real, texts[name], info.Mode().Perm()); err != nil {
			return err
		}
	}
	for _, real := range slices.Sorted(maps.Keys(staged)) {
		if err := os.Rename(staged[real], real); err != nil {
			return fmt.Errorf("cannot write %s: %w", real, err)
		}
		delete(staged, real)
	}
	return nil
}

// stage writes content to a new file beside name and returns its path. It is
// on disk when stage returns, so that the rename that follows cannot run out
// of space.
func stage(name string, content []byte, mode os.FileMode) (path string, err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".new-*")
	if err != nil {
		return "", fmt.Errorf("cannot write %s: %w", name, err)
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
			err = fmt.Errorf("cannot write %s: %w", name, err)
		}
	}()
	if _, err = f.Write(content); err != nil {
		return "", err
	}
	if err = f.Chmod(mode); err != nil {
		return "", err
	}
	if err = f.Sync(); err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}
