package scim

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// patchList changes a list of values, or those of its elements that a filter names.
func patchList(in object, t target, o operation) error {
	list, _ := in[t.attr.name].([]any)
	var fresh []uintptr // elements that this operation has written
	note := func(e object) { fresh = append(fresh, reflect.ValueOf(e).Pointer()) }
	var err error
	switch {
	case t.filter != nil:
		list, err = patchElements(list, t, o, note)
	case t.sub != nil:
		err = patchEach(list, t, o, note)
	default:
		list, err = patchAll(list, t.attr, o, note)
	}
	if err != nil {
		return err
	}
	if len(list) > maxElements {
		return invalid("%s has %d values, over %d", t.attr.name, len(list), maxElements)
	}
	onePrimary(list, func(e object) bool { return slices.Contains(fresh, reflect.ValueOf(e).Pointer()) })
	in[t.attr.name] = list
	return nil
}

// patchAll adds to a list, replaces it, or removes from it: with a value, as Entra ID sends it, those elements only.
func patchAll(list []any, a *attribute, o operation, note func(object)) ([]any, error) {
	if o.op == "remove" && o.value == nil {
		return nil, nil
	}
	clean, err := a.clean(o.value)
	if err != nil {
		return nil, err
	}
	elements, _ := clean.([]any)
	switch o.op {
	case "replace":
		return elements, nil
	case "remove":
		return slices.DeleteFunc(list, func(have any) bool {
			return slices.ContainsFunc(elements, func(gone any) bool { return sameElement(have, gone) })
		}), nil
	}
	for _, e := range elements {
		list = addElement(list, e)
		for _, have := range list { // the one that is there now, new or not
			if h, ok := have.(object); ok && sameElement(have, e) && objectOf(e)["primary"] == true {
				note(h)
			}
		}
	}
	return list, nil
}

// sameElement says whether gone names have: all that it says is so.
func sameElement(have, gone any) bool {
	h, ok1 := have.(object)
	g, ok2 := gone.(object)
	if !ok1 || !ok2 {
		return equalFold(have, gone)
	}
	for key, v := range g {
		if key != "display" && key != "primary" && !equalFold(h[key], v) {
			return false
		}
	}
	return true
}

// patchEach changes a part of every element.
func patchEach(list []any, t target, o operation, note func(object)) error {
	if len(list) == 0 && o.op != "remove" {
		return bad("noTarget", "%s has no values whose %s could be changed", t.attr.name, t.sub.name)
	}
	for _, one := range list {
		if e, ok := one.(object); ok {
			note(e)
			if err := setSub(e, t.sub, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// patchElements changes the elements that a filter names. Entra ID names elements that are not there yet when a value is filled
// in later, and a refusal would cost the whole PATCH: one is made when the filter says enough about it.
func patchElements(list []any, t target, o operation, note func(object)) ([]any, error) {
	found := false
	var out []any
	for _, one := range list {
		e, ok := one.(object)
		matched := false
		if ok {
			var err error
			if matched, err = matchElement(t.attr, e, *t.filter); err != nil {
				return nil, bad("invalidFilter", "%v", err)
			}
		}
		if !matched {
			out = append(out, one)
			continue
		}
		found = true
		e, err := patchElement(e, t, o)
		if err != nil {
			return nil, err
		}
		if e != nil {
			note(e)
			out = append(out, e)
		}
	}
	if found || o.op == "remove" {
		return out, nil
	}
	e := object{}
	if !t.attr.begins(e, *t.filter, o.op == "add") {
		return nil, bad("noTarget", "no value of %s is as %s says", t.attr.name, quoted(o.path))
	}
	e, err := patchElement(e, t, operation{op: "add", path: o.path, value: o.value, has: true})
	if err != nil || e == nil {
		return out, err
	}
	note(e)
	return append(out, e), nil
}

// patchElement changes one element; nil takes it away. A replaced element keeps what the filter was about.
func patchElement(e object, t target, o operation) (object, error) {
	if t.sub != nil {
		err := setSub(e, t.sub, o)
		if len(e) == 0 || t.attr.child("value") != nil && t.sub.name == "value" && e["value"] == nil {
			return nil, err // without its value it is none
		}
		return e, err
	}
	if o.op == "remove" {
		return nil, nil
	}
	clean, err := t.attr.cleanOne(o.value)
	if err != nil || clean == nil {
		return nil, err
	}
	if o.op == "replace" {
		kept := object{}
		t.attr.begins(kept, *t.filter, true)
		e = kept
	}
	maps.Copy(e, clean.(object))
	return e, nil
}

// begins puts into a new element what a filter says of it, when that is enough to make one: it is of a type that the schema
// knows, or the primary one; when it is added, whatever it says.
func (a *attribute) begins(e object, filter expr, anything bool) bool {
	if filter.op == "and" {
		for _, one := range filter.of {
			if !a.begins(e, one, anything) {
				return false
			}
		}
		return true
	}
	sub := a.child(filter.name)
	if filter.op != "eq" || sub == nil || filter.value == nil {
		return false
	}
	clean, err := sub.clean(filter.value)
	if err != nil || clean == nil {
		return false
	}
	text, _ := clean.(string)
	canonical := sub.name == "type" && (len(sub.canonical) == 0 || slices.ContainsFunc(sub.canonical, func(c string) bool { return strings.EqualFold(c, text) }))
	if !anything && !canonical && (sub.name != "primary" || clean != true) {
		return false
	}
	e[sub.name] = clean
	return true
}
