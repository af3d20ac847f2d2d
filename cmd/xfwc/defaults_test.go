package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"xfwc/compiler"
)

// TestDefaultsSchema holds what the command prints to its published schema, at
// every version where it changes.
func TestDefaultsSchema(t *testing.T) {
	const file = "../../docs/schema/defaults.schema.json"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(file, tree); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := [][]string{{"defaults", "--format", "json"}}
	for _, software := range compiler.Software() {
		for _, version := range compiler.Versions(software) {
			lines = append(lines, []string{"defaults", "--format", "json", software, version})
		}
	}
	for _, args := range lines {
		w, out, _ := machine("edge")
		if code := run(args, w); code != 0 {
			t.Fatalf("%v ended with %d", args, code)
		}
		v, err := jsonschema.UnmarshalJSON(out)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}
