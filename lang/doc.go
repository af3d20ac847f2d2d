// Package lang reads and formats policies: the .xfw language.
//
// [Parse] and [Load] are the only doors to the grammar. They give a syntax tree
// and every problem of the text in one run; bad input never stops them. The way
// of a file is
//
//	scan     bytes to tokens, total (lexer.go)
//	balance  a brace that is missing or too many costs one finding (balance.go)
//	read     statements by the grammar in the tags of nodes.go, with recovery
//	         after each (parse.go, forms.go): the quick way where they are well
//	         formed (quick.go), by participle where not (grammar.go)
//
// and messages.go words what went wrong. [Format] respaces the tokens and
// consults the tree for where statements start. What names and values mean is
// for the compiler to say.
package lang
