package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/pwb-project/pwb/internal/account"
)

// ErrExhausted is returned when no id is left to give.
var ErrExhausted = errors.New("no id is left")

// Reserve returns the next id from start up that was never given, to this caller alone; taken are ranges that belong to
// others. Whether somebody outside the store has the id is for the caller to ask, who then takes it or lets it go: ids are
// plenty, and a gap does no harm. What start was before does not matter, so an operator may move it.
func (s *Store) Reserve(ctx context.Context, start uint32, taken []account.IDRange) (id uint32, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		next := start
		row := tx.QueryRowContext(ctx, "SELECT next FROM sequence WHERE start = ?", start)
		if err := row.Scan(&next); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if id, err = firstFree(ctx, tx, next, taken); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO sequence VALUES (?, ?) ON CONFLICT (start) DO UPDATE SET next = excluded.next", start, int64(id)+1)
		return err
	})
	if errors.Is(err, ErrExhausted) {
		return 0, fmt.Errorf("reserve an id from %d up: %w", start, err)
	}
	return id, unavailable("reserve an id", err)
}

func firstFree(ctx context.Context, tx *sql.Tx, next uint32, taken []account.IDRange) (uint32, error) {
	const endOfRun = `SELECT id + 1 FROM given_id g WHERE id >= ? AND NOT EXISTS (SELECT 1 FROM given_id n WHERE n.id = g.id + 1)
		ORDER BY id LIMIT 1`
	for {
		id, ok := account.NextID(next, taken)
		if !ok {
			return 0, ErrExhausted
		}
		var given bool
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM given_id WHERE id = ?)", id).Scan(&given); err != nil || !given {
			return id, err
		}
		if err := tx.QueryRowContext(ctx, endOfRun, id).Scan(&next); err != nil {
			return 0, err
		}
	}
}

// Group is a provider's group.
type Group struct {
	GID     account.GID
	Name    account.Name
	Issuer  string
	Object  string // the provider's stable name for it; empty when the provider has not said
	Managed bool   // by the provider: it is a group of SCIM
	Members int    // filled in by Groups
}

// Groups is what a ticket says of its owner's memberships.
type Groups struct {
	Objects  []string // of all groups, when Complete
	Complete bool     // else nothing is known, and what was known stays
	New      []Group  // those of Objects that the store did not know, with ids reserved for them
}

// join makes the memberships of an account what its ticket says. Nothing is written when nothing has changed.
func (s *Store) join(ctx context.Context, tx *sql.Tx, r Redemption) error {
	if r.Groups == nil {
		return nil
	}
	var known Known
	var revision int64
	const ours = "SELECT groups_known FROM account WHERE name = ? AND id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM scim_user s WHERE s.account = name)"
	if err := tx.QueryRowContext(ctx, ours, string(r.Name)).Scan(&known); errors.Is(err, sql.ErrNoRows) {
		return nil // the machine's own account, in the machine's own groups; or one whose groups the provider manages
	} else if err != nil {
		return err
	}
	if !r.Groups.Complete {
		return mark(ctx, tx, r.Name, known, Stale)
	}
	have, err := objectsOf(ctx, tx, r.Name)
	if err != nil {
		return err
	}
	want, err := unmanaged(ctx, tx, r.Identity.Issuer, r.Groups.Objects)
	if err != nil {
		return err
	}
	add, remove := difference(want, have)
	if len(add)+len(remove) > 0 {
		if revision, err = raise(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE account SET revision = ? WHERE name = ?", revision, string(r.Name)); err != nil {
			return err
		}
	}
	if err := insertGroups(ctx, tx, r.Groups.New, revision); err != nil {
		return err
	}
	const touch = "UPDATE provider_group SET revision = ?, deleted = NULL WHERE issuer = ? AND object = ?"
	for _, step := range []struct {
		objects []string
		query   string
	}{
		{add, "INSERT INTO membership SELECT ?, gid FROM provider_group WHERE issuer = ? AND object = ?"},
		{remove, "DELETE FROM membership WHERE account = ? AND gid = (SELECT gid FROM provider_group WHERE issuer = ? AND object = ?)"},
	} {
		for _, object := range step.objects {
			done, err := tx.ExecContext(ctx, step.query, string(r.Name), r.Identity.Issuer, object)
			if err != nil {
				return err
			}
			if n, err := done.RowsAffected(); err != nil || n != 1 {
				return errors.Join(fmt.Errorf("group %q: %w", object, ErrTaken), err)
			}
			if _, err := tx.ExecContext(ctx, touch, revision, r.Identity.Issuer, object); err != nil {
				return err
			}
		}
	}
	return mark(ctx, tx, r.Name, known, Told)
}

// unmanaged returns those of a ticket's groups that are not the provider's to manage: who is in the others, SCIM says.
func unmanaged(ctx context.Context, tx *sql.Tx, issuer string, objects []string) (free []string, err error) {
	managed, err := column[string](ctx, tx, "SELECT object FROM provider_group JOIN scim_group USING (gid) WHERE issuer = ? AND object IS NOT NULL", issuer)
	if err != nil || len(managed) == 0 {
		return objects, err
	}
	for _, object := range objects {
		if !slices.Contains(managed, object) {
			free = append(free, object)
		}
	}
	return free, nil
}

func mark(ctx context.Context, tx *sql.Tx, name account.Name, was, is Known) error {
	if was == is || was == Untold && is == Stale {
		return nil
	}
	_, err := tx.ExecContext(ctx, "UPDATE account SET groups_known = ? WHERE name = ?", is, string(name))
	return err
}

