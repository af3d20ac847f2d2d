package lang

import (
	"reflect"
	"strings"
	"sync"

	"xfwc/lang/diag"
)

// Use is a word of a policy with what it stands for.
type Use struct {
	// Name is the word, or the name in it: chat of chat:5222. Span is where it is.
	Name string
	Span diag.Span
	Sense
}

// Sense is what a word may stand for, in a place of the grammar.
type Sense struct {
	Defines string   // the kind of name that it makes, or ""
	Refers  []string // the kinds of names that it may be
	OneOf   []string // the words of the language that may stand there
}

// The kinds of names are the keywords that make them, and code, a code of
// findings. Those of place share one name space.
var place = []string{"network", "zone", "server", "point"}

// SameSpace reports whether names of two kinds cannot be alike.
func SameSpace(a, b string) bool {
	isPlace := func(kind string) bool {
		for _, p := range place {
			if kind == p {
				return true
			}
		}
		return false
	}
	return a == b || isPlace(a) && isPlace(b)
}

// Uses calls f for every word below n that stands for something, in the order of
// the text.
func Uses(n Node, f func(Use)) {
	Walk(n, func(n Node) bool {
		v := reflect.ValueOf(n).Elem()
		for _, t := range tagsOf(v.Type()) {
			switch words := v.Field(t.field).Addr().Interface().(type) {
			case **Word:
				if *words != nil {
					f(use(*words, t.sense(v)))
				}
			case *[]*Word:
				for _, w := range *words {
					f(use(w, t.sense(v)))
				}
			}
		}
		return true
	})
}

func use(w *Word, r Sense) Use {
	u := Use{Name: w.Text, Span: w.Span(), Sense: r}
	if name, _, ok := strings.Cut(w.Text, ":"); ok && strings.Count(w.Text, ":") == 1 && len(r.Refers) > 0 {
		u.Name = name
		u.Span.End = u.Span.Start
		u.Span.End.Offset += len(name)
		u.Span.End.Column += len(name)
	}
	return u
}

// tags are what the tags of a field say besides the grammar.
type tags struct {
	field         int
	defines       string
	refers, oneof []alternative
}

// alternative is a list of words, which may hold only where a word is next to
// the field.
type alternative struct {
	where string
	words []string
}

// knownTags holds what tagsOf found, by type.
var knownTags sync.Map

// tagsOf lists the tagged fields of a struct.
func tagsOf(t reflect.Type) []tags {
	if known, ok := knownTags.Load(t); ok {
		return known.([]tags)
	}
	var all []tags
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		got := tags{i, tag.Get("defines"), alternatives(tag.Get("refers")), alternatives(tag.Get("oneof"))}
		if got.defines != "" || got.refers != nil || got.oneof != nil {
			all = append(all, got)
		}
	}
	knownTags.Store(t, all)
	return all
}

// alternatives reads a tag: words, and words in brackets behind a condition.
func alternatives(tag string) []alternative {
	var all []alternative
	for tag = strings.TrimSpace(tag); tag != ""; tag = strings.TrimSpace(tag) {
		n := strings.IndexAny(tag+" ", " (")
		where, rest := tag[:n], tag[n:]
		if strings.HasPrefix(rest, "(") {
			inside, after, _ := strings.Cut(rest[1:], ")")
			all = append(all, alternative{where, strings.Fields(inside)})
			tag = after
			continue
		}
		if last := len(all) - 1; last >= 0 && all[last].where == "" {
			all[last].words = append(all[last].words, where)
		} else {
			all = append(all, alternative{"", []string{where}})
		}
		tag = rest
	}
	return all
}

// sense is what the tags say of a field of v.
func (t tags) sense(v reflect.Value) Sense {
	return Sense{Defines: t.defines, Refers: choose(t.refers, v), OneOf: choose(t.oneof, v)}
}

// choose finds the first alternative that holds in v. Field names stand for what
// is in them.
func choose(alternatives []alternative, v reflect.Value) []string {
	for _, a := range alternatives {
		if a.where != "" && !holds(a.where, v) {
			continue
		}
		var words []string
		for _, w := range a.words {
			switch field := v.FieldByName(w); {
			case field.IsValid():
				words = append(words, field.String())
			case w == "place":
				words = append(words, place...)
			default:
				words = append(words, w)
			}
		}
		return words
	}
	return nil
}

// holds reports whether a flag of v is set, or a text of v is the word.
func holds(word string, v reflect.Value) bool {
	if flag := v.FieldByName(word); flag.IsValid() && flag.Kind() == reflect.Bool {
		return flag.Bool()
	}
	for i := range v.NumField() {
		if field := v.Field(i); field.Kind() == reflect.String && field.String() == word {
			return true
		}
	}
	return false
}

// senseOf is the role of the words of one field of v.
func senseOf(v reflect.Value, field int) Sense {
	for _, t := range tagsOf(v.Type()) {
		if t.field == field {
			return t.sense(v)
		}
	}
	return Sense{}
}
