package store

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

// oldStore makes a store as an older version left it, with an account and what that version knew.
func oldStore(t *testing.T, version int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pwb.db")
	if err := prepareFile(Config{Path: path}); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	run := func(text string) {
		if _, err := db.Exec(text); err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
	}
	for v := 1; v <= version; v++ {
		text, err := schema.ReadFile(fmt.Sprintf("schema/%d.sql", v))
		if err != nil {
			t.Fatal(err)
		}
		run(string(text))
	}
	run(fmt.Sprintf("PRAGMA user_version = %d", version))
	if version >= 1 {
		run("INSERT INTO account (name, issuer, subject, username, active, first_login, last_login) VALUES ('alice', 'https://idp.example.com', 's-alice', 'alice@example.com', 0, 5, 6)")
	}
	if version >= 2 {
		run("UPDATE account SET id = 1000, gecos = 'A', home = '/home/alice', shell = '/bin/sh', groups_known = 1, revision = 3 WHERE name = 'alice'")
		run("INSERT INTO given_name (name) VALUES ('alice'), ('g-1')")
		run("INSERT INTO given_id VALUES (1000), (1001)")
		run("INSERT INTO provider_group (gid, name, issuer, object, revision) VALUES (1001, 'g-1', 'https://idp.example.com', 'o1', 3)")
		run("INSERT INTO membership VALUES ('alice', 1001)")
	}
	return path
}

func TestEveryOlderVersionIsBroughtUp(t *testing.T) {
	for version := range schemaVersion + 1 {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			path := oldStore(t, version)
			s := openAt(t, path)
			if version >= 1 {
				a, err := s.ByName(ctx, "alice")
				if err != nil || a.Active || !a.Locked || a.Withdrawn || a.Managed || a.Identity.Subject != "s-alice" || a.FirstLogin.Unix() != 5 || a.LastLogin.Unix() != 6 {
					t.Errorf("ByName = %+v, %v", a, err)
				}
				if version >= 2 && (a.UID != 1000 || a.Home != "/home/alice" || a.Groups != Told) {
					t.Errorf("ByName = %+v", a)
				}
			}
			if version >= 2 {
				groups, err := s.GroupsOf(ctx, "alice")
				if err != nil || len(groups) != 1 || groups[0].Object != "o1" || groups[0].GID != 1001 {
					t.Errorf("GroupsOf = %+v, %v", groups, err)
				}
				if own, err := s.NameOfGroup(ctx, "g-1", 1001); version == 2 && (err != nil || !own) {
					t.Errorf("NameOfGroup = %v, %v", own, err)
				}
			}
			got, want := tables(t, s), tables(t, openAt(t, filepath.Join(t.TempDir(), "new.db")))
			if !slices.Equal(got, want) {
				t.Errorf("tables %q\nwant %q", got, want)
			}
			var broken int
			if err := s.db.QueryRow("SELECT count(*) FROM pragma_foreign_key_check").Scan(&broken); err != nil || broken > 0 {
				t.Errorf("%d references lead nowhere, %v", broken, err)
			}
			r := redemption("x", "bob")
			if err := s.Redeem(ctx, r); err != nil {
				t.Error(err)
			}
		})
	}
}

func tables(t *testing.T, s *Store) []string {
	all, err := column[string](ctx, s.db, "SELECT type || ' ' || name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	return all
}
