package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestEntriesThatCannotBeShown(t *testing.T) {
	path := folder(t)
	w := openAt(t, path)
	if err := w.Replace(&some); err != nil {
		t.Fatal(err)
	}
	good := User{Name: "x", UID: 2001, GID: 2001, Home: "/", Shell: "/bin/sh"}
	for _, bad := range []func(*User){
		func(u *User) { u.Name = "root" }, func(u *User) { u.Name = "" }, func(u *User) { u.Name = "a:b" }, func(u *User) { u.Name = "a\nb" },
		func(u *User) { u.Name = "+x" }, func(u *User) { u.Name = strings.Repeat("n", 256) }, func(u *User) { u.UID = 0 }, func(u *User) { u.UID = 999 },
		func(u *User) { u.UID = 65534 }, func(u *User) { u.UID = 61184 }, func(u *User) { u.UID = 1<<32 - 1 }, func(u *User) { u.GID = 0 },
		func(u *User) { u.Gecos = "a:b" }, func(u *User) { u.Home = "/\n" }, func(u *User) { u.Shell = strings.Repeat("s", 1<<16) },
	} {
		u := good
		bad(&u)
		if err := w.Apply(8, Change{User: &u}); !errors.Is(err, ErrEntry) {
			t.Errorf("%.40q: %v, want %v", fmt.Sprint(u), err, ErrEntry)
		}
		if err := w.Replace(&Contents{Users: []User{u}}); !errors.Is(err, ErrEntry) {
			t.Errorf("%.40q: %v, want %v", fmt.Sprint(u), err, ErrEntry)
		}
	}
	if err := w.Replace(&Contents{Users: []User{good, {Name: "y", UID: 2001, GID: 2001}}}); !errors.Is(err, ErrEntry) {
		t.Errorf("one uid twice: %v", err)
	}
	expectSame(t, path, some)
}

// A file that a machine's crash may have left half is not changed but written anew.
func TestFilesThatAreNotChanged(t *testing.T) {
	for name, spoil := range map[string]func(b []byte) []byte{
		"of an earlier run": func(b []byte) []byte { b[atBoot]++; return b },
		"of another format": func(b []byte) []byte { b[atVersion]++; return b },
		"with a bad header": func(b []byte) []byte { b[atIndex]++; return b },
		"cut":               func(b []byte) []byte { return b[:len(b)-1] },
		"empty":             func(b []byte) []byte { return nil },
		"a tail outside":    func(b []byte) []byte { b[atTail+7] = 1; return b },
	} {
		path := folder(t)
		w := openAt(t, path)
		if err := w.Replace(&some); err != nil {
			t.Fatal(err)
		}
		w.Close()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		os.Remove(path)
		if err := os.WriteFile(path, spoil(b), 0o644); err != nil {
			t.Fatal(err)
		}
		w = openAt(t, path)
		if got := w.Revision(); got != -1 {
			t.Errorf("%s: revision %d", name, got)
		}
		if err := w.Apply(9, Change{User: &some.Users[0]}); !errors.Is(err, ErrFull) {
			t.Errorf("%s: Apply: %v", name, err)
		}
		if err := w.Replace(&some); err != nil || w.Revision() != 7 {
			t.Errorf("%s: Replace: %v", name, err)
		}
		w.Close()
	}
}

// A file system that promises no room (it knows no fallocate) can have none when it is written to.
func TestNoRoomWhileItIsWritten(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := some.layout()
	if err := f.Truncate(int64(l.size)); err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, l.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	if err := f.Truncate(headerLen); err != nil {
		t.Fatal(err)
	}
	if err := some.fill(b, l); err == nil {
		t.Error("a file that cannot be written was")
	}
}

// A writer that was stopped in the middle keeps the lock. Others give up when they have to, and go on when it lets go.
func TestAWriterThatWasStopped(t *testing.T) {
	path := folder(t)
	stopped := openAt(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for range 3 {
		if w, err := Open(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Open = %v, %v", w, err)
		}
	}
	stopped.Close()
	openAt(t, path)
}
