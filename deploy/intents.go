package deploy

import (
	"cmp"
	"slices"

	"xfwc/backends/nftables"
)

// Effect is what a plan does to a statement of the policy.
type Effect string

const (
	Added      Effect = "added"      // nothing of it was in force
	Removed    Effect = "removed"    // it goes out of force
	Altered    Effect = "changed"    // what is in force of it changes
	Renumbered Effect = "renumbered" // only the policy line that it is traced to changes
)

// Intent is what a plan does to one statement of the policy, such as "clients
// of chat": the changes of all its rules, sets and counters in one line.
type Intent struct {
	Effect Effect `json:"effect"`
	// Statement as the policy labels it.
	Statement string `json:"statement"`
	// Line is the policy line, such as "policy.xfw:12"; of a removed statement
	// the line that it had.
	Line string `json:"line,omitempty"`
	// Changes is how many of the plan's changes belong to it.
	Changes int `json:"changes"`
}

// intents sums a plan up by statements: first those that stay or come, in the
// order of their lines, then those that go.
func intents(live, want *nftables.Snapshot, changes []Change) []Intent {
	had, has := statementLines(live), statementLines(want)
	counts := map[string]int{}
	meaning := map[string]bool{}
	for _, c := range changes {
		label := changeStatement(c)
		// Statements without rules of their own, such as networks, are known by
		// what changes of them.
		if line, l := splitOrigin(c.Origin); line != "" && l != "" && has[l] == "" {
			has[l] = line
			if c.Class != Missing || c.Kind != "set" {
				had[l] = cmp.Or(had[l], line)
			}
		}
		counts[label]++
		if c.What != "comment" {
			meaning[label] = true
		}
	}
	var out []Intent
	for label, line := range has {
		i := Intent{Statement: label, Line: line, Changes: counts[label]}
		switch {
		case had[label] == "":
			i.Effect = Added
		case meaning[label]:
			i.Effect = Altered
		case counts[label] > 0:
			i.Effect = Renumbered
		default:
			continue
		}
		out = append(out, i)
	}
	for label, line := range had {
		if has[label] == "" {
			out = append(out, Intent{Effect: Removed, Statement: label, Line: line, Changes: counts[label]})
		}
	}
	slices.SortFunc(out, func(a, b Intent) int {
		return cmp.Or(
			compareBool(a.Effect == Removed, b.Effect == Removed),
			compareLines(a.Line, b.Line),
			cmp.Compare(a.Statement, b.Statement),
		)
	})
	return out
}

// statementLines gives the line of every statement that a rule of the table
// comes from.
func statementLines(s *nftables.Snapshot) map[string]string {
	out := map[string]string{}
	for _, o := range s.Objects {
		for _, i := range o.Items {
			if line, label := splitOrigin(i.Comment); line != "" && label != "" && out[label] == "" {
				out[label] = line
			}
		}
	}
	return out
}

// changeStatement is the statement that a change belongs to: its origin, or
// for something foreign the comment that it carries.
func changeStatement(c Change) string {
	if _, label := splitOrigin(c.Origin); label != "" {
		return label
	}
	_, label := splitOrigin(c.note)
	return label
}

// compareLines orders policy lines by file, then by number.
func compareLines(a, b string) int {
	fileA, numA := lineParts(a)
	fileB, numB := lineParts(b)
	return cmp.Or(cmp.Compare(fileA, fileB), cmp.Compare(numA, numB))
}

func lineParts(line string) (file string, number int) {
	for i := len(line) - 1; i >= 0; i-- {
		if line[i] == ':' {
			for _, c := range line[i+1:] {
				number = number*10 + int(c-'0')
			}
			return line[:i], number
		}
	}
	return line, 0
}
