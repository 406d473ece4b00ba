package evict

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
)

// bench is a store with one user of SCIM, and a clock.
type bench struct {
	*Evictor
	t     *testing.T
	store *store.Store
	now   time.Time
	uid   account.UID
	log   []string
}

func newBench(t *testing.T, policy string, uid uint32) *bench {
	b := &bench{t: t, now: time.Now().Truncate(time.Second), uid: account.UID(uid)}
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "pwb.db"), Now: func() time.Time { return b.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b.store = s
	b.Evictor = &Evictor{
		Store: s, Processes: Machine{Slices: t.TempDir()}, Report: func(err error) { t.Error(err) }, Now: func() time.Time { return b.now },
		Audit: func(event string, _ map[string]any) error {
			b.log = append(b.log, event)
			return nil
		},
	}
	_, err = s.Enrol(t.Context(), store.Enrolment{
		User: store.ScimUser{ID: "1", UserName: "alice", Doc: []byte(`{}`), Active: true}, Name: "alice", New: &store.New{ID: uid, Home: "/home/alice", Shell: "/bin/sh"},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.activate(false, policy)
	return b
}

func (b *bench) activate(active bool, policy string) {
	b.t.Helper()
	grace := 15 * time.Minute
	if policy == "kill-now" {
		grace = 0
	}
	_, _, err := b.store.Amend(b.t.Context(), "1", store.Amendment{
		Edit:  func(u *store.ScimUser) error { u.Active = active; return nil },
		Evict: &store.Eviction{Policy: policy, Grace: grace},
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) after(d time.Duration) *bench {
	b.now = b.now.Add(d)
	b.Work(context.Background())
	return b
}

func (b *bench) said(want string) {
	b.t.Helper()
	if got := strings.Join(b.log, " "); got != want {
		b.t.Errorf("audit: %q, want %q", got, want)
	}
}

// session starts processes of the account's: one that ends when it is asked, or one that does not, with a child.
func (b *bench) session(stubborn bool) *exec.Cmd {
	b.t.Helper()
	script := "sleep 1000 & echo ready; wait"
	if stubborn {
		script = "trap '' TERM; sleep 1000 & echo ready; wait"
	}
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(b.uid), Gid: uint32(b.uid)}}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		b.t.Fatal(line, err)
	}
	go cmd.Wait()
	b.t.Cleanup(func() { Machine{Slices: b.t.TempDir()}.Kill(b.uid) })
	return cmd
}

func (b *bench) running(want int) {
	b.t.Helper()
	for range 200 {
		if n, err := b.Processes.Running(b.uid); err != nil || n == want {
			return
		}
		time.Sleep(10 * time.Millisecond) // the kernel ends them in its own time
	}
	n, err := b.Processes.Running(b.uid)
	b.t.Errorf("%d processes, %v; want %d", n, err, want)
}

func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("processes of other accounts need root")
	}
}

func TestASessionHasItsGrace(t *testing.T) {
	needRoot(t)
	b := newBench(t, "suspend-new", 54411)
	b.session(false)
	b.after(14 * time.Minute).said("")
	b.running(2)
	b.after(2 * time.Minute).said("evict-ask")
	b.running(0)
	b.after(time.Second).said("evict-ask evicted")
	if all, err := b.store.Evictions(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("Evictions = %v, %v", all, err)
	}
}

func TestWhoDoesNotEndIsKilled(t *testing.T) {
	needRoot(t)
	b := newBench(t, "suspend-new", 54412)
	b.session(true)
	b.after(15 * time.Minute).said("evict-ask")
	b.after(59 * time.Second).said("evict-ask")
	b.running(2)
	b.after(2 * time.Second).said("evict-ask evict-kill")
	b.running(0)
	b.after(time.Second).said("evict-ask evict-kill evicted")
}

func TestKillNow(t *testing.T) {
	needRoot(t)
	b := newBench(t, "kill-now", 54413)
	b.session(true)
	b.after(0).said("evict-kill")
	b.running(0)
}

func TestWhoIsBackKeepsTheSession(t *testing.T) {
	needRoot(t)
	b := newBench(t, "suspend-new", 54414)
	b.session(true)
	b.after(15 * time.Minute).said("evict-ask")
	b.activate(true, "suspend-new")
	b.after(time.Hour).said("evict-ask")
	b.running(2)

	// An operator's lock is not the provider's to lift, but it is not what the sessions were to end for either.
	b.activate(false, "suspend-new")
	if err := b.store.SetActive(t.Context(), "alice", false); err != nil {
		t.Fatal(err)
	}
	b.activate(true, "suspend-new")
	if a, err := b.store.ByName(t.Context(), "alice"); err != nil || a.Active || !a.Locked || a.Withdrawn {
		t.Errorf("ByName = %+v, %v; want it locked by the operator alone", a, err)
	}
}

func TestNoAccountOfTheSystems(t *testing.T) {
	for _, uid := range []account.UID{0, 1, 999} {
		if err := (Machine{}).Kill(uid); err == nil || err.Error() != fmt.Sprintf("uid %d is the system's", uid) {
			t.Errorf("Kill(%d) = %v", uid, err)
		}
		if err := (Machine{}).Ask(uid); err == nil || err.Error() != fmt.Sprintf("uid %d is the system's", uid) {
			t.Errorf("Ask(%d) = %v", uid, err)
		}
	}
}
