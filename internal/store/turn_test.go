package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Processes that write all the time must not keep another one from writing: SQLite's own waiting let one draw blanks for seconds.
func TestNobodyIsPassedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pwb.db")
	var stop atomic.Bool
	var wg sync.WaitGroup
	writes := make([]int, 8)
	longest := make([]time.Duration, len(writes))
	for i := range writes {
		s, err := Open(ctx, Config{Path: path}) // locks of the file belong to this opening of it, as they would in another process
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var mu sync.Mutex // guards writes[i] and longest[i]
		for g := range 3 {
			wg.Go(func() {
				for n := 0; !stop.Load(); n++ {
					began := time.Now()
					if err := s.Redeem(ctx, redemption(fmt.Sprint(i, g, n), "alice")); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					writes[i]++
					longest[i] = max(longest[i], time.Since(began))
					mu.Unlock()
				}
			})
		}
	}
	time.Sleep(3 * time.Second)
	stop.Store(true)
	wg.Wait()
	least, most := writes[0], writes[0]
	for i, n := range writes {
		least, most = min(least, n), max(most, n)
		if longest[i] > patience/2 {
			t.Errorf("a write waited for %v", longest[i])
		}
	}
	if least*4 < most {
		t.Errorf("in three seconds writers wrote %v times", writes)
	}
}

// Whoever can open the file can keep the turn. Then nobody can tell, but calls end.
func TestATurnThatNeverComes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pwb.db")
	s, err := Open(ctx, Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	hog, err := os.OpenFile(path+turnFile, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Len: bothBytes}
	if err := unix.FcntlFlock(hog.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			if err := s.Redeem(ctx, redemption(fmt.Sprint(i), "alice")); !errors.Is(err, ErrUnavailable) {
				t.Errorf("Redeem = %v", err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(began); took > 2*patience {
		t.Errorf("it took %v to give up", took)
	}
	hog.Close()
	if err := s.Redeem(ctx, redemption("later", "alice")); err != nil {
		t.Errorf("when the turn is free again: %v", err)
	}
}

// Many processes open a store that is not there yet, as after an installation on a busy machine: each gets it.
func TestManyMakeTheStoreAtOnce(t *testing.T) {
	for range 10 {
		path := filepath.Join(t.TempDir(), "pwb", "pwb.db")
		var wg sync.WaitGroup
		for range 24 {
			wg.Go(func() {
				s, err := Open(ctx, Config{Path: path})
				if err != nil {
					t.Error(err)
					return
				}
				s.Close()
			})
		}
		wg.Wait()
	}
}
