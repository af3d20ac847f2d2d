package main

import (
	"fmt"
	"os"
	"path/filepath"
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