func insertGroups(ctx context.Context, tx *sql.Tx, groups []Group, revision int64) error {
	for _, g := range groups {
		if err := errors.Join(give(ctx, tx, "id", g.GID), giveName(ctx, tx, g.Name, g.GID)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO provider_group (gid, name, issuer, object, revision) VALUES (?, ?, ?, ?, ?)",
			g.GID, string(g.Name), g.Issuer, g.Object, revision)
		if violates(err, "provider_group.object") {
			return fmt.Errorf("group %q: %w", g.Object, ErrTaken) // somebody else of it has come in the same moment
		} else if err != nil {
			return err
		}
	}
	return nil
}

// giveName gives a name to a group. One that it had before it may have again.
func giveName(ctx context.Context, tx *sql.Tx, name account.Name, gid account.GID) error {
	done, err := tx.ExecContext(ctx, "INSERT INTO given_name (name, gid) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET gid = gid WHERE gid = excluded.gid",
		string(name), gid)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n != 1 {
		return errors.Join(fmt.Errorf("name %q: %w", name, ErrTaken), err)
	}
	return nil
}

// difference returns what is in want only, and what is in have only.
func difference(want, have []string) (add, remove []string) {
	in := map[string]int{}
	for _, h := range have {
		in[h] = 1
	}
	for _, w := range want {
		if in[w] == 0 {
			add = append(add, w)
		}
		in[w] = 2
	}
	for _, h := range have {
		if in[h] == 1 {
			remove = append(remove, h)
		}
	}
	return add, remove
}

type rowsQueryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func objectsOf(ctx context.Context, q rowsQueryer, name account.Name) ([]string, error) {
	return column[string](ctx, q, `SELECT object FROM membership JOIN provider_group p USING (gid) WHERE account = ? AND object IS NOT NULL
		AND NOT EXISTS (SELECT 1 FROM scim_group s WHERE s.gid = p.gid)`, string(name))
}

// column reads a query's only column.
func column[T any](ctx context.Context, q rowsQueryer, query string, args ...any) (all []T, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var one T
		if err := rows.Scan(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

const selectGroup = `SELECT gid, name, issuer, coalesce(object, ''), (SELECT count(*) FROM membership m WHERE m.gid = provider_group.gid),
	EXISTS (SELECT 1 FROM scim_group s WHERE s.gid = provider_group.gid) FROM provider_group `

func scanGroups(ctx context.Context, q rowsQueryer, query string, args ...any) (all []Group, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var g Group
		if err := rows.Scan(&g.GID, &g.Name, &g.Issuer, &g.Object, &g.Members, &g.Managed); err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, rows.Err()
}

// Groups returns all groups, by name.
func (s *Store) Groups(ctx context.Context) ([]Group, error) {
	all, err := scanGroups(ctx, s.db, selectGroup+"WHERE deleted IS NULL ORDER BY name")
	return all, unavailable("list the groups", err)
}

// GroupsFor returns the groups that stand for a provider's objects; those that nothing stands for yet are left out.
func (s *Store) GroupsFor(ctx context.Context, objects []string) (all []Group, err error) {
	const query = "SELECT gid, name, issuer, object, 0, 0 FROM provider_group WHERE object = ? AND deleted IS NULL"
	for _, object := range objects {
		some, err := scanGroups(ctx, s.db, query, object)
		if err != nil {
			return nil, unavailable("find groups", err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// GroupsOf returns the groups that an account is in, by name.
func (s *Store) GroupsOf(ctx context.Context, name account.Name) ([]Group, error) {
	all, err := scanGroups(ctx, s.db, selectGroup+"WHERE gid IN (SELECT gid FROM membership WHERE account = ?) ORDER BY name", string(name))
	return all, unavailable(fmt.Sprintf("list the groups of %q", name), err)
}

// MembersOf returns the names of a group's members.
func (s *Store) MembersOf(ctx context.Context, gid account.GID) ([]string, error) {
	all, err := column[string](ctx, s.db, "SELECT account FROM membership WHERE gid = ? ORDER BY account", gid)
	return all, unavailable(fmt.Sprintf("list the members of group %d", gid), err)
}

// UnknownGroups returns those of an issuer's objects that no group stands for.
func (s *Store) UnknownGroups(ctx context.Context, issuer string, objects []string) (unknown []string, err error) {
	for _, object := range objects {
		var there bool
		row := s.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM provider_group WHERE issuer = ? AND object = ?)", issuer, object)
		if err := row.Scan(&there); err != nil {
			return nil, unavailable("look for groups", err)
		}
		if !there {
			unknown = append(unknown, object)
		}
	}
	return unknown, nil
}

// NameGiven says whether a name was ever given, to a user or to a group.
func (s *Store) NameGiven(ctx context.Context, name account.Name) (given bool, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM given_name WHERE name = ?)", string(name)).Scan(&given)
	return given, unavailable(fmt.Sprintf("look for the name %q", name), err)
}

// RenameGroup gives a group another name; its gid stays. ErrTaken: the name was given already. ErrNotFound: no such group.
func (s *Store) RenameGroup(ctx context.Context, from, to account.Name) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		var gid account.GID
		if err := tx.QueryRowContext(ctx, "SELECT gid FROM provider_group WHERE name = ?", string(from)).Scan(&gid); err != nil {
			return absent(err)
		}
		if err := giveName(ctx, tx, to, gid); err != nil {
			return err
		}
		revision, err := raise(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE provider_group SET name = ?, revision = ? WHERE gid = ?", string(to), revision, gid)
		return err
	})
	return unavailable(fmt.Sprintf("rename group %q", from), err)
}
