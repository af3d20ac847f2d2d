package lang

import (
	"strings"
	"testing"
)

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		`plain`: `"plain"`, `a "b" c`: `"a \"b\" c"`, `back\slash\`: `"back\\slash\\"`,
		"two\nlines\r\n": `"two lines  "`, "\x00\x7f": `"  "`, "\xff": "\"\uFFFD\"", "": `""`, "größe # }": `"größe # }"`,
	} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) is %s, want %s", in, got, want)
		}
	}
	if got := Comment("end\n}\npolicy \"x\""); got != `# end } policy "x"` {
		t.Errorf("Comment is %q", got)
	}
}

// FuzzWrite: whatever the text is, a policy that holds it has one statement,
// and the text is in its string again.
func FuzzWrite(f *testing.F) {
	for _, s := range []string{"", "x", `"`, `\`, `\"`, "a\nb", "#", "} policy", "\xff\xfe", " "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		src := "policy " + Quote(s) + " {\n  owner " + Quote(s) + "  " + Comment(s) + "\n}\n" + Comment(s) + "\n"
		file, findings := Parse("p.xfw", []byte(src))
		if len(findings) > 0 || len(file.Decls) != 1 || file.Decls[0].Policy == nil || len(file.Decls[0].Policy.Body.Items) != 1 {
			t.Fatalf("%q is not one statement: %v", src, findings)
		}
		if got := file.Decls[0].Policy.Name.Value(); got != printable(s) {
			t.Errorf("%q became %q", s, got)
		}
		if strings.Count(src, "\n") != 4 {
			t.Errorf("%q breaks a line", s)
		}
	})
}
