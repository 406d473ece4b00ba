package scim

import (
	"net/http"

	"github.com/pwb-project/pwb/internal/store"
)

const columnOfMembers = store.ColumnMembers

// serveGroups answers /Groups.
func (h *Handler) serveGroups(q *request) error {
	if err := q.allow(http.MethodGet, http.MethodPost); err != nil {
		return err
	}
	if q.Method != http.MethodPost {
		return h.list(q, []*resource{groups}, q.searchOf(q.query))
	}
	body, err := q.body()
	if err != nil {
		return err
	}
	g := store.ScimGroup{ID: newID()}
	ids, err := readGroup(&g, body)
	if err != nil {
		return err
	}
	made, err := h.Accounts.CreateGroup(q.Context(), g, ids, q.actor)
	if err != nil {
		return err
	}
	if q.selection(groups).wants("members") {
		if made, err = h.Store.ScimGroup(q.Context(), made.ID, true); err != nil {
			return err
		}
	}
	return h.answerGroup(q, http.StatusCreated, made)
}

// readGroup reads a whole group.
func readGroup(g *store.ScimGroup, body object) (members []string, err error) {
	doc, err := groups.read(body)
	if err != nil {
		return nil, err
	}
	if members, err = memberIDs(member(body, "members")); err != nil {
		return nil, err
	}
	return members, fillGroup(g, doc)
}

func fillGroup(g *store.ScimGroup, doc object) (err error) {
	g.DisplayName, g.ExternalID = textOf(doc, "displayName"), textOf(doc, "externalId")
	if g.DisplayName == "" {
		return invalid("displayName is required")
	}
	g.Doc, err = write(doc)
	return err
}

const maxMembers = 100_000 // of one request

// memberIDs reads the ids of members: objects with a value, one such object, or bare ids.
func memberIDs(v any) (ids []string, err error) {
	list, ok := v.([]any)
	if !ok && v != nil {
		list = []any{v}
	}
	if len(list) > maxMembers {
		return nil, &fault{status: 413, detail: "over 100000 members in one request; send fewer at a time"}
	}
	for _, one := range list {
		switch m := one.(type) {
		case nil:
			continue
		case string:
			ids = append(ids, m)
			continue
		case object:
			if id, ok := member(m, "value").(string); ok && id != "" {
				ids = append(ids, id)
				continue
			}
		}
		return nil, invalid("a member is an object whose value is the id of a user")
	}
	return ids, nil
}

