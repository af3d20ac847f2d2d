package lang

import "reflect"

// Walk calls f for n and, where f returns true, for the nodes below it, in the
// order of the fields, which is the order of the text.
func Walk(n Node, f func(Node) bool) { walk(reflect.ValueOf(n), f) }

var nodeType = reflect.TypeFor[Node]()

func walk(v reflect.Value, f func(Node) bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		if v.Type().Implements(nodeType) && !f(v.Interface().(Node)) {
			return
		}
		walkFields(v.Elem(), f)
	case reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), f)
		}
	case reflect.Struct:
		if v.CanAddr() {
			walk(v.Addr(), f)
		}
	}
}

func walkFields(v reflect.Value, f func(Node) bool) {
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		switch field.Type.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Struct:
			walk(v.Field(i), f)
		}
	}
}
