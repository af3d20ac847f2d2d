package ir

// Pattern is a pattern of the portable subset: literals, classes, anchors,
// ? * + and groups. What an engine cannot say of it is a ledger entry.
type Pattern struct {
	Name   string // "" where it stands in a rule itself
	Source string
	Origin Origin
}