// serveGroup answers /Groups/ID.
func (h *Handler) serveGroup(q *request, id string) error {
	if err := q.allow(http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete); err != nil {
		return err
	}
	switch q.Method {
	case http.MethodPut, http.MethodPatch:
		return h.changeGroup(q, id)
	case http.MethodDelete:
		err := h.Accounts.DeleteGroup(q.Context(), id, func(g store.ScimGroup) error { return q.ifMatch(versionOfGroup(g)) }, q.actor)
		if err != nil {
			return err
		}
		q.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	g, err := h.Store.ScimGroup(q.Context(), id, q.selection(groups).wants("members"))
	if err != nil {
		return err
	}
	return h.answerGroup(q, http.StatusOK, g)
}

// editGroup changes a group inside a transaction.
type editGroup func(*store.ScimGroup, func() ([]store.Member, error)) ([]store.MemberChange, error)

func (h *Handler) changeGroup(q *request, id string) error {
	body, err := q.body()
	if err != nil {
		return err
	}
	var edit editGroup
	if q.Method == http.MethodPut {
		edit, err = putGroup(body)
	} else {
		edit, err = patchGroup(body)
	}
	if err != nil {
		if _, gone := h.Store.ScimGroup(q.Context(), id, false); gone != nil {
			return gone
		}
		return err
	}
	g, err := h.Accounts.ChangeGroup(q.Context(), id, func(g *store.ScimGroup, members func() ([]store.Member, error)) ([]store.MemberChange, error) {
		if err := q.ifMatch(versionOfGroup(*g)); err != nil {
			return nil, err
		}
		return edit(g, members)
	}, q.actor)
	if err != nil {
		return err
	}
	// Nobody wants ten thousand members back for one that was added.
	if q.Method == http.MethodPatch && !q.selection(groups).given {
		q.w.Header().Set("ETag", versionOfGroup(g))
		q.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if q.selection(groups).wants("members") {
		if g, err = h.Store.ScimGroup(q.Context(), id, true); err != nil {
			return err
		}
	}
	return h.answerGroup(q, http.StatusOK, g)
}

func putGroup(body object) (editGroup, error) {
	var next store.ScimGroup
	ids, err := readGroup(&next, body)
	if err != nil {
		return nil, err
	}
	return func(g *store.ScimGroup, _ func() ([]store.Member, error)) ([]store.MemberChange, error) {
		g.DisplayName, g.ExternalID, g.Doc = next.DisplayName, next.ExternalID, next.Doc
		return []store.MemberChange{{Op: store.OnlyMembers, IDs: ids}}, nil
	}, nil
}

func patchGroup(body object) (editGroup, error) {
	operations, err := readOperations(body)
	if err != nil {
		return nil, err
	}
	return func(g *store.ScimGroup, members func() ([]store.Member, error)) (steps []store.MemberChange, err error) {
		doc, err := document(g.Doc)
		if err != nil {
			return nil, err
		}
		doc["id"] = g.ID
		for _, o := range operations {
			err := groups.patch(doc, o, func(t target, o operation) (bool, error) {
				if t.attr.column != columnOfMembers {
					return false, nil
				}
				more, err := changeMembers(t, o, members)
				steps = append(steps, more...)
				return true, err
			})
			if err != nil {
				return nil, err
			}
		}
		delete(doc, "id")
		return steps, fillGroup(g, doc)
	}, nil
}

// changeMembers makes steps of an operation on the members. A remove with a value removes those alone: read as the RFC has it,
// what Entra ID sends would empty the group.
func changeMembers(t target, o operation, members func() ([]store.Member, error)) ([]store.MemberChange, error) {
	if t.filter != nil {
		return changeChosen(t, o, members)
	}
	if t.sub != nil {
		return nil, bad("mutability", "%s of a member cannot be changed; remove it, and add another", t.sub.name)
	}
	ids, err := memberIDs(o.value)
	if err != nil {
		return nil, err
	}
	switch {
	case o.op == "add":
		return []store.MemberChange{{Op: store.AddMembers, IDs: ids}}, nil
	case o.op == "remove" && o.value != nil:
		return []store.MemberChange{{Op: store.RemoveMembers, IDs: ids}}, nil
	}
	return []store.MemberChange{{Op: store.OnlyMembers, IDs: ids}}, nil
}

// changeChosen is about members that a filter names.
func changeChosen(t target, o operation, members func() ([]store.Member, error)) ([]store.MemberChange, error) {
	if o.op != "remove" || t.sub != nil {
		return nil, bad("mutability", "a member cannot be changed; remove it, and add another")
	}
	ids, plain := valuesOf(*t.filter)
	if !plain {
		all, err := members()
		if err != nil {
			return nil, err
		}
		for _, m := range all {
			matched, err := matchElement(t.attr, object{"value": m.ID, "display": m.Display, "type": "User"}, *t.filter)
			if err != nil {
				return nil, bad("invalidFilter", "%v", err)
			}
			if matched {
				ids = append(ids, m.ID)
			}
		}
	}
	return []store.MemberChange{{Op: store.RemoveMembers, IDs: ids}}, nil
}

// valuesOf are the ids of a filter that says nothing but: value eq ID, or ID.
func valuesOf(e expr) (ids []string, plain bool) {
	if e.op == "or" {
		for _, one := range e.of {
			more, plain := valuesOf(one)
			if !plain {
				return nil, false
			}
			ids = append(ids, more...)
		}
		return ids, true
	}
	id, isText := e.value.(string)
	if e.op != "eq" || !isText || groups.core.attributes[1].child(e.name) != groups.core.attributes[1].child("value") {
		return nil, false
	}
	return []string{id}, true
}

func (h *Handler) answerGroup(q *request, status int, g store.ScimGroup) error {
	if status == http.StatusCreated {
		q.w.Header().Set("Location", q.base+"/Groups/"+g.ID)
	}
	if q.unchanged(versionOfGroup(g)) {
		return nil
	}
	res, err := renderGroup(q.base, g, q.selection(groups))
	if err != nil {
		return err
	}
	return q.answer(status, res)
}
