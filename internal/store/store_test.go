package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/nstest"
)

var ctx = context.Background()

func TestMain(m *testing.M) {
	if path := os.Getenv("PWB_STORE_CHILD"); path != "" {
		child(path)
		return
	}
	nstest.Main(m, "/mnt")
}

// child redeems tickets for ever and says each success, until it is killed.
func child(path string) {
	s, err := Open(ctx, Config{Path: path})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	redeem := func(key string) error { return s.Redeem(ctx, redemption(key, "alice")) }
	if os.Getenv("PWB_STORE_CODES") != "" {
		redeem = func(key string) error { return s.RedeemCode(ctx, sha256.Sum256([]byte(key))) }
	}
	for n := 0; n < 1e6; n++ {
		switch err := redeem(fmt.Sprintf("%s-%d", os.Getenv("PWB_STORE_PREFIX"), n)); {
		case err == nil:
			fmt.Println("spent", n)
		case errors.Is(err, ErrSpent):
			fmt.Println("late", n)
		default:
			fmt.Println("error", err)
		}
	}
}

func redemption(ticket, name string) Redemption {
	return Redemption{
		Key: sha256.Sum256([]byte(ticket)), Expires: time.Now().Add(time.Hour), Name: account.Name(name),
		Identity: account.Identity{Issuer: "https://idp.example.com", Subject: "s-" + name, Username: name + "@example.com"},
	}
}

