package provision

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/snapshot"
	"github.com/pwb-project/pwb/internal/store"
)

// BenchmarkVisible measures how long after its commit a new account is shown to every program where there are a million: from the
// end of the transaction to the end of Publish, which the login waits for. One half of the accounts is in no group, the other in two
// of some 500, which are shown anew with it.
func BenchmarkVisible(b *testing.B) {
	dir, err := os.MkdirTemp("", "pwb-visible") // not memory: a million accounts are half a gigabyte
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "db", "pwb.db")
	s, err := store.Open(ctx, store.Config{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	fill(b, path, 1_000_000)
	pub := &Publisher{Path: filepath.Join(dir, "nss", "users.snap"), Store: s, Machine: &machine{}, HomePath: "/home"}
	began := time.Now()
	if err := pub.Publish(ctx); err != nil {
		b.Fatal(err)
	}
	b.Logf("a whole snapshot of a million takes %v", time.Since(began))
	var committed time.Time
	took := map[string][]time.Duration{}
	kind := ""
	p := &Provisioner{Store: s, Machine: &machine{}, Register: &Register{FirstLogin: true, StartUID: 1_879_048_192, StartGID: 1_879_048_192, HomePath: "/home", Shell: "/bin/sh"}}
	p.Publish = func(c context.Context) error {
		committed = time.Now()
		err := pub.Publish(c)
		took[kind] = append(took[kind], time.Since(committed))
		return err
	}
	n := 0
	for b.Loop() {
		who := fmt.Sprintf("new%d", n)
		e := told(evidence(who, who, who), true)
		if kind = "alone"; n%2 == 0 {
			kind = "in-groups"
			e = told(e, true, fmt.Sprintf("team-%d", n%2000), fmt.Sprintf("team-%d", n%2000+1))
		}
		if _, err := p.Login(ctx, e, ""); err != nil {
			b.Fatal(err)
		}
		n++
	}
	if of, shown, ok := snapshot.Shown(pub.Path); !ok {
		b.Errorf("what is shown at the end: %v, %v", of, shown)
	}
	for kind, all := range took {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "ms-p50-"+kind)
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "ms-p99-"+kind)
	}
}

// fill writes accounts as logins would have, in one transaction.
func fill(b *testing.B, path string, people int) {
	b.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // the transaction is its connection's
	for _, step := range []string{
		"PRAGMA synchronous = OFF; BEGIN",
		"CREATE TEMP TABLE number AS WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < @people) SELECT i FROM n",
		`INSERT INTO account (name, issuer, subject, username, first_login, last_login, id, gecos, home, shell, groups_known, revision)
			SELECT 'p' || i, 'i', 's' || i, 'p' || i, 1, 1, 1900000000 + i, 'Some Body', '/home/p' || i, '/bin/bash', 1, 1 FROM number WHERE i < @people`,
		"INSERT INTO given_name SELECT 'p' || i FROM number WHERE i < @people; INSERT INTO given_id SELECT 1900000000 + i FROM number WHERE i < @people",
		"INSERT INTO provider_group SELECT 2000000000 + i, 'team-' || i, 'https://idp.example.com', 'team-' || i, 1 FROM number WHERE i < @people / 500 + 2",
		"INSERT INTO given_name SELECT 'team-' || i FROM number WHERE i < @people / 500 + 2",
		"INSERT INTO membership SELECT 'p' || i, 2000000000 + i / 500 FROM number WHERE i < @people",
		"UPDATE revision SET number = 1; COMMIT",
	} {
		if _, err := db.Exec(strings.ReplaceAll(step, "@people", strconv.Itoa(people))); err != nil {
			b.Fatalf("%s: %v", step, err)
		}
	}
}
