package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"

	"modernc.org/sqlite"
)

func (s *Store) prepare(ctx context.Context) error {
	s.statements = map[string]*sql.Stmt{}
	for _, query := range []string{bySubject, byName, purgeSpent, insertSpent, updateLogin, head, findSession,
		scimUserByID, scimUserByName, scimGroupByID, updateScimUser, tokenByID} {
		stmt, err := s.db.PrepareContext(ctx, query)
		if err != nil {
			return err
		}
		s.statements[query] = stmt
	}
	return nil
}

func (s *Store) queryRow(ctx context.Context, tx *sql.Tx, query string, args ...any) *sql.Row {
	stmt := s.statements[query]
	switch {
	case stmt != nil && tx != nil:
		return tx.StmtContext(ctx, stmt).QueryRowContext(ctx, args...)
	case stmt != nil:
		return stmt.QueryRowContext(ctx, args...)
	case tx != nil:
		return tx.QueryRowContext(ctx, query, args...)
	}
	return s.db.QueryRowContext(ctx, query, args...)
}

func (s *Store) exec(ctx context.Context, tx *sql.Tx, query string, args ...any) (sql.Result, error) {
	if stmt := s.statements[query]; stmt != nil {
		return tx.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	}
	return tx.ExecContext(ctx, query, args...)
}

// list is a parameter that stands for many: json_each reads it.
func list(all []string) string {
	text, _ := json.Marshal(all) // strings can always be written
	return string(text)
}

func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// violates says whether a unique column refused a row.
func violates(err error, column string) bool {
	var e *sqlite.Error
	const unique, primary = 2067, 1555 // SQLITE_CONSTRAINT_UNIQUE, _PRIMARYKEY
	return errors.As(err, &e) && (e.Code() == unique || e.Code() == primary) && strings.Contains(e.Error(), column)
}

// maxAsked bounds the statements that are kept compiled: texts follow the shape of clients' filters.
const maxAsked = 64

// ask is QueryContext with statements that stay compiled.
func (s *Store) ask(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s.mu.Lock()
	stmt := s.asked[query]
	full := len(s.asked) >= maxAsked
	s.mu.Unlock()
	if stmt == nil && full {
		return s.db.QueryContext(ctx, query, args...)
	}
	if stmt == nil {
		made, err := s.db.PrepareContext(ctx, query)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		if stmt = s.asked[query]; stmt == nil {
			stmt, s.asked[query] = made, made
			made = nil
		}
		s.mu.Unlock()
		if made != nil {
			made.Close()
		}
	}
	return stmt.QueryContext(ctx, args...)
}
