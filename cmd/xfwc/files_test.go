package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Either all files are replaced or none, and nothing is left lying about.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	a, b, link := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "link")
	for _, name := range []string{a, b} {
		if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("b", link); err != nil {
		t.Fatal(err)
	}
	if err := replace(map[string][]byte{a: []byte("new"), filepath.Join(dir, "gone"): []byte("new")}); err == nil {
		t.Error("a file that is not there was replaced")
	}
	if text, err := os.ReadFile(a); err != nil || string(text) != "old" {
		t.Errorf("a is %q, %v after a failure", text, err)
	}
	if err := replace(map[string][]byte{a: []byte("new"), link: []byte("new")}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{a, b, link} {
		if text, err := os.ReadFile(name); err != nil || string(text) != "new" {
			t.Errorf("%s is %q, %v", name, text, err)
		}
	}
	if to, err := os.Readlink(link); err != nil || to != "b" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 3 {
		t.Errorf("%d entries are left, %v", len(left), err)
	}
}
