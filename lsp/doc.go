// Package lsp is the language server: what `xfwc lsp` says to an editor.
//
// The way of a message is
//
//	stream   bytes to messages; what is none is answered, and the next is read (stream.go)
//	server   who may ask what and when, cancelling, panics (server.go)
//	texts    what the editor has open, and positions in UTF-16 (text.go)
//	tree     a policy with everything it includes, as open as it is (tree.go)
//	judge    findings of a tree, in the background, the newest text first (judge.go)
//
// and then one file for each thing that an editor can ask: hover, completion,
// names (definition, references, rename), symbols, actions.
package lsp
