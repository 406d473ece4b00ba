package scim

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/pwb-project/pwb/internal/store"
)

const (
	maxResults     = 200
	defaultResults = 100
)

// search is a query for resources, by GET or POST (RFC 7644, 3.4.2 and 3.4.3).
type search struct {
	only, not        []string
	filter           string
	sortBy           string
	sortOrder        string
	start, count     string
	filtered, sorted bool
}

func (q *request) searchOf(query url.Values) search {
	return search{
		only: names(query, "attributes"), not: names(query, "excludedAttributes"),
		filter: query.Get("filter"), filtered: query.Has("filter"), sortBy: query.Get("sortBy"), sorted: query.Get("sortBy") != "",
		sortOrder: query.Get("sortOrder"), start: query.Get("startIndex"), count: query.Get("count"),
	}
}

// serveSearch answers POST …/.search.
func (h *Handler) serveSearch(q *request, types []*resource) error {
	if err := q.allow(http.MethodPost); err != nil {
		return err
	}
	body, err := q.body()
	if err != nil {
		return err
	}
	s := search{}
	for name, to := range map[string]*[]string{"attributes": &s.only, "excludedAttributes": &s.not} {
		list, _ := member(body, name).([]any)
		for _, one := range list {
			text, ok := one.(string)
			if !ok {
				return invalid("%s is a list of names", name)
			}
			*to = append(*to, text)
		}
	}
	for name, to := range map[string]*string{"filter": &s.filter, "sortBy": &s.sortBy, "sortOrder": &s.sortOrder, "startIndex": &s.start, "count": &s.count} {
		switch v := member(body, name).(type) {
		case nil:
		case string:
			*to = v
		case json.Number:
			*to = v.String()
		default:
			return invalid("%s is neither a text nor a number", name)
		}
	}
	s.filtered, s.sorted = s.filter != "", s.sortBy != ""
	return h.list(q, types, s)
}

// number reads startIndex or count: what is below the least is the least (RFC 7644, 3.4.2.4).
func number(name, text string, least, otherwise int) (int, error) {
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	switch {
	case errors.Is(err, strconv.ErrRange) && strings.HasPrefix(text, "-"):
		return least, nil
	case errors.Is(err, strconv.ErrRange):
		return 1 << 40, nil
	case err != nil:
		return 0, invalid("%s is %s, not a number", name, quoted(text))
	}
	return max(n, least), nil
}

// list answers a page of one type of resources, or of users and then groups.
func (h *Handler) list(q *request, types []*resource, s search) error {
	start, err := number("startIndex", s.start, 1, 1)
	if err != nil {
		return err
	}
	count, err := number("count", s.count, 0, defaultResults)
	if err != nil {
		return err
	}
	count = min(count, maxResults)
	var filter *expr
	if s.filtered {
		e, err := parseFilter(s.filter)
		if err != nil {
			return bad("invalidFilter", "filter: %v", err)
		}
		filter = &e
	}
	page := []object{}
	total, skip := 0, start-1
	var refused []error
	for _, r := range types {
		l, err := r.listing(filter, s)
		if err != nil { // of two types, one may not know an attribute
			refused = append(refused, err)
			continue
		}
		l.Offset, l.Limit = max(0, skip-total), count-len(page)
		some, n, err := h.page(q, r, l, r.selects(s.only, s.not))
		if err != nil {
			return err
		}
		page = append(page, some...)
		total += n
	}
	if len(refused) == len(types) {
		return refused[0]
	}
	return q.answer(http.StatusOK, object{"schemas": []string{urnList}, "totalResults": total, "startIndex": start, "itemsPerPage": len(page), "Resources": page})
}

// listing makes the store's question of a search.
func (r *resource) listing(filter *expr, s search) (l store.Listing, err error) {
	if filter != nil {
		w, err := r.where(*filter)
		if err != nil {
			return l, bad("invalidFilter", "filter: %v", err)
		}
		l.Where = &w
	}
	switch order := strings.ToLower(s.sortOrder); order {
	case "", "ascending":
	case "descending":
		l.Descending = true
	default:
		return l, invalid("sortOrder is %s, neither ascending nor descending", quoted(s.sortOrder))
	}
	if !s.sorted {
		l.Descending = false
		return l, nil
	}
	l.SortBy, err = r.sortField(s.sortBy)
	return l, err
}

// sortField is what a list is sorted by: of a list of values the first, of a value with parts its value.
func (r *resource) sortField(name string) (*store.Field, error) {
	p, known := r.find(name)
	if !known || p.attr == nil || p.attr.returned == "never" {
		return nil, invalid("sortBy: a %s has no attribute %s", r.name, quoted(name))
	}
	if p.attr.kind == kindComplex && p.sub == nil {
		p.sub = p.attr.child("value")
	}
	last := p.attr
	if p.sub != nil {
		last = p.sub
	}
	f := p.field()
	switch {
	case last.kind == kindComplex || p.attr.column == store.ColumnMembers || p.attr.column == store.ColumnGroups || last.is != "" || p.attr.name == "schemas":
		return nil, invalid("sortBy: %s cannot be sorted by", quoted(name))
	case p.attr.many:
		f.Path = append(f.Path[:len(f.Path)-1:len(f.Path)-1], store.First, last.name)
	}
	if last.kind != kindString {
		f.Exact = true
	}
	return &f, nil
}

func (h *Handler) page(q *request, r *resource, l store.Listing, s selection) (page []object, total int, err error) {
	if r == users {
		l.Lists = s.wants("groups")
		all, total, err := h.Store.ScimUsers(q.Context(), l)
		if err != nil {
			return nil, 0, err
		}
		for _, u := range all {
			one, err := h.renderUser(q.base, u, s)
			if err != nil {
				return nil, 0, err
			}
			page = append(page, one)
		}
		return page, total, nil
	}
	l.Lists = s.wants("members")
	all, total, err := h.Store.ScimGroups(q.Context(), l)
	if err != nil {
		return nil, 0, err
	}
	for _, g := range all {
		one, err := renderGroup(q.base, g, s)
		if err != nil {
			return nil, 0, err
		}
		page = append(page, one)
	}
	return page, total, nil
}
