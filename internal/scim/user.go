package scim

import (
	"net/http"

	"github.com/pwb-project/pwb/internal/store"
)

// serveUsers answers /Users.
func (h *Handler) serveUsers(q *request) error {
	if err := q.allow(http.MethodGet, http.MethodPost); err != nil {
		return err
	}
	if q.Method != http.MethodPost {
		return h.list(q, []*resource{users}, q.searchOf(q.query))
	}
	body, err := q.body()
	if err != nil {
		return err
	}
	doc, err := users.read(body)
	if err != nil {
		return err
	}
	u := store.ScimUser{ID: newID(), Active: true}
	if active, given := doc["active"].(bool); given {
		u.Active = active
	}
	if err := fillUser(&u, doc); err != nil {
		return err
	}
	made, err := h.Accounts.CreateUser(q.Context(), u, q.actor)
	if err != nil {
		return err
	}
	return h.answerUser(q, http.StatusCreated, made)
}

// unassigned stands in a stored document for an "active" that the client has taken away: it is not shown, and the account stays as
// it was, since taking a word away opens nothing.
const unassigned = "unassigned"

// fillUser puts a document into a user. Whether it is active has a place of its own.
func fillUser(u *store.ScimUser, doc object) (err error) {
	if doc["active"] != unassigned {
		delete(doc, "active")
	}
	u.UserName, u.ExternalID, u.DisplayName, u.FullName = textOf(doc, "userName"), textOf(doc, "externalId"), textOf(doc, "displayName"), fullName(doc)
	if u.UserName == "" {
		return invalid("userName is required")
	}
	u.Doc, err = write(doc)
	return err
}

// serveUser answers /Users/ID.
func (h *Handler) serveUser(q *request, id string) error {
	if err := q.allow(http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete); err != nil {
		return err
	}
	switch q.Method {
	case http.MethodPut, http.MethodPatch:
		return h.changeUser(q, id)
	case http.MethodDelete:
		err := h.Accounts.DeleteUser(q.Context(), id, func(u store.ScimUser) error { return q.ifMatch(versionOf(u)) }, q.actor)
		if err != nil {
			return err
		}
		q.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	u, err := h.Store.ScimUser(q.Context(), id, q.selection(users).wants("groups"))
	if err != nil {
		return err
	}
	return h.answerUser(q, http.StatusOK, u)
}

func (h *Handler) changeUser(q *request, id string) error {
	body, err := q.body()
	if err != nil {
		return err
	}
	var edit func(*store.ScimUser) error
	if q.Method == http.MethodPut {
		edit, err = putUser(body)
	} else {
		edit, err = patchUser(body)
	}
	if err != nil {
		if _, gone := h.Store.ScimUser(q.Context(), id, false); gone != nil { // 404 before 400: what is asked for is not there
			return gone
		}
		return err
	}
	u, err := h.Accounts.ChangeUser(q.Context(), id, func(u *store.ScimUser) error {
		if err := q.ifMatch(versionOf(*u)); err != nil {
			return err
		}
		return edit(u)
	}, q.actor)
	if err != nil {
		return err
	}
	if q.selection(users).wants("groups") {
		if u, err = h.Store.ScimUser(q.Context(), id, true); err != nil {
			return err
		}
	}
	return h.answerUser(q, http.StatusOK, u)
}

// putUser replaces everything that is the client's; an "active" that is left out stays as it is.
func putUser(body object) (func(*store.ScimUser) error, error) {
	doc, err := users.read(body)
	if err != nil {
		return nil, err
	}
	active, given := doc["active"].(bool)
	var next store.ScimUser
	if err := fillUser(&next, doc); err != nil {
		return nil, err
	}
	return func(u *store.ScimUser) error {
		u.UserName, u.ExternalID, u.DisplayName, u.FullName, u.Doc = next.UserName, next.ExternalID, next.DisplayName, next.FullName, next.Doc
		if given {
			u.Active = active
		}
		return nil
	}, nil
}

func patchUser(body object) (func(*store.ScimUser) error, error) {
	operations, err := readOperations(body)
	if err != nil {
		return nil, err
	}
	return func(u *store.ScimUser) error {
		doc, err := document(u.Doc)
		if err != nil {
			return err
		}
		doc["id"] = u.ID
		if doc["active"] == unassigned {
			delete(doc, "active")
		} else {
			doc["active"] = u.Active
		}
		for _, o := range operations {
			if err := users.patch(doc, o, notKept); err != nil {
				return err
			}
		}
		delete(doc, "id")
		if active, there := doc["active"].(bool); there {
			u.Active = active
		} else {
			doc["active"] = unassigned
		}
		return fillUser(u, doc)
	}, nil
}

// notKept takes the operations on what is accepted and thrown away.
func notKept(t target, _ operation) (bool, error) { return t.attr.returned == "never", nil }

func (h *Handler) answerUser(q *request, status int, u store.ScimUser) error {
	if status == http.StatusCreated {
		q.w.Header().Set("Location", q.base+"/Users/"+u.ID)
	}
	if q.unchanged(versionOf(u)) {
		return nil
	}
	res, err := h.renderUser(q.base, u, q.selection(users))
	if err != nil {
		return err
	}
	return q.answer(status, res)
}
