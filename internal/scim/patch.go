package scim

import (
	"errors"
	"maps"
	"strings"
)

const maxOperations = 1000

// operation is one of a PATCH (RFC 7644, 3.5.2).
type operation struct {
	op    string // add, replace, remove
	path  string
	value any
	has   bool // there is a value
}

// readOperations reads the body of a PATCH. Entra ID writes op with a capital; an empty list changes nothing.
func readOperations(body object) ([]operation, error) {
	list, ok := member(body, "Operations").([]any)
	if !ok {
		return nil, bad("invalidSyntax", "a PATCH has a list called Operations")
	}
	if len(list) > maxOperations {
		return nil, &fault{status: 413, detail: "over 1000 operations in one PATCH; send fewer at a time"}
	}
	all := make([]operation, 0, len(list))
	for i, one := range list {
		o, ok := one.(object)
		if !ok {
			return nil, bad("invalidSyntax", "operation %d is no object", i+1)
		}
		var p operation
		p.op, _ = member(o, "op").(string)
		p.op = strings.ToLower(p.op)
		if p.op != "add" && p.op != "replace" && p.op != "remove" {
			return nil, bad("invalidSyntax", "operation %d: op is %s, none of add, replace, remove", i+1, quoted(p.op))
		}
		switch path := member(o, "path").(type) {
		case nil:
		case string:
			p.path = strings.TrimSpace(path)
		default:
			return nil, bad("invalidPath", "operation %d: path is no text", i+1)
		}
		p.value, p.has = lookUp(o, "value")
		if p.op == "remove" && p.path == "" {
			return nil, bad("noTarget", "operation %d: remove needs a path", i+1)
		}
		if p.op != "remove" && !p.has {
			return nil, invalid("operation %d: %s needs a value", i+1, p.op)
		}
		all = append(all, p)
	}
	return all, nil
}

// member returns a member of an object whose name is written in whatever case.
func member(o object, name string) any {
	v, _ := lookUp(o, name)
	return v
}

func lookUp(o object, name string) (any, bool) {
	if v, ok := o[name]; ok {
		return v, true
	}
	for key, v := range o {
		if strings.EqualFold(key, name) {
			return v, true
		}
	}
	return nil, false
}

// target is a path that has been looked up.
type target struct {
	place
	filter *expr
}

func (r *resource) target(text string) (t target, err error) {
	p, err := parsePath(text)
	if err != nil {
		return t, bad("invalidPath", "path %s: %v", quoted(text), err)
	}
	var known bool
	if t.place, known = r.find(p.name); !known {
		return t, bad("invalidPath", "path %s: a %s has no such attribute", quoted(text), r.name)
	}
	t.filter = p.filter
	if p.filter == nil {
		return t, nil
	}
	if t.attr == nil || t.sub != nil || !t.attr.many || len(t.attr.sub) == 0 {
		return t, bad("invalidPath", "path %s: only lists have [ ]", quoted(text))
	}
	if p.sub != "" {
		if t.sub = t.attr.child(p.sub); t.sub == nil {
			return t, bad("invalidPath", "path %s: %s has no sub-attribute %s", quoted(text), t.attr.name, quoted(p.sub))
		}
	}
	if _, err := matchElement(t.attr, object{}, *t.filter); err != nil {
		return t, bad("invalidFilter", "path %s: %v", quoted(text), err)
	}
	return t, nil
}

// patch changes a document by one operation. special takes the operations on attributes that are not in the document, and says
// whether the operation was one.
func (r *resource) patch(doc object, o operation, special func(target, operation) (bool, error)) error {
	if o.path == "" {
		return r.patchWhole(doc, o, special)
	}
	t, err := r.target(o.path)
	if err != nil {
		return err
	}
	return r.patchTarget(doc, t, o, special)
}

