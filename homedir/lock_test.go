package homedir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestManyLoginsMakeOneHome(t *testing.T) {
	p := newPlace(t)
	for n := range 100 {
		p.skel(fmt.Sprintf("d%d/file", n), "x", 0o644)
	}
	var made atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			r, err := Make(ctx, p.home(), owner, p.opts)
			if err != nil {
				t.Error(err)
			}
			if r.Made {
				made.Add(1)
			}
			if all, _ := filepath.Glob(p.home() + "/d*/file"); len(all) != 100 {
				t.Errorf("a login was let go on with %d of 100 files", len(all))
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("%d of them made it", made.Load())
	}
}

func TestALoginThatWaitsCanGiveUp(t *testing.T) {
	p := newPlace(t)
	p.must(os.Mkdir(p.dir+"/locks", 0o700))
	f, err := os.OpenFile(p.dir+"/locks/4711.lock", os.O_CREATE|os.O_RDWR, 0o600)
	p.must(err, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := Make(short, p.home(), owner, p.opts); !errors.Is(err, ErrBusy) {
		t.Errorf("behind a lock: %v", err)
	}
	p.must(f.Close())
	p.make() // and the one that gave up holds nothing
}

// A login that hangs, as on a disk that does not answer, must not cost this process a thread for each that gives up behind it.
func TestManyThatGiveUp(t *testing.T) {
	p := newPlace(t)
	p.must(os.Mkdir(p.dir+"/locks", 0o700))
	f, err := os.Create(p.dir + "/locks/4711.lock")
	p.must(err, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := Make(short, p.home(), owner, p.opts); !errors.Is(err, ErrBusy) {
				t.Errorf("behind a lock: %v", err)
			}
		})
	}
	wg.Wait()
	stay := func() int { return runtime.NumGoroutine() - before }
	for end := time.Now().Add(5 * time.Second); stay() > 1; runtime.Gosched() { // the others are on their way out
		if time.Now().After(end) {
			t.Fatalf("%d goroutines stay", stay())
		}
	}
	p.must(f.Close())
	p.make()
}

func TestNoLockIsLeft(t *testing.T) {
	p := newPlace(t)
	p.make()
	if left, err := os.ReadDir(p.dir + "/locks"); err != nil || len(left) != 0 {
		t.Errorf("locks: %v, %v", left, err)
	}
}

func TestALockFolderOfSomebodyElse(t *testing.T) {
	p := newPlace(t)
	locks := p.dir + "/locks"
	for name, put := range map[string]func() error{
		"theirs":            func() error { return errors.Join(os.Mkdir(locks, 0o755), os.Chown(locks, 4999, 4999)) },
		"open to everybody": func() error { return errors.Join(os.Mkdir(locks, 0o755), os.Chmod(locks, 0o777)) },
		"open to a group":   func() error { return errors.Join(os.Mkdir(locks, 0o755), os.Chmod(locks, 0o775)) },
		"a link":            func() error { return os.Symlink("skel", locks) },
		"a file":            func() error { return os.WriteFile(locks, nil, 0o600) },
	} {
		p.must(put())
		if _, err := Make(ctx, p.home(), owner, p.opts); err == nil || !strings.Contains(err.Error(), "must be a folder that only root can write") {
			t.Errorf("%s: %v", name, err)
		}
		p.must(os.RemoveAll(locks))
	}
	p.nothing()
}

// The lock that a login has waited for may have gone with the work before it, and another have it under the same name.
func TestALockThatWasRemoved(t *testing.T) {
	p := newPlace(t)
	name := p.dir + "/locks/4711.lock"
	p.must(os.Mkdir(p.dir+"/locks", 0o700))
	hold := func() *os.File {
		f, err := os.Create(name)
		p.must(err, unix.Flock(int(f.Fd()), unix.LOCK_EX))
		return f
	}
	open := func(target string) (n int) {
		links, _ := filepath.Glob("/proc/self/fd/*")
		for _, link := range links {
			if to, _ := os.Readlink(link); to == target {
				n++
			}
		}
		return n
	}
	until := func(what string, is func() bool) {
		for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("waited in vain: %s", what)
			}
		}
	}
	first := hold()
	done := make(chan error, 1)
	go func() {
		_, err := Make(ctx, p.home(), owner, p.opts)
		done <- err
	}()
	until("the login waits for the first lock", func() bool { return open(name) == 2 })
	p.must(os.Remove(name))
	second := hold()
	first.Close()
	until("the login waits for the second lock", func() bool { return open(name) == 2 || exists(p.home()) })
	if exists(p.home()) {
		t.Error("it took the lock that is none any more")
	}
	second.Close()
	p.must(<-done)
}

// The thread that makes a home is its own, and the caller's keeps what it has.
func TestTheThread(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer unix.Umask(unix.Umask(0o027))
	was := testRename
	defer func() { testRename = was }()
	p := newPlace(t)
	status := func() map[string]string {
		text, err := os.ReadFile("/proc/thread-self/status")
		p.must(err)
		fields := map[string]string{}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(line, ":")
			fields[key] = strings.TrimSpace(value)
		}
		return fields
	}
	has := func(fields map[string]string, set string, bit int) bool {
		n, err := strconv.ParseUint(fields[set], 16, 64)
		p.must(err)
		return n&(1<<bit) != 0
	}
	blocked := func(fields map[string]string, signals ...unix.Signal) bool {
		return !slices.ContainsFunc(signals, func(s unix.Signal) bool { return !has(fields, "SigBlk", int(s)-1) })
	}
	before := status()
	testRename = func(parent int, from, to string) error {
		mine := status()
		if mine["Umask"] != "0000" || has(mine, "CapEff", unix.CAP_SYS_RESOURCE) || !blocked(mine, unix.SIGXFSZ, unix.SIGURG, unix.SIGTERM) || blocked(mine, unix.SIGSEGV) {
			t.Errorf("umask %s, capabilities %s, blocked signals %s", mine["Umask"], mine["CapEff"], mine["SigBlk"])
		}
		return was(parent, from, to)
	}
	p.make()
	after := status()
	for _, key := range []string{"Umask", "CapEff", "SigBlk"} {
		if after[key] != before[key] {
			t.Errorf("%s of the caller: %s, was %s", key, after[key], before[key])
		}
	}
	if before["Umask"] != "0027" {
		t.Errorf("this has proved nothing: umask %s", before["Umask"])
	}
	if !has(before, "CapEff", unix.CAP_SYS_RESOURCE) {
		t.Log("without CAP_SYS_RESOURCE here, that it is dropped is not proved")
	}
}