func openAt(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(ctx, Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func open(t testing.TB) (*Store, string) {
	path := filepath.Join(t.TempDir(), "pwb", "pwb.db")
	return openAt(t, path), path
}

func TestATicketIsSpentOnce(t *testing.T) {
	s, path := open(t)
	if err := s.Redeem(ctx, redemption("one", "alice")); err != nil {
		t.Fatal(err)
	}
	if err := s.Redeem(ctx, redemption("one", "alice")); !errors.Is(err, ErrSpent) {
		t.Errorf("again: %v, want %v", err, ErrSpent)
	}
	if err := openAt(t, path).Redeem(ctx, redemption("one", "alice")); !errors.Is(err, ErrSpent) {
		t.Errorf("again, opened anew: %v, want %v", err, ErrSpent)
	}
	if err := s.Redeem(ctx, redemption("two", "alice")); err != nil {
		t.Errorf("another: %v", err)
	}
}

func TestNamesAndSubjectsStayTogether(t *testing.T) {
	s, _ := open(t)
	if err := s.Redeem(ctx, redemption("1", "alice")); err != nil {
		t.Fatal(err)
	}
	impostor := redemption("2", "alice")
	impostor.Identity.Subject = "s-mallory"
	err := s.Redeem(ctx, impostor)
	if !errors.Is(err, ErrBound) || !strings.Contains(err.Error(), `"alice" is bound to https://idp.example.com#s-alice, not to https://idp.example.com#s-mallory`) {
		t.Errorf("another subject: %v", err)
	}
	elsewhere := redemption("3", "alice")
	elsewhere.Identity.Issuer = "https://other.example.com"
	if err := s.Redeem(ctx, elsewhere); !errors.Is(err, ErrBound) {
		t.Errorf("the same subject of another issuer: %v", err)
	}
	renamed := redemption("4", "alice")
	renamed.Name = "alicia"
	if err := s.Redeem(ctx, renamed); !errors.Is(err, ErrBound) {
		t.Errorf("a second name: %v", err)
	}
	// None of the refused was spent.
	renamed.Name = "alice"
	if err := s.Redeem(ctx, renamed); err != nil {
		t.Errorf("the refused ticket, for its own name: %v", err)
	}
	if all, err := s.Accounts(ctx); err != nil || len(all) != 1 || all[0].Identity.Subject != "s-alice" {
		t.Errorf("Accounts = %+v, %v", all, err)
	}
}

func TestALockedAccount(t *testing.T) {
	s, _ := open(t)
	if err := s.SetActive(ctx, "alice", false); !errors.Is(err, ErrNotFound) {
		t.Errorf("lock nobody: %v", err)
	}
	if err := s.Redeem(ctx, redemption("1", "alice")); err != nil {
		t.Fatal(err)
	}
	_, before, _ := s.Head(ctx)
	if err := s.SetActive(ctx, "alice", false); err != nil {
		t.Fatal(err)
	}
	if _, after, _ := s.Head(ctx); after != before+1 {
		t.Errorf("revision %d after %d", after, before)
	}
	if err := s.Redeem(ctx, redemption("2", "alice")); !errors.Is(err, ErrInactive) {
		t.Errorf("locked: %v", err)
	}
	if a, err := s.ByName(ctx, "alice"); err != nil || a.Active {
		t.Errorf("ByName = %+v, %v", a, err)
	}
	s.SetActive(ctx, "alice", true)
	if err := s.Redeem(ctx, redemption("2", "alice")); err != nil {
		t.Errorf("unlocked: %v", err)
	}
}

func TestOneTicketAndManyAtOnce(t *testing.T) {
	s, path := open(t)
	other := openAt(t, path)
	var won, spent atomic.Int32
	var wg sync.WaitGroup
	for n := range 50 {
		wg.Go(func() {
			switch err := []*Store{s, other}[n%2].Redeem(ctx, redemption("one", "alice")); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, ErrSpent):
				spent.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || spent.Load() != 49 {
		t.Errorf("%d won, %d were late", won.Load(), spent.Load())
	}
}

// Two processes spend the same tickets; each is killed in the middle, often. What one has said is spent stays spent, and
// nothing is spent twice.
func TestProcessesThatAreKilled(t *testing.T) {
	_, path := open(t)
	said := map[string]bool{}
	for round := range 6 {
		spendTogether(t, path, fmt.Sprint("round", round), said)
	}
	s := openAt(t, path)
	for ticket := range said {
		if err := s.Redeem(ctx, redemption(ticket, "alice")); !errors.Is(err, ErrSpent) {
			t.Fatalf("ticket %s was said to be spent: %v", ticket, err)
		}
	}
	if len(said) < 20 {
		t.Errorf("only %d tickets were spent; the test has tested little", len(said))
	}
}

// spendTogether has two processes spend what begins with prefix, and adds to said what they have said is spent.
func spendTogether(t *testing.T, path, prefix string, said map[string]bool) {
	var mu sync.Mutex // guards said
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for _, n := range spendUntilKilled(t, path, prefix) {
				mu.Lock()
				if said[prefix+"-"+n] {
					t.Errorf("%s-%s was spent twice", prefix, n)
				}
				said[prefix+"-"+n] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func spendUntilKilled(t *testing.T, path, prefix string) (spent []string) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "PWB_STORE_CHILD="+path, "PWB_STORE_PREFIX="+prefix)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Error(err)
		return nil
	}
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return nil
	}
	defer cmd.Wait()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if n, ok := strings.CutPrefix(lines.Text(), "spent "); ok {
			spent = append(spent, n)
		} else if strings.HasPrefix(lines.Text(), "error") {
			t.Error(lines.Text())
		}
		if len(spent) == 20 {
			cmd.Process.Signal(syscall.SIGKILL) // and what it said meanwhile is still in the pipe
		}
	}
	return spent
}

func TestOldTicketsAreForgotten(t *testing.T) {
	now := time.Now()
	s, err := Open(ctx, Config{Path: filepath.Join(t.TempDir(), "pwb.db"), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := range 100 {
		if err := s.Redeem(ctx, redemption(fmt.Sprint(n), "alice")); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Hour + spentMargin + time.Minute)
	for n := range 3 {
		r := redemption(fmt.Sprint("new", n), "alice")
		r.Expires = now.Add(time.Hour)
		if err := s.Redeem(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	var left int
	if err := s.db.QueryRow("SELECT count(*) FROM spent").Scan(&left); err != nil || left != 3 {
		t.Errorf("%d are left, %v; want 3", left, err)
	}
}

func TestNotOursToOpen(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(dir, path string) error
		want  string
	}{
		{"a folder others can write", func(dir, _ string) error { return os.Chmod(dir, 0o777) }, "chmod 0700"},
		{"a file others can read", func(_, path string) error { return os.Chmod(path, 0o644) }, "chmod 0600"},
		{"a link", func(_, path string) error {
			return errors.Join(os.Rename(path, path+".x"), os.Symlink(path+".x", path))
		}, "must be a file"},
		{"no database", func(_, path string) error { return os.WriteFile(path, []byte(strings.Repeat("garbage ", 1000)), 0o600) }, "not a database"},
		{"a newer one", func(_, path string) error {
			db, err := sql.Open("sqlite", path)
			if err != nil {
				return err
			}
			_, err = db.Exec("PRAGMA user_version = 99")
			return errors.Join(err, db.Close())
		}, "install the newer pwb again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, path := open(t)
			s.Close()
			for _, rest := range []string{"-wal", "-shm"} {
				os.Remove(path + rest)
			}
			if err := tt.spoil(filepath.Dir(path), path); err != nil {
				t.Fatal(err)
			}
			_, err := Open(ctx, Config{Path: path})
			if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAFullDiskSpendsNothing(t *testing.T) {
	nstest.Need(t)
	if err := os.MkdirAll("/mnt/small", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", "/mnt/small", "tmpfs", 0, "size=256k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount("/mnt/small", syscall.MNT_DETACH)
	s := openAt(t, "/mnt/small/pwb.db")
	full := -1
	for n := range 100000 {
		if err := s.Redeem(ctx, redemption(fmt.Sprint(n), "alice")); err != nil {
			if !errors.Is(err, ErrUnavailable) {
				t.Fatalf("full disk: %v, want %v", err, ErrUnavailable)
			}
			full = n
			break
		}
	}
	if full < 0 {
		t.Fatal("the disk did not fill")
	}
	if err := syscall.Mount("", "/mnt/small", "", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	if err := s.Redeem(ctx, redemption(fmt.Sprint(full), "alice")); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if err := s.Redeem(ctx, redemption("0", "alice")); !errors.Is(err, ErrSpent) {
		t.Errorf("spent before: %v, want %v", err, ErrSpent)
	}
}

func TestFilesAreTheServiceUsers(t *testing.T) {
	nstest.Need(t)
	path := "/mnt/lib/pwb.db"
	s, err := Open(ctx, Config{Path: path, Owner: func() (int, int) { return 4242, 4343 }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Redeem(ctx, redemption("1", "alice")); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"/mnt/lib": os.ModeDir | 0o700, path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600} {
		st, err := os.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		if sys := st.Sys().(*syscall.Stat_t); sys.Uid != 4242 || sys.Gid != 4343 || st.Mode() != mode {
			t.Errorf("%s is %d:%d %v, want 4242:4343 %v", name, sys.Uid, sys.Gid, st.Mode(), mode)
		}
	}
}

func BenchmarkRedeem(b *testing.B) {
	s, _ := open(b)
	for n := 0; b.Loop(); n++ {
		if err := s.Redeem(ctx, redemption(fmt.Sprint(n), "alice")); err != nil {
			b.Fatal(err)
		}
	}
}

// Two people of a new group come in the same moment, and each process gives it a name and an id: the second looks again.
func TestAGroupThatSomebodyElseHasJustMade(t *testing.T) {
	s, _ := open(t)
	for i, g := range []Group{{Name: "g-1", GID: 40000}, {Name: "g-1-2", GID: 40001}} {
		name := fmt.Sprintf("p%d", i)
		g.Issuer, g.Object = "https://idp", "object-1"
		err := s.Redeem(ctx, Redemption{
			Key: [32]byte{100, byte(i)}, Expires: time.Now().Add(time.Hour), Name: account.Name(name), New: &New{ID: uint32(30000 + i)},
			Identity: account.Identity{Issuer: "https://idp", Subject: "s-" + name, Username: name},
			Groups:   &Groups{Objects: []string{g.Object}, Complete: true, New: []Group{g}},
		})
		if want := []error{nil, ErrTaken}[i]; !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}
