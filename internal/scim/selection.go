package scim

import (
	"net/url"
	"slices"
	"strings"
)

// selection is which attributes an answer has (RFC 7644, 3.9).
type selection struct {
	only, not []place // nil: no wish
	core      bool    // only names the core schema as a whole
	given     bool
}

// selects reads both wishes. A name that no schema knows selects nothing; when it is all that is wished for, what is always
// returned is left.
func (r *resource) selects(only, not []string) (s selection) {
	s.given = len(only)+len(not) > 0
	for _, name := range only {
		if strings.EqualFold(name, r.core.urn) {
			s.core = true
		} else if p, known := r.find(name); known {
			s.only = append(s.only, p)
		} else {
			s.only = append(s.only, place{attr: &attribute{name: " "}})
		}
	}
	for _, name := range not {
		if p, known := r.find(name); known && (p.attr == nil || p.attr.returned != "always") {
			s.not = append(s.not, p)
		}
	}
	return s
}

// names are the values of a parameter, divided by commas.
func names(query url.Values, parameter string) (all []string) {
	for _, v := range query[parameter] {
		for one := range strings.SplitSeq(v, ",") {
			if one = strings.TrimSpace(one); one != "" {
				all = append(all, one)
			}
		}
	}
	return all
}

// wants says whether a core attribute is a part of the answer.
func (s selection) wants(name string) bool {
	wanted := s.only == nil || s.core
	for _, p := range s.only {
		wanted = wanted || p.extension == nil && p.attr != nil && p.attr.name == name
	}
	for _, p := range s.not {
		if p.extension == nil && p.attr != nil && p.attr.name == name && p.sub == nil {
			return false
		}
	}
	return wanted
}

// asks says whether a part of a core attribute is named: what is returned on request alone is a part of the answer then.
func (s selection) asks(name, sub string) bool {
	return slices.ContainsFunc(s.only, func(p place) bool {
		return p.extension == nil && p.attr != nil && p.attr.name == name && p.sub != nil && p.sub.name == sub
	})
}

// apply takes out of a resource what is not wanted.
func (s selection) apply(res object, r *resource) {
	if !s.given {
		return
	}
	if s.only != nil || s.core {
		for key, v := range res {
			switch ext := r.extension(key); {
			case key == "id" || key == "schemas":
			case ext != nil:
				keep(res, key, v, s.only, ext)
			case !s.core || named(r.core.attributes, key) == nil:
				keep(res, key, v, s.only, nil)
			}
		}
	}
	for _, p := range s.not {
		drop(res, p)
	}
}

// keep leaves of one member of a resource what the wishes name.
func keep(res object, key string, v any, only []place, ext *schema) {
	var parts []place
	for _, p := range only {
		switch {
		case ext != nil && p.extension == ext && p.attr == nil, ext == nil && p.extension == nil && p.attr.name == key && p.sub == nil:
			return
		case ext != nil && p.extension == ext, ext == nil && p.extension == nil && p.attr.name == key:
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 {
		delete(res, key)
		return
	}
	if ext == nil {
		res[key] = onlySubs(v, parts)
		return
	}
	in, _ := v.(object)
	for name, value := range in {
		inner := make([]place, len(parts))
		for i, p := range parts {
			inner[i] = place{attr: p.attr, sub: p.sub}
		}
		keep(in, name, value, inner, nil)
	}
	if len(in) == 0 {
		delete(res, key)
	}
}

// onlySubs leaves the named parts of a value, or of each value of a list.
func onlySubs(v any, parts []place) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for _, p := range parts {
			if one, ok := v[p.sub.name]; ok {
				out[p.sub.name] = one
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, one := range v {
			out[i] = onlySubs(one, parts)
		}
		return out
	}
	return v
}

func drop(res object, p place) {
	in := res
	if p.extension != nil {
		var ok bool
		if p.attr == nil {
			delete(res, p.extension.urn)
			return
		}
		if in, ok = res[p.extension.urn].(object); !ok {
			return
		}
	}
	if p.sub == nil {
		delete(in, p.attr.name)
		return
	}
	switch v := in[p.attr.name].(type) {
	case object:
		delete(v, p.sub.name)
	case []any:
		for _, one := range v {
			if e, ok := one.(object); ok {
				delete(e, p.sub.name)
			}
		}
	}
}
