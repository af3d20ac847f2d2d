package lang

import (
	"reflect"
	"sync"
)

// Walk calls f for n and, where f returns true, for the nodes below it, in the
// order of the fields, which is the order of the text.
func Walk(n Node, f func(Node) bool) {
	if v := reflect.ValueOf(n); !v.IsNil() {
		walk(n, v.Elem(), f)
	}
}

// walk visits the node n, which v holds.
func walk(n Node, v reflect.Value, f func(Node) bool) {
	if !f(n) {
		return
	}
	for _, i := range nodeFields(v.Type()) {
		switch field := v.Field(i); field.Kind() {
		case reflect.Pointer:
			walkPointer(field, f)
		case reflect.Slice:
			for k := range field.Len() {
				walkPointer(field.Index(k), f)
			}
		default:
			walk(field.Addr().Interface().(Node), field, f)
		}
	}
}

func walkPointer(v reflect.Value, f func(Node) bool) {
	if !v.IsNil() {
		walk(v.Interface().(Node), v.Elem(), f)
	}
}

var (
	nodeType = reflect.TypeFor[Node]()
	// fields holds what nodeFields found, by type.
	fields sync.Map
)

// nodeFields lists the fields of a struct that are nodes, point to one, or are
// lists of pointers to nodes.
func nodeFields(t reflect.Type) []int {
	if known, ok := fields.Load(t); ok {
		return known.([]int)
	}
	var nodes []int
	for i := range t.NumField() {
		field := t.Field(i)
		elem := field.Type
		switch elem.Kind() {
		case reflect.Slice:
			elem = elem.Elem()
		case reflect.Struct:
			elem = reflect.PointerTo(elem)
		}
		if field.IsExported() && elem.Kind() == reflect.Pointer && elem.Implements(nodeType) {
			nodes = append(nodes, i)
		}
	}
	fields.Store(t, nodes)
	return nodes
}

// Lists calls f for every list of words or strings below n that has two entries
// or more, in the order of the text.
func Lists(n Node, f func([]Node)) {
	Walk(n, func(n Node) bool {
		v := reflect.ValueOf(n).Elem()
		for _, i := range nodeFields(v.Type()) {
			field := v.Field(i)
			if t := field.Type(); t != wordsType && t != strsType || field.Len() < 2 {
				continue
			}
			list := make([]Node, field.Len())
			for k := range list {
				list[k] = field.Index(k).Interface().(Node)
			}
			f(list)
		}
		return true
	})
}

var wordsType, strsType = reflect.TypeFor[[]*Word](), reflect.TypeFor[[]*Str]()
