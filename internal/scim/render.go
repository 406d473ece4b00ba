package scim

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
)

func moment(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// versionOf is the entity tag of a user. Its groups are a part of it, which the account's revision counts.
func versionOf(u store.ScimUser) string { return fmt.Sprintf(`W/"%d.%d"`, u.Version, u.Revision) }

func versionOfGroup(g store.ScimGroup) string { return fmt.Sprintf(`W/"%d"`, g.Version) }

func document(text []byte) (object, error) {
	doc := object{}
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("a document of the store: %w", err)
	}
	return doc, nil
}

// renderUser makes what a client sees of a user.
func (h *Handler) renderUser(base string, u store.ScimUser, s selection) (object, error) {
	res, err := document(u.Doc)
	if err != nil {
		return nil, err
	}
	schemas := []string{urnUser}
	if e, ok := res[urnEnterprise].(object); ok {
		schemas = append(schemas, urnEnterprise)
		if m, ok := e["manager"].(object); ok && m["value"] != nil {
			m["$ref"] = base + "/Users/" + fmt.Sprint(m["value"])
		}
	}
	res["schemas"] = append(schemas, urnPosixUser)
	res["id"] = u.ID
	if res["active"] == unassigned {
		delete(res, "active")
	} else {
		res["active"] = u.Active
	}
	res["meta"] = object{
		"resourceType": "User", "created": moment(u.Created), "lastModified": moment(u.Modified),
		"location": base + "/Users/" + u.ID, "version": versionOf(u),
	}
	if len(u.Groups) > 0 {
		list := make([]any, len(u.Groups))
		for i, g := range u.Groups {
			list[i] = object{"value": g.ID, "display": g.DisplayName, "type": "direct", "$ref": base + "/Groups/" + g.ID}
		}
		res["groups"] = list
	}
	res[urnPosixUser] = h.posix(u.Account)
	s.apply(res, users)
	return res, nil
}

// posix is the Linux side of an account; that of an account of the machine's own is the machine's.
func (h *Handler) posix(a store.Account) object {
	out := object{"userName": string(a.Name)}
	uid, gid, home, shell := a.UID, a.GID(), a.Home, a.Shell
	if uid == 0 && h.LookUp != nil {
		if entry, err := h.LookUp(string(a.Name)); err == nil {
			uid, gid, home, shell = entry.UID, entry.GID, entry.Home, entry.Shell
		}
	}
	if uid != 0 {
		out["uidNumber"], out["gidNumber"], out["homeDirectory"], out["loginShell"] = uid, account.GID(gid), home, shell
	}
	return out
}

// renderGroup makes what a client sees of a group.
func renderGroup(base string, g store.ScimGroup, s selection) (object, error) {
	res, err := document(g.Doc)
	if err != nil {
		return nil, err
	}
	res["schemas"] = []string{urnGroup, urnPosixGroup}
	res["id"] = g.ID
	res["meta"] = object{
		"resourceType": "Group", "created": moment(g.Created), "lastModified": moment(g.Modified),
		"location": base + "/Groups/" + g.ID, "version": versionOfGroup(g),
	}
	if len(g.Members) > 0 {
		list, display := make([]any, len(g.Members)), s.asks("members", "display")
		for i, m := range g.Members {
			one := object{"value": m.ID, "type": "User", "$ref": base + "/Users/" + m.ID}
			if display {
				one["display"] = m.Display
			}
			list[i] = one
		}
		res["members"] = list
	}
	res[urnPosixGroup] = object{"gidNumber": g.GID, "groupName": string(g.Name)}
	s.apply(res, groups)
	return res, nil
}
