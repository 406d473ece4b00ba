package flock

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, name string) int {
	t.Helper()
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Error(err)
	}
	return fd
}

// However many give up on a lock that nobody gives back, one goroutine stays with the kernel, and it does not keep the lock.
func TestALockThatNeverComes(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	holder := open(t, name)
	if err := NewLine().Lock(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	line := NewLine()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("no patience"))
	defer cancel()
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := line.Lock(ctx, open(t, name)); err == nil || err.Error() != "no patience" {
				t.Errorf("Lock = %v", err)
			}
		})
	}
	wg.Wait()
	stay := func() int { return runtime.NumGoroutine() - before }
	for end := time.Now().Add(5 * time.Second); stay() > 1; runtime.Gosched() { // those that have given up are on their way out
		if time.Now().After(end) {
			t.Fatalf("%d goroutines stay", stay())
		}
	}
	unix.Close(holder)
	fd := open(t, name)
	if err := line.Lock(t.Context(), fd); err != nil {
		t.Errorf("when the lock is free again: %v", err)
	}
	unix.Close(fd)
}

// One after the other has the lock alone, whoever waits.
func TestALineMoves(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	line, inside, most := NewLine(), 0, 0
	var mu sync.Mutex // guards inside and most
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			fd := open(t, name)
			if err := line.Lock(t.Context(), fd); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			inside++
			most = max(most, inside)
			mu.Unlock()
			runtime.Gosched()
			mu.Lock()
			inside--
			mu.Unlock()
			unix.Close(fd)
		})
	}
	wg.Wait()
	if most != 1 {
		t.Errorf("%d had the lock at once", most)
	}
	if err := line.Lock(t.Context(), -1); !errors.Is(err, unix.EBADF) {
		t.Errorf("no file: %v", err)
	}
}
