package store

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// What one change costs must not depend on how many accounts there are: at a million it took more than a second.
func TestAChangeAmongMany(t *testing.T) {
	cost := func(people int) time.Duration {
		s, err := Open(ctx, Config{Path: filepath.Join(t.TempDir(), "pwb.db")})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		_, err = s.db.ExecContext(ctx, fmt.Sprintf(`BEGIN IMMEDIATE;
			INSERT INTO account (name, issuer, subject, username, first_login, last_login, id, home, shell, groups_known, revision)
				WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
				SELECT 'p' || i, 'i', 's' || i, 'p' || i, 1, 1, 70000 + i, '/home/p' || i, '/bin/bash', 1, i FROM n;
			INSERT INTO provider_group (gid, name, issuer, object, revision) SELECT 1000000 + id, 'team-' || id, 'i', 'team-' || id, revision FROM account WHERE id %% 50 = 0;
			INSERT INTO membership SELECT name, 1000000 + id - id %% 50 FROM account;
			UPDATE revision SET number = %[1]d; COMMIT`, people))
		if err != nil {
			t.Fatal(err)
		}
		least := time.Hour
		for range 7 {
			began := time.Now()
			c, err := s.Changes(ctx, int64(people)-1)
			if err != nil || len(c.Accounts) != 1 || len(c.Accounts[0].GIDs) != 1 || len(c.Groups) != 1 || len(c.Groups[0].Members) != 1 {
				t.Fatalf("Changes = %+v, %v", c, err)
			}
			least = min(least, time.Since(began))
		}
		return least
	}
	few, many := cost(1000), cost(15_000)
	if many > 4*few {
		t.Errorf("a change among 1000 accounts is read in %v, among 15,000 in %v", few, many)
	}
}
