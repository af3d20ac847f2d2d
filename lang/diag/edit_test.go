package diag

import (
	"slices"
	"testing"
)

func TestApply(t *testing.T) {
	at := func(file string, from, to int, text string) Edit {
		return Edit{Span{Pos{file, from, 1, from + 1}, Pos{file, to, 1, to + 1}}, text}
	}
	tests := []struct {
		name  string
		fixes [][]Edit
		want  string // of the file "a", which holds "0123456789"
		made  []bool
	}{
		{"nothing", nil, "0123456789", []bool{}},
		{"a fix of nothing", [][]Edit{{}}, "0123456789", []bool{false}},
		{"out of order", [][]Edit{{at("a", 8, 9, "x"), at("a", 0, 2, "")}}, "234567x9", []bool{true}},
		{"insertions", [][]Edit{{at("a", 0, 0, "<")}, {at("a", 10, 10, ">")}, {at("a", 5, 5, "-")}}, "<01234-56789>", []bool{true, true, true}},
		{"neighbours", [][]Edit{{at("a", 2, 4, "x")}, {at("a", 4, 6, "y")}, {at("a", 0, 2, "w")}}, "wxy6789", []bool{true, true, true}},
		{"the same twice", [][]Edit{{at("a", 2, 4, "x")}, {at("a", 2, 4, "x"), at("a", 9, 9, "z")}}, "01x45678z9", []bool{true, true}},
		{"the same place otherwise", [][]Edit{{at("a", 2, 4, "x")}, {at("a", 2, 4, "y")}}, "01x456789", []bool{true, false}},
		{"overlap leaves out the whole", [][]Edit{{at("a", 2, 6, "x")}, {at("a", 0, 1, "y"), at("a", 5, 7, "z")}}, "01x6789", []bool{true, false}},
		{"overlap from before", [][]Edit{{at("a", 4, 6, "x")}, {at("a", 3, 5, "y")}}, "0123x6789", []bool{true, false}},
		{"around another", [][]Edit{{at("a", 4, 5, "x")}, {at("a", 3, 7, "y")}}, "0123x56789", []bool{true, false}},
		{"an insertion inside", [][]Edit{{at("a", 2, 6, "x")}, {at("a", 4, 4, "y")}}, "01x6789", []bool{true, false}},
		{"two insertions at a place", [][]Edit{{at("a", 2, 2, "x")}, {at("a", 2, 2, "y")}}, "01x23456789", []bool{true, false}},
		{"a fix against itself", [][]Edit{{at("a", 2, 4, "x"), at("a", 3, 5, "y")}}, "0123456789", []bool{false}},
		{"outside", [][]Edit{{at("a", 9, 11, "x")}, {at("a", -1, 0, "x")}, {at("a", 5, 4, "x")}}, "0123456789", []bool{false, false, false}},
		{"a file that is not there", [][]Edit{{at("a", 0, 1, "x"), at("gone", 0, 0, "x")}}, "0123456789", []bool{false}},
		{"two files", [][]Edit{{at("b", 0, 1, "x"), at("a", 0, 1, "x")}}, "x123456789", []bool{true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			texts := map[string][]byte{"a": []byte("0123456789"), "b": []byte("b")}
			changed, made := Apply(texts, test.fixes)
			got, ok := changed["a"]
			if !ok {
				got = texts["a"]
			}
			if string(got) != test.want || !slices.Equal(made, test.made) {
				t.Errorf("%s %v, want %s %v", got, made, test.want, test.made)
			}
			if string(texts["a"]) != "0123456789" {
				t.Error("the text itself changed")
			}
		})
	}
}
