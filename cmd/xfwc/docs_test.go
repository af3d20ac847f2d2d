package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestDocumentedCommands compares the table of commands in SPEC.md with the
// command tree, both ways: every command and flag is there, and nothing else.
func TestDocumentedCommands(t *testing.T) {
	spec, err := os.ReadFile("../../SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `xfwc ([a-z]+)[^|]*\\|.*$").FindAllStringSubmatch(string(spec), -1) {
		rows[m[1]] = m[0]
	}
	w, _, _ := machine("edge")
	root := newRoot(&session{world: w})
	root.InitDefaultCompletionCmd()
	var names []string
	for _, c := range root.Commands() {
		if c.Hidden || c.Name() == "help" {
			continue
		}
		names = append(names, c.Name())
		row, ok := rows[c.Name()]
		if !ok {
			t.Errorf("SPEC.md has no row for xfwc %s", c.Name())
			continue
		}
		checkFlags(t, c, row)
	}
	for name := range rows {
		if !slices.Contains(names, name) {
			t.Errorf("SPEC.md has a row for xfwc %s, which does not exist", name)
		}
	}
}

// checkFlags compares the flags in a row with those of the command. fmt's are
// written by their short names.
func checkFlags(t *testing.T, c *cobra.Command, row string) {
	documented := regexp.MustCompile("`(--?[a-z-]+)").FindAllStringSubmatch(row, -1)
	var given []string
	for _, d := range documented {
		given = append(given, d[1])
	}
	var exist []string
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		exist = append(exist, "--"+f.Name)
		if f.Shorthand != "" {
			exist = append(exist, "-"+f.Shorthand)
		}
		if !slices.Contains(given, "--"+f.Name) && (f.Shorthand == "" || !slices.Contains(given, "-"+f.Shorthand)) {
			t.Errorf("SPEC.md does not name %s --%s", c.CommandPath(), f.Name)
		}
	})
	for _, g := range given {
		if !slices.Contains(exist, g) {
			t.Errorf("SPEC.md names %s %s, which does not exist", c.CommandPath(), g)
		}
	}
}

// TestHelp holds every command to help that says something.
func TestHelp(t *testing.T) {
	w, _, _ := machine("edge")
	for _, c := range newRoot(&session{world: w}).Commands() {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("xfwc %s has the short help %q", c.Name(), c.Short)
		}
		for line := range strings.Lines(c.Long) {
			if utf8.RuneCountInString(strings.TrimRight(line, "\n")) > 80 {
				t.Errorf("xfwc %s: a line of help is longer than 80 characters: %s", c.Name(), line)
			}
		}
	}
}
