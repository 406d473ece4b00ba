package store

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/account"
)

func code(text, name string) Code {
	return Code{Hash: sha256.Sum256([]byte(text)), Account: account.Name(name), IssuedBy: "test", Expires: time.Now().Add(time.Minute)}
}

// withAlice is a store whose clock the test sets, with one account.
func withAlice(t *testing.T) (*Store, *time.Time) {
	t.Helper()
	now := time.Now()
	s, err := Open(ctx, Config{Path: filepath.Join(t.TempDir(), "pwb.db"), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Redeem(ctx, redemption("first", "alice")); err != nil {
		t.Fatal(err)
	}
	return s, &now
}

func TestCodes(t *testing.T) {
	s, now := withAlice(t)
	if err := s.PutCode(ctx, code("x", "nobody-here")); !errors.Is(err, ErrNotFound) {
		t.Errorf("for nobody: %v", err)
	}
	one := code("one", "alice")
	one.Service, one.Host = "sshd", "node1"
	if err := s.PutCode(ctx, one); err != nil {
		t.Fatal(err)
	}
	got, err := s.FindCode(ctx, one.Hash)
	if err != nil || got.Account != "alice" || got.Service != "sshd" || got.Host != "node1" || got.IssuedBy != "test" || !got.Used.IsZero() || got.Usable(*now) != nil {
		t.Errorf("FindCode = %+v, %v", got, err)
	}
	if err := s.PutCode(ctx, one); !errors.Is(err, ErrUnavailable) {
		t.Errorf("the same again: %v", err)
	}
	// A locked account's codes are refused and not used up.
	if err := s.SetActive(ctx, "alice", false); err != nil {
		t.Fatal(err)
	}
	if err := s.RedeemCode(ctx, one.Hash); !errors.Is(err, ErrInactive) {
		t.Errorf("locked: %v", err)
	}
	if err := s.PutCode(ctx, code("two", "alice")); !errors.Is(err, ErrInactive) {
		t.Errorf("a new one, locked: %v", err)
	}
	s.SetActive(ctx, "alice", true)
	*now = now.Add(2 * time.Second)
	if err := s.RedeemCode(ctx, one.Hash); err != nil {
		t.Fatal(err)
	}
	if a, _ := s.ByName(ctx, "alice"); a.LastLogin.Unix() != now.Unix() {
		t.Errorf("last login %v, want %v", a.LastLogin, now)
	}
	if err := s.RedeemCode(ctx, one.Hash); !errors.Is(err, ErrSpent) {
		t.Errorf("again: %v", err)
	}
	if err := s.RedeemCode(ctx, sha256.Sum256([]byte("never"))); !errors.Is(err, ErrNoCode) {
		t.Errorf("never given out: %v", err)
	}
	three := code("three", "alice")
	if err := s.PutCode(ctx, three); err != nil {
		t.Fatal(err)
	}
	*now = now.Add(time.Minute)
	if err := s.RedeemCode(ctx, three.Hash); !errors.Is(err, ErrCodeExpired) {
		t.Errorf("expired: %v", err)
	}
	*now = now.Add(codeKept + time.Minute)
	four := code("four", "alice")
	four.Expires = now.Add(time.Minute)
	if err := s.PutCode(ctx, four); err != nil {
		t.Fatal(err)
	}
	if err := s.RedeemCode(ctx, three.Hash); !errors.Is(err, ErrNoCode) {
		t.Errorf("a day later: %v", err)
	}
}

// A person who clicks for ever does not fill the store.
func TestTooManyCodes(t *testing.T) {
	s, now := withAlice(t)
	for n := range maxLiveCodes {
		if err := s.PutCode(ctx, code(fmt.Sprint(n), "alice")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutCode(ctx, code("more", "alice")); !errors.Is(err, ErrTooManyCodes) {
		t.Errorf("one more: %v", err)
	}
	if err := s.RedeemCode(ctx, code("0", "alice").Hash); err != nil {
		t.Fatal(err)
	}
	if err := s.PutCode(ctx, code("more", "alice")); err != nil {
		t.Errorf("after one was used: %v", err)
	}
	*now = now.Add(2 * time.Minute)
	later := code("later", "alice")
	later.Expires = now.Add(time.Minute)
	if err := s.PutCode(ctx, later); err != nil {
		t.Errorf("after they have expired: %v", err)
	}
}

// Two processes redeem the same codes; each is killed in the middle, often.
func TestCodesAndProcessesThatAreKilled(t *testing.T) {
	t.Setenv("PWB_STORE_CODES", "1")
	s, path := open(t)
	if err := s.Redeem(ctx, redemption("first", "alice")); err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for round := range 6 {
		prefix := fmt.Sprint("round", round)
		err := s.write(ctx, func(tx *sql.Tx) error {
			for n := range 400 {
				hash := sha256.Sum256(fmt.Appendf(nil, "%s-%d", prefix, n))
				_, err := tx.Exec("INSERT INTO code VALUES (?, 'alice', '', '', '', 'test', 0, ?, NULL)", hash[:], time.Now().Add(time.Hour).Unix())
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		spendTogether(t, path, prefix, said)
	}
	for key := range said {
		if err := s.RedeemCode(ctx, sha256.Sum256([]byte(key))); !errors.Is(err, ErrSpent) {
			t.Fatalf("code %s was said to be used: %v", key, err)
		}
	}
	if len(said) < 20 {
		t.Errorf("only %d codes were used; the test has tested little", len(said))
	}
}

func TestKeysOfSessionTickets(t *testing.T) {
	s, now := withAlice(t)
	key := func(id string, from time.Time) TicketKey {
		return TicketKey{ID: id, Public: []byte("p" + id), Seed: []byte("s" + id), SignsFrom: from}
	}
	var wg sync.WaitGroup
	ids := make([]string, 8)
	for n := range ids {
		wg.Go(func() {
			k, err := s.SigningKey(ctx, key(fmt.Sprint("first", n), time.Time{}))
			if err != nil {
				t.Error(err)
			}
			ids[n] = k.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || id == "" {
			t.Errorf("several signed first: %q", ids)
		}
	}
	if err := s.RotateTicketKey(ctx, key("second", now.Add(time.Hour)), now.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	check := func(name, signs string, public ...string) {
		t.Helper()
		k, err := s.SigningKey(ctx, key("another", time.Time{}))
		if err != nil || k.ID != signs || string(k.Seed) != "s"+signs {
			t.Errorf("%s: %q signs, %v; want %q", name, k.ID, err, signs)
		}
		all, err := s.TicketKeys(ctx)
		got := []string{}
		for _, k := range all {
			got = append(got, k.ID)
			if k.Seed != nil {
				t.Errorf("%s: the private half of %s", name, k.ID)
			}
		}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(public) {
			t.Errorf("%s: public %v, %v; want %v", name, got, err, public)
		}
	}
	check("before it signs", ids[0], "second", ids[0])
	*now = now.Add(61 * time.Minute)
	check("when it signs", "second", "second", ids[0])
	*now = now.Add(61 * time.Minute)
	check("when the first is over", "second", "second")
	if err := s.RotateTicketKey(ctx, key("third", *now), now.Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	check("at once", "third", "third")
	// A second thought takes the place of the first: until it signs, the key that signs now goes on.
	for _, k := range []TicketKey{key("fourth", now.Add(24*time.Hour)), key("fifth", now.Add(48*time.Hour))} {
		if err := s.RotateTicketKey(ctx, k, k.SignsFrom.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	*now = now.Add(47 * time.Hour)
	check("before the second thought signs", "third", "fifth", "third")
	*now = now.Add(61 * time.Minute)
	check("when it signs", "fifth", "fifth", "third")
}
