package scim

import (
	"fmt"
	"strings"

	"github.com/pwb-project/pwb/internal/account"
)

// matchElement says whether an element of a list is as a filter in [ ] says.
func matchElement(list *attribute, element object, e expr) (bool, error) {
	switch e.op {
	case "and", "or":
		for _, one := range e.of {
			ok, err := matchElement(list, element, one)
			if err != nil || ok == (e.op == "or") {
				return ok, err
			}
		}
		return e.op == "and", nil
	case "not":
		ok, err := matchElement(list, element, e.of[0])
		return !ok, err
	}
	sub := list.child(e.name)
	if sub == nil {
		return false, fmt.Errorf("%s has no sub-attribute %s", list.name, quoted(e.name))
	}
	return matches(sub, element[sub.name], e)
}

// matches compares one value; nil is a value that is not there.
func matches(a *attribute, have any, e expr) (bool, error) {
	switch {
	case e.op == "pr":
		return have != nil, nil
	case e.value == nil && e.op == "eq":
		return have == nil, nil
	case e.value == nil && e.op == "ne":
		return have != nil, nil
	}
	if a.kind == kindBoolean {
		want, ok := truthOf(e.value)
		if !ok || e.op != "eq" && e.op != "ne" {
			return false, fmt.Errorf("%s is true or false, and is compared by eq or ne", a.name)
		}
		got, there := have.(bool)
		return (there && got == want) == (e.op == "eq"), nil
	}
	want, ok := e.value.(string)
	if !ok {
		return false, fmt.Errorf(`%s is a text, which stands in "quotes"`, a.name)
	}
	got, there := have.(string)
	if !a.exact {
		got, want = account.Fold(got), account.Fold(want)
	}
	if !there {
		return e.op == "ne", nil
	}
	return compareText(got, want, e.op), nil
}

func compareText(got, want, op string) bool {
	switch op {
	case "eq":
		return got == want
	case "ne":
		return got != want
	case "co":
		return strings.Contains(got, want)
	case "sw":
		return strings.HasPrefix(got, want)
	case "ew":
		return strings.HasSuffix(got, want)
	case "gt":
		return got > want
	case "ge":
		return got >= want
	case "lt":
		return got < want
	}
	return got <= want
}