// patchWhole is an operation without a path: each member of its value is a path of its own, with dots and URNs too, as Entra ID
// writes them. What a client was sent and sends back is passed over when it is not its to change.
func (r *resource) patchWhole(doc object, o operation, special func(target, operation) (bool, error)) error {
	value, ok := o.value.(object)
	if !ok {
		return invalid("without a path, the value of %s is an object", o.op)
	}
	for key, v := range value {
		t, err := r.target(key)
		if err != nil {
			var f *fault
			if errors.As(err, &f) && f.kind == "invalidPath" && !strings.ContainsAny(key, "[]") {
				continue // an extension of the client's own
			}
			return err
		}
		if t.attr != nil && (t.attr.name == "schemas" || t.attr.readOnly() && (t.attr.name != "id" || v == doc["id"])) {
			continue
		}
		if err := r.patchTarget(doc, t, operation{op: o.op, path: key, value: v, has: true}, special); err != nil {
			return err
		}
	}
	return nil
}

func (r *resource) patchTarget(doc object, t target, o operation, special func(target, operation) (bool, error)) error {
	if t.attr == nil {
		return r.patchExtension(doc, t, o)
	}
	if t.attr.name == "schemas" {
		return nil // follows from what is there
	}
	if t.attr.readOnly() || t.sub != nil && t.sub.readOnly() {
		return bad("mutability", "%s cannot be changed by a client", o.path)
	}
	if done, err := special(t, o); done || err != nil {
		return err
	}
	in := doc
	if t.extension != nil {
		in = within(doc, t.extension.urn)
	}
	defer tidy(doc)
	switch {
	case o.op == "remove" && t.attr.required && t.sub == nil:
		return bad("mutability", "%s is required and cannot be removed", t.attr.name)
	case t.attr.many:
		return patchList(in, t, o)
	case t.sub != nil:
		return patchSub(in, t, o)
	}
	return patchValue(in, t.attr, o)
}

// patchExtension is about all attributes of an extension at once.
func (r *resource) patchExtension(doc object, t target, o operation) error {
	if t.extension == posixUserSchema || t.extension == posixGroupSchema {
		return bad("mutability", "%s cannot be changed by a client", t.extension.urn)
	}
	if o.op == "remove" {
		delete(doc, t.extension.urn)
		return nil
	}
	value, ok := o.value.(object)
	if !ok {
		return invalid("%s is an object", t.extension.urn)
	}
	for key, v := range value {
		a := named(t.extension.attributes, key)
		if a == nil || a.readOnly() {
			continue
		}
		inner := target{place: place{extension: t.extension, attr: a}}
		if err := r.patchTarget(doc, inner, operation{op: o.op, path: key, value: v, has: true}, func(target, operation) (bool, error) { return false, nil }); err != nil {
			return err
		}
	}
	return nil
}

// patchValue sets or removes a single value. What has parts keeps those that are not named.
func patchValue(in object, a *attribute, o operation) error {
	if o.op == "remove" {
		delete(in, a.name)
		return nil
	}
	clean, err := a.clean(o.value)
	if err != nil {
		return err
	}
	if clean == nil {
		if a.required {
			return invalid("%s is required", a.name)
		}
		delete(in, a.name)
		return nil
	}
	have, parts := in[a.name].(object)
	if more, ok := clean.(object); ok && parts {
		maps.Copy(have, more)
		for _, sub := range a.sub { // null takes a part away
			if v, given := lookUp(objectOf(o.value), sub.name); given && (v == nil || v == "") {
				delete(have, sub.name)
			}
		}
		return nil
	}
	in[a.name] = clean
	return nil
}

func objectOf(v any) object {
	o, _ := v.(object)
	return o
}

// patchSub sets or removes a part of a single value.
func patchSub(in object, t target, o operation) error {
	have, ok := in[t.attr.name].(object)
	if !ok {
		have = object{}
	}
	if err := setSub(have, t.sub, o); err != nil {
		return err
	}
	in[t.attr.name] = have
	return nil
}

func setSub(element object, sub *attribute, o operation) error {
	if o.op == "remove" {
		delete(element, sub.name)
		return nil
	}
	clean, err := sub.clean(o.value)
	if err != nil {
		return err
	}
	if clean == nil {
		delete(element, sub.name)
		return nil
	}
	element[sub.name] = clean
	return nil
}
