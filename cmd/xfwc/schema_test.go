package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemas reads docs/schema, closed: what a schema does not name is refused, so
// that every field of an output is documented.
func schemas(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	files, err := filepath.Glob("../../docs/schema/*.schema.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no schemas: %v", err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat() // of dates
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		shut(tree)
		if err := c.AddResource("https://xfwc.example/"+filepath.Base(file), tree); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string]*jsonschema.Schema{}
	for _, file := range files {
		s, err := c.Compile("https://xfwc.example/" + filepath.Base(file))
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(file), ".schema.json")] = s
	}
	return out
}

// shut forbids what a schema does not name.
func shut(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["properties"].(map[string]any); ok {
			v["additionalProperties"] = false
		}
		for _, field := range v {
			shut(field)
		}
	case []any:
		for _, item := range v {
			shut(item)
		}
	}
}

// valid runs a command and holds what it prints to a schema.
func valid(t *testing.T, s *jsonschema.Schema, want int, args ...string) {
	t.Helper()
	w, out, stderr := machine("box.example")
	if got := run(append(args, "--format", "json"), w); got != want {
		t.Errorf("xfwc %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, want, stderr)
		return
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(out.String()))
	if err != nil {
		t.Errorf("xfwc %s: %v\n%s", strings.Join(args, " "), err, out)
		return
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("xfwc %s: %v", strings.Join(args, " "), err)
	}
}

// TestJSONSchemas holds the JSON of commands to the schemas that are published.
func TestJSONSchemas(t *testing.T) {
	of := schemas(t)
	policies, err := filepath.Glob("../../examples/*/policy.xfw")
	if err != nil || len(policies) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, policy := range policies {
		valid(t, of["findings"], 0, "check", policy, "--date", "2026-11-22")
		valid(t, of["ledger"], 0, "ledger", policy)
		valid(t, of["test"], 0, "test", policy)
	}
	for _, file := range []string{"site", "refused"} {
		valid(t, of["findings"], 1, "check", "testdata/report/"+file+".xfw", "--date", "2026-11-22")
	}
	valid(t, of["findings"], 2, "fix", "testdata/report/refused.xfw")
	office := "../../examples/office/policy.xfw"
	for _, packet := range []string{"tcp 203.0.113.9 -> chat:5269", "tcp 203.0.113.20 -> chat:5269", "tcp ops -> chat:5280", "udp 192.0.2.1 -> 192.0.2.2:9", "tcp 203.0.113.9 -> chat:5222"} {
		valid(t, of["explain"], 0, "explain", office, packet)
	}
	valid(t, of["explain"], 0, "explain", "testdata/report/site.xfw", "tcp ops -> chat:5280")
}

// TestDeploySchemas does the same for the running side, in a network namespace:
// before an apply, after it, while a change waits, and with drift.
func TestDeploySchemas(t *testing.T) {
	of := schemas(t)
	const policy = "../../examples/prosody-host/policy.xfw"
	state := []string{"--state-dir", t.TempDir()}
	apart(t, func() {
		valid(t, of["drift"], 3, append(state, "drift", policy)...)
		valid(t, of["plan"], 2, append(state, "plan", policy)...)
		w, out, stderr := machine("box.example")
		if got := run(append(state, "apply", policy, "--yes", "--warm-up", "0s"), w); got != 0 {
			t.Errorf("apply: exit code %d\n%s%s", got, out, stderr)
		}
		valid(t, of["plan"], 0, append(state, "plan", policy)...)
		valid(t, of["drift"], 0, append(state, "drift", policy)...)
		nft, err := exec.LookPath("nft")
		if err != nil {
			return // then nothing can be changed behind its back
		}
		for _, change := range []string{"insert rule inet xfwc input tcp dport 1 accept", "add set inet xfwc strange { type ipv4_addr; }"} {
			if text, err := exec.Command(nft, strings.Fields(change)...).CombinedOutput(); err != nil {
				t.Errorf("nft %s: %v\n%s", change, err, text)
			}
		}
		valid(t, of["plan"], 2, append(state, "plan", policy)...)
		valid(t, of["drift"], 2, append(state, "drift", policy)...)
		valid(t, of["drift"], 2, append(state, "drift", "--applied")...)
	})
}
