package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/account"
)

// person makes an account of ours.
func person(t *testing.T, s *Store, name string, id uint32) account.Identity {
	t.Helper()
	who := account.Identity{Issuer: "https://idp", Subject: "s-" + name, Username: name + "@example.com"}
	r := Redemption{Key: [32]byte([]byte(fmt.Sprintf("%-32s", name))), Expires: time.Now().Add(time.Hour), Identity: who, Name: account.Name(name), New: &New{ID: id, Gecos: "Person " + name}}
	if err := s.Redeem(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return who
}

func TestBrowsersSessions(t *testing.T) {
	s, path := open(t)
	who := person(t, s, "alice", 30000)
	now := time.Now().Truncate(time.Second)
	put := func(id byte, name account.Name, used time.Time) error {
		return s.PutSession(t.Context(), WebSession{ID: [32]byte{id}, Account: name, Identity: who, Created: used, Used: used, Hint: []byte("hint")}, now.Add(-time.Hour), now.Add(-24*time.Hour))
	}
	if err := put(1, "alice", now); err != nil {
		t.Fatal(err)
	}
	if err := put(2, "nobody", now); !errors.Is(err, ErrNotFound) {
		t.Errorf("a session of nobody's: %v", err)
	}
	// Another process, as after a restart, knows it.
	again := openAt(t, path)
	got, err := again.FindSession(t.Context(), [32]byte{1})
	if err != nil || got.Account != "alice" || got.Identity.Subject != who.Subject || !got.Created.Equal(now) || string(got.Hint) != "hint" {
		t.Errorf("found %+v, %v", got, err)
	}
	if err := s.TouchSession(t.Context(), [32]byte{1}, now.Add(time.Minute)); err != nil {
		t.Error(err)
	}
	if got, _ := s.FindSession(t.Context(), [32]byte{1}); !got.Used.Equal(now.Add(time.Minute)) {
		t.Errorf("used at %v", got.Used)
	}
	if err := put(3, "alice", now.Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := put(4, "alice", now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.FindSession(t.Context(), [32]byte{3}); !errors.Is(err, ErrNoSession) {
		t.Errorf("an idle session after the next came: %v", err)
	}
	if err := s.EndSession(t.Context(), [32]byte{4}); err != nil {
		t.Error(err)
	}
	if err := s.TouchSession(t.Context(), [32]byte{4}, now); err != nil {
		t.Error(err)
	}
	if _, err := s.FindSession(t.Context(), [32]byte{4}); !errors.Is(err, ErrNoSession) {
		t.Errorf("a session that has ended: %v", err)
	}
	for i := range byte(30) {
		if err := put(100+i, "alice", now.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	if err := s.db.QueryRow("SELECT count(*) FROM web_session").Scan(&n); err != nil || n != maxSessions {
		t.Errorf("%d sessions of one account, %v; at most %d", n, err, maxSessions)
	}
}

// A session that nobody used while its account was locked does not come back with the account.
func TestALockEndsBrowsersSessions(t *testing.T) {
	for _, end := range []func(*Store) error{
		func(s *Store) error { return s.SetActive(t.Context(), "alice", false) },
		func(s *Store) error { return s.SetDeleted(t.Context(), "alice", true) },
		func(s *Store) error { return s.EndSessions(t.Context(), "alice") },
	} {
		s, _ := open(t)
		alice, bob := person(t, s, "alice", 30000), person(t, s, "bob", 30001)
		now := time.Now()
		for id, w := range map[byte]WebSession{1: {Account: "alice", Identity: alice}, 2: {Account: "bob", Identity: bob}} {
			w.ID, w.Created, w.Used = [32]byte{id}, now, now
			if err := s.PutSession(t.Context(), w, now.Add(-time.Hour), now.Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.SetShell(t.Context(), "alice", "/bin/sh"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.FindSession(t.Context(), [32]byte{1}); err != nil {
			t.Errorf("after a change of the shell: %v", err)
		}
		if err := end(s); err != nil {
			t.Fatal(err)
		}
		if _, err := s.FindSession(t.Context(), [32]byte{1}); !errors.Is(err, ErrNoSession) {
			t.Errorf("alice's: %v", err)
		}
		if _, err := s.FindSession(t.Context(), [32]byte{2}); err != nil {
			t.Errorf("bob's: %v", err)
		}
	}
}

func TestAKeyIsSpentOnce(t *testing.T) {
	s, _ := open(t)
	if err := s.Spend(t.Context(), [32]byte{1}, time.Now().Add(time.Minute)); err != nil {
		t.Error(err)
	}
	if err := s.Spend(t.Context(), [32]byte{1}, time.Now().Add(time.Minute)); !errors.Is(err, ErrSpent) {
		t.Errorf("again: %v", err)
	}
}

func TestTheKeyOfCookiesStays(t *testing.T) {
	s, path := open(t)
	first, err := s.WebKey(t.Context())
	second, err2 := openAt(t, path).WebKey(t.Context())
	if err != nil || err2 != nil || first != second || first == [32]byte{} {
		t.Errorf("%v, %v, same %v", err, err2, first == second)
	}
}

func TestSearch(t *testing.T) {
	s, _ := open(t)
	for i, name := range []string{"alice", "a_lice", "bob"} {
		person(t, s, name, 30000+uint32(i))
	}
	for _, tt := range []struct {
		text  string
		after account.Name
		limit int
		want  string
	}{
		{"", "", 10, "[a_lice alice bob]"}, {"", "alice", 10, "[bob]"}, {"", "", 2, "[a_lice alice]"}, {"LICE", "", 10, "[a_lice alice]"},
		{"_", "", 10, "[a_lice]"}, {"%", "", 10, "[]"}, {"Person b", "", 10, "[bob]"}, {"bob@", "", 10, "[bob]"}, {`\`, "", 10, "[]"}, {"' OR 1=1 --", "", 10, "[]"},
	} {
		all, err := s.Search(t.Context(), tt.text, tt.after, tt.limit)
		names := []account.Name{}
		for _, a := range all {
			names = append(names, a.Name)
		}
		if got := fmt.Sprint(names); got != tt.want || err != nil {
			t.Errorf("Search(%q, %q) = %s, %v; want %s", tt.text, tt.after, got, err, tt.want)
		}
	}
}
