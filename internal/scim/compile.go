package scim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pwb-project/pwb/internal/store"
)

// where makes a condition for the store of a filter on resources of a type.
func (r *resource) where(e expr) (store.Where, error) {
	switch e.op {
	case "and", "or", "not":
		return r.combine(e, r.where)
	case "any":
		p, known := r.find(e.name)
		if !known || p.attr == nil || p.sub != nil || !p.attr.many || len(p.attr.sub) == 0 {
			return store.Where{}, fmt.Errorf("%s is no list of values", quoted(e.name))
		}
		inner, err := r.element(p.attr, e.of[0])
		return store.Where{Op: "any", Field: p.field(), Of: []store.Where{inner}}, err
	}
	p, known := r.find(e.name)
	if !known || p.attr == nil && e.op != "pr" {
		return store.Where{}, fmt.Errorf("a %s has no attribute %s", r.name, quoted(e.name))
	}
	return p.compare(r, e)
}

func (r *resource) combine(e expr, each func(expr) (store.Where, error)) (store.Where, error) {
	w := store.Where{Op: e.op}
	for _, one := range e.of {
		inner, err := each(one)
		if err != nil {
			return w, err
		}
		w.Of = append(w.Of, inner)
	}
	return w, nil
}

// element makes a condition on one element of a list.
func (r *resource) element(list *attribute, e expr) (store.Where, error) {
	if e.op == "and" || e.op == "or" || e.op == "not" {
		return r.combine(e, func(one expr) (store.Where, error) { return r.element(list, one) })
	}
	sub := list.child(e.name)
	if sub == nil {
		return store.Where{}, fmt.Errorf("%s has no sub-attribute %s", list.name, quoted(e.name))
	}
	return sub.compare(store.Field{Column: sub.column, Path: []string{sub.name}, Exact: sub.exact}, e)
}

// field is where the store keeps the attribute.
func (p place) field() store.Field {
	var at []string
	if p.extension != nil {
		at = []string{p.extension.urn}
	}
	f := store.Field{}
	if p.attr != nil {
		at = append(at, p.attr.name)
		f.Column, f.Exact = p.attr.column, p.attr.exact
	}
	if p.sub != nil {
		at = append(at, p.sub.name)
		f.Column, f.Exact = p.sub.column, p.sub.exact
	}
	f.Path = at
	return f
}

func (p place) compare(r *resource, e expr) (store.Where, error) {
	switch {
	case p.attr == nil: // is there anything of an extension
		return store.Where{Op: "pr", Field: p.field()}, nil
	case p.attr.name == "schemas":
		return p.schemas(r, e)
	case p.attr.many && p.sub == nil && e.op == "pr" && p.attr.column == store.InDocument:
		return store.Where{Op: "pr", Field: p.field()}, nil
	case p.attr.many:
		list := place{extension: p.extension, attr: p.attr}
		if p.sub == nil && e.op == "pr" {
			return store.Where{Op: "any", Field: list.field()}, nil
		}
		sub := fallback(subName(p.sub), "value")
		inner, err := r.element(p.attr, expr{op: e.op, name: sub, value: e.value})
		return store.Where{Op: "any", Field: list.field(), Of: []store.Where{inner}}, err
	case p.attr.kind == kindComplex && p.sub == nil && e.op != "pr":
		if p.sub = p.attr.child("value"); p.sub == nil {
			return store.Where{}, fmt.Errorf("%s has parts; name one of them", p.attr.name)
		}
	}
	last := p.attr
	if p.sub != nil {
		last = p.sub
	}
	return last.compare(p.field(), e)
}

func subName(a *attribute) string {
	if a == nil {
		return ""
	}
	return a.name
}

// schemas answers which of the schemas a resource has.
func (p place) schemas(r *resource, e expr) (store.Where, error) {
	value, isText := e.value.(string)
	if e.op == "pr" || e.op == "eq" && isText && strings.EqualFold(value, r.core.urn) {
		return store.Where{Op: "always"}, nil
	}
	if e.op != "eq" || !isText {
		return store.Where{}, fmt.Errorf("schemas can be asked with eq and a URN alone")
	}
	s := r.extension(value)
	switch {
	case s == nil:
		return never, nil
	case s == posixUserSchema || s == posixGroupSchema:
		return store.Where{Op: "always"}, nil
	}
	return store.Where{Op: "pr", Field: store.Field{Path: []string{s.urn}}}, nil
}

var never = store.Where{Op: "not", Of: []store.Where{{Op: "always"}}}

// compare makes a comparison of a single value; operators that a type does not have are refused (RFC 7644, 3.4.2.2).
func (a *attribute) compare(f store.Field, e expr) (store.Where, error) {
	w := store.Where{Op: e.op, Field: f, Value: e.value}
	if a.returned == "never" {
		return w, fmt.Errorf("%s cannot be asked for", a.name)
	}
	if a.is != "" {
		return a.constant(e)
	}
	if f.Column == store.InDocument && (a.name == "$ref" || a.name == "location" || a.name == "version") {
		return w, fmt.Errorf("%s cannot be asked for", a.name)
	}
	if e.op == "pr" {
		return w, nil
	}
	if e.value == nil {
		if e.op != "eq" && e.op != "ne" {
			return w, fmt.Errorf("%s cannot be compared with null by %s", a.name, e.op)
		}
		return w, nil
	}
	err := a.comparable(&w)
	return w, err
}

// comparable holds operator and value to the attribute's type, and makes the value what the store compares with.
func (a *attribute) comparable(w *store.Where) error {
	text, isText := w.Value.(string)
	switch a.kind {
	case kindBoolean:
		if truth, ok := truthOf(w.Value); ok && (w.Op == "eq" || w.Op == "ne") {
			w.Value = truth
			return nil
		}
		return fmt.Errorf("%s is true or false, and is compared by eq or ne", a.name)
	case kindInteger:
		if _, ok := w.Value.(float64); ok && !slices.Contains([]string{"co", "sw", "ew"}, w.Op) {
			return nil
		}
		return fmt.Errorf("%s is a number", a.name)
	case kindDateTime:
		at, err := time.Parse(time.RFC3339Nano, text)
		if !isText || err != nil || slices.Contains([]string{"co", "sw", "ew"}, w.Op) {
			return fmt.Errorf(`%s is a time, such as "2011-05-13T04:42:34Z", and is compared by eq, ne, gt, ge, lt or le`, a.name)
		}
		w.Value = at
		return nil
	case kindBinary:
		if !isText || w.Op != "eq" && w.Op != "ne" {
			return fmt.Errorf("%s is compared by eq or ne", a.name)
		}
		return nil
	case kindComplex:
		return fmt.Errorf("%s has parts; name one of them", a.name)
	}
	if !isText {
		return fmt.Errorf(`%s is a text, which stands in "quotes"`, a.name)
	}
	return nil
}

// constant answers about a value that every resource has.
func (a *attribute) constant(e expr) (store.Where, error) {
	matched, err := matches(a, a.is, e)
	if err != nil || !matched {
		return never, err
	}
	return store.Where{Op: "always"}, nil
}

// truthOf reads a boolean, as Entra ID writes it too: "True".
func truthOf(v any) (truth, ok bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		if strings.EqualFold(v, "true") || strings.EqualFold(v, "false") {
			return strings.EqualFold(v, "true"), true
		}
	}
	return false, false
}
