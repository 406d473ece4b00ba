package store

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/pwb-project/pwb/internal/account"
)

// RFC 7644, 3.4.2.4: a page may have fewer resources than were asked for; the client goes on behind it.
func TestAPageOfLargeGroupsIsBounded(t *testing.T) {
	s, _ := open(t)
	const people, groups = pageMembers/2 + 1, 5
	var ids []string
	err := s.write(ctx, func(tx *sql.Tx) error {
		for i := range people {
			name, id := fmt.Sprintf("u%d", i), fmt.Sprint(i)
			if _, err := tx.Exec("INSERT INTO account (name, username, first_login, last_login, id, revision) VALUES (?, ?, 0, 0, ?, 0)", name, name, 2_000_000+i); err != nil {
				return err
			}
			if _, err := tx.Exec("INSERT INTO scim_user (id, account, user_name, user_name_fold, doc, created, modified, version) VALUES (?, ?, ?, ?, '{}', 0, 0, 1)", id, name, name, name); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range groups {
		name := fmt.Sprintf("g%d", i)
		g := ScimGroup{ID: name, DisplayName: name, Doc: []byte("{}"), GID: account.GID(3000 + i), Name: account.Name(name)}
		if _, err := s.EnrolGroup(ctx, GroupEnrolment{Group: g, Members: ids}); err != nil {
			t.Fatal(err)
		}
	}
	for offset := range groups {
		page, total, err := s.ScimGroups(ctx, Listing{Offset: offset, Limit: 200, Lists: true})
		if err != nil || total != groups || len(page) != 1 || len(page[0].Members) != people || page[0].ID != fmt.Sprint("g", offset) {
			t.Errorf("from %d: %d groups of %d, %v", offset, len(page), total, err)
		}
	}
	if page, total, err := s.ScimGroups(ctx, Listing{Limit: 200}); err != nil || total != groups || len(page) != groups {
		t.Errorf("without members: %d groups of %d, %v", len(page), total, err)
	}
}
