package store

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/pwb-project/pwb/internal/account"
)

// Shown is what NSS shows of an account, or that it shows it no more.
type Shown struct {
	Account
	GIDs []account.GID // of the provider's groups that it is in
}

// ShownGroup is what NSS shows of a provider's group.
type ShownGroup struct {
	Name    account.Name
	GID     account.GID
	Members []string
	Deleted bool // it is shown no more
}

// Changes is what has changed for NSS after one revision, up to another.
type Changes struct {
	Origin   [16]byte // of the store
	Revision int64
	Accounts []Shown
	Groups   []ShownGroup
}

// Changes returns what NSS must show anew, or no more, after the revision since; since -1 is everything. It is one view of
// the store, whatever is written meanwhile.
func (s *Store) Changes(ctx context.Context, since int64) (*Changes, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, unavailable("read the changes", err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "BEGIN DEFERRED"); err != nil { // database/sql's own would wait for writers
		return nil, unavailable("read the changes", err)
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	c := new(Changes)
	var origin []byte
	if err := conn.QueryRowContext(ctx, "SELECT number, id FROM revision, origin").Scan(&c.Revision, &origin); err != nil {
		return nil, unavailable("read the changes", err)
	}
	copy(c.Origin[:], origin)
	if c.Revision == since {
		return c, nil
	}
	if c.Accounts, err = changedAccounts(ctx, conn, since); err != nil {
		return nil, unavailable("read the changes", err)
	}
	c.Groups, err = changedGroups(ctx, conn, since)
	return c, unavailable("read the changes", err)
}

// What has changed is found by its revision, and the rest from there, whatever the planner would rather do: with a million accounts
// it walked through all of them to show one. CROSS JOIN is SQLite's word for "in this order", and + keeps an index out of a sort.

func changedAccounts(ctx context.Context, conn *sql.Conn, since int64) (all []Shown, err error) {
	rows, err := conn.QueryContext(ctx, selectAccount+"WHERE id IS NOT NULL AND revision > ? ORDER BY +id", since)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	at := map[account.Name]int{}
	for rows.Next() {
		a, err := scanAccount(rows)
		if err != nil {
			return nil, err
		}
		at[a.Name] = len(all)
		all = append(all, Shown{Account: a})
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	const theirs = `SELECT m.account, m.gid FROM account a CROSS JOIN membership m
		WHERE a.id IS NOT NULL AND a.revision > ? AND m.account = a.name ORDER BY +m.account, +m.gid`
	return all, eachMember(ctx, conn, theirs, since,
		func(name account.Name, gid account.GID) {
			if i, ok := at[name]; ok {
				all[i].GIDs = append(all[i].GIDs, gid)
			}
		})
}

func changedGroups(ctx context.Context, conn *sql.Conn, since int64) (all []ShownGroup, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT gid, name, deleted IS NOT NULL FROM provider_group WHERE revision > ? ORDER BY +gid", since)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	at := map[account.GID]int{}
	for rows.Next() {
		var g ShownGroup
		if err := rows.Scan(&g.GID, &g.Name, &g.Deleted); err != nil {
			return nil, err
		}
		at[g.GID] = len(all)
		all = append(all, g)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	// One row a group: a group of ten thousand is read at each change to it, and rows are what costs.
	const live = `SELECT group_concat(m.account, char(10)), g.gid FROM provider_group g CROSS JOIN membership m CROSS JOIN account a
		WHERE g.revision > ? AND m.gid = g.gid AND a.name = m.account AND a.deleted IS NULL GROUP BY g.gid`
	return all, eachMember(ctx, conn, live, since, func(names account.Name, gid account.GID) {
		if i, ok := at[gid]; ok {
			all[i].Members = strings.Split(string(names), "\n")
			slices.Sort(all[i].Members)
		}
	})
}

func eachMember(ctx context.Context, conn *sql.Conn, query string, since int64, each func(account.Name, account.GID)) error {
	rows, err := conn.QueryContext(ctx, query, since)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name account.Name
		var gid account.GID
		if err := rows.Scan(&name, &gid); err != nil {
			return err
		}
		each(name, gid)
	}
	return rows.Err()
}
