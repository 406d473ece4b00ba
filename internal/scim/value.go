package scim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/pwb-project/pwb/internal/account"
)

// Limits of what is stored.
const (
	maxName     = 1024 // bytes of a userName or displayName
	maxText     = 32 << 10
	maxElements = 1000 // of a list; members are no such list
	maxDocument = 256 << 10
)

// clean makes a client's value of an attribute what is stored: the schema's names and types, nothing that is empty or null, no
// element twice, one primary. nil is "not there". It is liberal in what it reads: "True" is true, one value is a list of one, a
// bare text is an object's value.
func (a *attribute) clean(v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	if !a.many {
		if list, ok := v.([]any); ok { // Entra ID wraps a manager so
			if len(list) != 1 || a.kind != kindComplex {
				return nil, invalid("%s is one value, not a list", a.name)
			}
			v = list[0]
		}
		return a.cleanOne(v)
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	if len(list) > maxElements {
		return nil, invalid("%s has %d values, over %d", a.name, len(list), maxElements)
	}
	var out []any
	for _, one := range list {
		clean, err := a.cleanOne(one)
		if err != nil {
			return nil, err
		}
		if clean != nil {
			out = addElement(out, clean)
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	onePrimary(out, nil)
	return out, nil
}

func (a *attribute) cleanOne(v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	switch a.kind {
	case kindComplex:
		return a.cleanComplex(v)
	case kindBoolean:
		truth, ok := truthOf(v)
		if !ok {
			return nil, invalid("%s is true or false", a.name)
		}
		return truth, nil
	}
	s, ok := v.(string)
	if !ok {
		return nil, invalid("%s is a text", a.name)
	}
	if s == "" {
		return nil, nil
	}
	return a.cleanText(s)
}

func (a *attribute) cleanText(s string) (any, error) {
	most := maxText
	if a.name == "userName" || a.name == "displayName" || a.name == "externalId" {
		most = maxName
		if a.name == "displayName" {
			most = 4 * maxName
		}
	}
	switch {
	case len(s) > most:
		return nil, invalid("%s has %d bytes, over %d", a.name, len(s), most)
	case strings.ContainsRune(s, 0):
		return nil, invalid("%s has a NUL character", a.name)
	case a.name == "userName" && strings.ContainsFunc(s, unicode.IsControl): // it could end a line of passwd(5)
		return nil, invalid("userName %s has a control character", quoted(s))
	case a.kind == kindBinary:
		if _, err := base64.StdEncoding.DecodeString(s); err != nil {
			return nil, invalid("%s is not base64", a.name)
		}
	case a.kind == kindDateTime:
		if _, err := time.Parse(time.RFC3339Nano, s); err != nil {
			return nil, invalid("%s is not a time such as 2011-05-13T04:42:34Z", a.name)
		}
	}
	for _, c := range a.canonical {
		if strings.EqualFold(c, s) {
			return c, nil
		}
	}
	return s, nil
}

func (a *attribute) cleanComplex(v any) (any, error) {
	if s, ok := v.(string); ok && a.child("value") != nil {
		v = object{"value": s}
	}
	in, ok := v.(object)
	if !ok {
		return nil, invalid("%s is an object", a.name)
	}
	out := object{}
	for key, value := range in {
		sub := a.child(key)
		if sub == nil || sub.readOnly() || sub.name == "$ref" { // ours to say
			continue
		}
		clean, err := sub.clean(value)
		if err != nil {
			return nil, err
		}
		if clean != nil {
			out[sub.name] = clean
		}
	}
	if len(out) == 0 || a.child("value") != nil && len(out) == 1 && out["primary"] != nil {
		return nil, nil
	}
	if a.name == "manager" && out["value"] == nil { // {"value": ""} takes the manager away
		return nil, nil
	}
	return out, nil
}

// addElement adds an element to a list, unless one of that type and value is there: then it is the same, with more to it (RFC
// 7643, 2.4).
func addElement(list []any, element any) []any {
	e, isObject := element.(object)
	for _, have := range list {
		h, ok := have.(object)
		switch {
		case !isObject || !ok:
			if reflect.DeepEqual(have, element) {
				return list
			}
		case e["value"] != nil && equalFold(h["value"], e["value"]) && equalFold(h["type"], e["type"]), e["value"] == nil && reflect.DeepEqual(h, e):
			for k, v := range e {
				h[k] = v
			}
			return list
		}
	}
	return append(list, element)
}

func equalFold(a, b any) bool {
	s, ok1 := a.(string)
	t, ok2 := b.(string)
	if ok1 && ok2 {
		return account.Fold(s) == account.Fold(t)
	}
	return reflect.DeepEqual(a, b)
}

// onePrimary leaves one primary element: the first of those that were just made so, else the first of all.
func onePrimary(list []any, fresh func(object) bool) {
	var keep object
	for _, one := range list {
		if e, ok := one.(object); ok && e["primary"] == true && (keep == nil || fresh != nil && fresh(e) && !fresh(keep)) {
			keep = e
		}
	}
	for _, one := range list {
		if e, ok := one.(object); ok && e["primary"] == true && reflect.ValueOf(e).Pointer() != reflect.ValueOf(keep).Pointer() {
			e["primary"] = false
		}
	}
}

// read makes a document of the body of a POST or PUT. What is not the client's to write and what no schema knows is passed
// over: clients send their own extensions, and what they were sent before.
func (r *resource) read(body object) (object, error) {
	doc := object{}
	seen := map[string]bool{}
	for key, value := range body {
		p, known := r.find(key)
		if !known || p.sub != nil || p.attr != nil && (p.attr.readOnly() || p.attr.name == "schemas") {
			continue
		}
		name := key
		if p.attr != nil {
			name = p.attr.name
		} else {
			name = p.extension.urn
		}
		if p.extension == nil && seen[name] {
			return nil, &fault{status: 400, kind: "invalidSyntax", detail: name + " is given twice"}
		}
		seen[name] = true
		if err := r.readInto(doc, p, value); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

func (r *resource) readInto(doc object, p place, value any) error {
	if p.attr == nil {
		return readExtension(doc, p.extension, value)
	}
	if p.attr.returned == "never" || p.attr.column == columnOfMembers {
		return nil
	}
	clean, err := p.attr.clean(value)
	if err != nil || clean == nil {
		return err
	}
	in := doc
	if p.extension != nil {
		in = within(doc, p.extension.urn)
	}
	in[p.attr.name] = clean
	return nil
}

func within(doc object, urn string) object {
	in, ok := doc[urn].(object)
	if !ok {
		in = object{}
		doc[urn] = in
	}
	return in
}

func readExtension(doc object, s *schema, value any) error {
	if value == nil {
		return nil
	}
	in, ok := value.(object)
	if !ok {
		return invalid("%s is an object", s.urn)
	}
	for key, v := range in {
		a := named(s.attributes, key)
		if a == nil || a.readOnly() {
			continue
		}
		clean, err := a.clean(v)
		if err != nil {
			return err
		}
		if clean != nil {
			within(doc, s.urn)[a.name] = clean
		}
	}
	return nil
}

// tidy takes out of a document what has become empty.
func tidy(doc object) {
	for key, v := range doc {
		switch v := v.(type) {
		case object:
			tidy(v)
			if len(v) == 0 {
				delete(doc, key)
			}
		case []any:
			if len(v) == 0 {
				delete(doc, key)
			}
		case nil:
			delete(doc, key)
		}
	}
}

// write makes the stored text of a document.
func write(doc object) ([]byte, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	if len(text) > maxDocument {
		return nil, &fault{status: 413, detail: fmt.Sprintf("the resource has %d bytes, over %d", len(text), maxDocument)}
	}
	return text, nil
}

func textOf(doc object, name string) string {
	s, _ := doc[name].(string)
	return s
}

// fullName is what the account is labelled with.
func fullName(doc object) string {
	if s := textOf(doc, "displayName"); s != "" {
		return s
	}
	name, _ := doc["name"].(object)
	if s := textOf(name, "formatted"); s != "" {
		return s
	}
	return strings.TrimSpace(textOf(name, "givenName") + " " + textOf(name, "familyName"))
}
