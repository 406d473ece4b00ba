package homedir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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
