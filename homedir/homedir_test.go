package homedir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/nstest"
)

var ctx = context.Background()

func TestMain(m *testing.M) {
	switch {
	case os.Getenv("PWB_HOMEDIR_CHILD") != "":
		os.Exit(child())
	case os.Getenv("PWB_HOMEDIR_ATTACKER") != "":
		attack(os.Getenv("PWB_HOMEDIR_ATTACKER"))
		return
	}
	nstest.Main(m, "/mnt", "/run")
}

var owner = Owner{4711, 4712}

// place is a folder for homes, a skeleton and locks, on memory.
type place struct {
	t    testing.TB
	dir  string
	opts Options
}

func newPlace(t testing.TB) *place {
	t.Helper()
	nstest.Need(t)
	dir, err := os.MkdirTemp("/mnt", "place")
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, dir: dir}
	p.must(os.Chmod(dir, 0o755), os.Mkdir(dir+"/home", 0o755), os.Mkdir(dir+"/skel", 0o755))
	p.opts = Options{Skel: dir + "/skel", LockDir: dir + "/locks", Modes: WithUmask(0o022), NoSync: true}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return p
}

func (p *place) must(errs ...error) {
	p.t.Helper()
	if err := errors.Join(errs...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) home() string { return p.dir + "/home/alice" }

func (p *place) skel(name, text string, mode fs.FileMode) {
	p.t.Helper()
	path := filepath.Join(p.dir, "skel", name)
	p.must(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode))
}

func (p *place) make() Result {
	p.t.Helper()
	r, err := Make(ctx, p.home(), owner, p.opts)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// nothing demands that no home and no litter is there.
func (p *place) nothing() {
	p.t.Helper()
	left, err := os.ReadDir(p.dir + "/home")
	if err != nil || len(left) != 0 {
		p.t.Errorf("left behind: %v, %v", left, err)
	}
}

func stat(t testing.TB, path string) (fs.FileMode, syscall.Stat_t) {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Error(err)
		return 0, syscall.Stat_t{}
	}
	return st.Mode(), *st.Sys().(*syscall.Stat_t)
}

func TestAHomeIsACopyOfTheSkeleton(t *testing.T) {
	p := newPlace(t)
	p.skel(".profile", "hello", 0o644)
	p.skel("bin/tool", "#!/bin/sh\n", 0o755)
	p.skel(".ssh/config", "secret", 0o600)
	p.skel("a\nb\xff", "odd", 0o600)
	p.must(os.Chmod(p.dir+"/skel/.ssh", 0o700), os.Symlink("../../etc/passwd", p.dir+"/skel/link"), os.Symlink("nowhere", p.dir+"/skel/broken"))
	if r := p.make(); !r.Made || r.Entries != 8 || r.Bytes != int64(len("hello#!/bin/sh\nsecretodd")) {
		t.Errorf("Make = %+v", r)
	}
	for name, mode := range map[string]fs.FileMode{
		"": fs.ModeDir | 0o755, ".profile": 0o644, "bin": fs.ModeDir | 0o755, "bin/tool": 0o755, ".ssh": fs.ModeDir | 0o700, ".ssh/config": 0o600,
		"a\nb\xff": 0o600, "link": fs.ModeSymlink | 0o777, "broken": fs.ModeSymlink | 0o777,
	} {
		got, st := stat(t, filepath.Join(p.home(), name))
		if got != mode || st.Uid != owner.UID || st.Gid != owner.GID {
			t.Errorf("%q: %v %d:%d, want %v %d:%d", name, got, st.Uid, st.Gid, mode, owner.UID, owner.GID)
		}
	}
	if to, _ := os.Readlink(p.home() + "/link"); to != "../../etc/passwd" {
		t.Errorf("link leads to %q", to)
	}
	if b, _ := os.ReadFile(p.home() + "/bin/tool"); string(b) != "#!/bin/sh\n" {
		t.Errorf("tool holds %q", b)
	}
	if r := p.make(); r.Made {
		t.Error("it was made again")
	}
}

func TestTheCallersUmaskDoesNotCount(t *testing.T) {
	p := newPlace(t)
	was := unix.Umask(0o777)
	defer unix.Umask(was)
	p.skel("file", "x", 0o644)
	p.opts.Skel = p.dir + "/skel"
	r, err := Make(ctx, p.dir+"/home/new/parents/alice", owner, p.opts)
	unix.Umask(was)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{r.Path: fs.ModeDir | 0o755, r.Path + "/file": 0o644, p.dir + "/home/new": fs.ModeDir | 0o755, p.dir + "/home/new/parents": fs.ModeDir | 0o755} {
		if mode, _ := stat(t, name); mode != want {
			t.Errorf("%s: %v, want %v", name, mode, want)
		}
	}
	if _, st := stat(t, p.dir+"/home/new"); st.Uid != 0 {
		t.Errorf("a parent belongs to %d", st.Uid)
	}
}

func TestWhatIsLeftOut(t *testing.T) {
	p := newPlace(t)
	p.must(unix.Mkfifo(p.dir+"/skel/fifo", 0o644), unix.Mknod(p.dir+"/skel/zero", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	p.must(err, unix.Bind(fd, &unix.SockaddrUnix{Name: p.dir + "/skel/socket"}), unix.Close(fd))
	if r := p.make(); r.Skipped != 3 || r.Entries != 0 {
		t.Errorf("Make = %+v", r)
	}
}

func TestHolesStayHoles(t *testing.T) {
	p := newPlace(t)
	f, err := os.Create(p.dir + "/skel/sparse")
	p.must(err)
	_, err = f.WriteAt([]byte("in the middle"), 50<<20)
	p.must(err, f.Truncate(100<<20), f.Close())
	p.make()
	_, st := stat(t, p.home()+"/sparse")
	if st.Size != 100<<20 || st.Blocks*512 > 1<<20 {
		t.Errorf("%d bytes on %d of disk", st.Size, st.Blocks*512)
	}
	b := make([]byte, 13)
	g, err := os.Open(p.home() + "/sparse")
	p.must(err)
	defer g.Close()
	if _, err := g.ReadAt(b, 50<<20); err != nil || string(b) != "in the middle" {
		t.Errorf("the middle holds %q, %v", b, err)
	}
}

// Deeper than any path, with few descriptors; and it is all removed again when the copy fails.
func TestAnyDepth(t *testing.T) {
	p := newPlace(t)
	const depth = 1200
	t.Chdir(p.dir + "/skel")
	for range depth {
		p.must(os.Mkdir("deeper-and-deeper", 0o755), os.Chdir("deeper-and-deeper"))
	}
	p.must(os.WriteFile("bottom", []byte("here"), 0o644), os.Chdir("/"))
	defer exec.Command("rm", "-rf", p.dir+"/skel").Run()
	if r := p.make(); r.Entries != depth+1 {
		t.Errorf("Make = %+v", r)
	}
	p.must(os.Rename(p.home(), p.dir+"/home/.pwb-mk.4711."+machine())) // as if a login had been killed
	p.make()
	p.must(exec.Command("rm", "-rf", p.home()).Run())
	p.nothing()
}

// chown(2) takes -1 for "keep": such a home would be root's.
func TestAnOwnerThatIsNobody(t *testing.T) {
	p := newPlace(t)
	for _, o := range []Owner{{^uint32(0), 4712}, {4711, ^uint32(0)}} {
		if _, err := Make(ctx, p.home(), o, p.opts); !errors.Is(err, ErrOwner) {
			t.Errorf("%+v: %v, want %v", o, err, ErrOwner)
		}
	}
	p.nothing()
}

func TestWhatIsThereIsLeftAlone(t *testing.T) {
	p := newPlace(t)
	p.skel("file", "x", 0o644)
	for name, put := range map[string]func() error{
		"a folder":         func() error { return os.Mkdir(p.home(), 0o700) },
		"a file":           func() error { return os.WriteFile(p.home(), nil, 0o600) },
		"a link to a file": func() error { return os.Symlink(p.dir+"/skel/file", p.home()) },
	} {
		p.must(put())
		before, st := stat(t, p.home())
		if r := p.make(); r.Made {
			t.Errorf("%s: made", name)
		}
		if after, now := stat(t, p.home()); after != before || now.Ino != st.Ino || now.Uid != st.Uid {
			t.Errorf("%s: changed", name)
		}
		p.must(os.RemoveAll(p.home()))
	}
	p.must(os.Symlink("nowhere", p.home()))
	if _, err := Make(ctx, p.home(), owner, p.opts); !errors.Is(err, ErrDangling) {
		t.Errorf("a dangling link: %v", err)
	}
}

// Another login may put the home in its place at any moment: it is not there or it is, and never a link that leads nowhere.
func TestAHomeThatComes(t *testing.T) {
	p := newPlace(t)
	p.must(os.Mkdir(p.dir+"/made", 0o700))
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			os.Rename(p.dir+"/made", p.home())
			os.Rename(p.home(), p.dir+"/made")
		}
	})
	seen, j := 0, &job{home: p.home(), owner: owner}
	for n := 0; n < 20_000 || seen == 0; n++ {
		there, err := j.exists(unix.AT_FDCWD, p.home())
		if err != nil {
			t.Errorf("look %d: %v", n, err)
			break
		}
		if there {
			seen++
		}
	}
	stop.Store(true)
	wg.Wait()
}

func TestAFullDiskLeavesNothing(t *testing.T) {
	p := newPlace(t)
	p.must(syscall.Mount("tmpfs", p.dir+"/home", "tmpfs", 0, "size=64k,mode=0755"))
	defer syscall.Unmount(p.dir+"/home", syscall.MNT_DETACH)
	for n := range 40 {
		p.skel(fmt.Sprintf("d%d/file", n), strings.Repeat("x", 4000), 0o644)
	}
	if _, err := Make(ctx, p.home(), owner, p.opts); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	p.nothing()
	p.must(syscall.Mount("", p.dir+"/home", "", syscall.MS_REMOUNT, "size=1m"))
	if r := p.make(); !r.Made {
		t.Error("with room again, it was not made")
	}
}

func TestACancelledCopyLeavesNothing(t *testing.T) {
	p := newPlace(t)
	for n := range 200 {
		p.skel(fmt.Sprintf("d%d/file", n), "x", 0o644)
	}
	cancelled, cancel := context.WithCancel(ctx)
	p.opts.Progress = func(Progress) { cancel() }
	if r, err := Make(cancelled, p.home(), owner, p.opts); !errors.Is(err, context.Canceled) || r.Entries >= 200 {
		t.Errorf("cancelled: %v, with %d of 400 entries", err, r.Entries)
	}
	p.nothing()
	p.opts.Empty = true
	if _, err := Make(cancelled, p.home(), owner, p.opts); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled, with nothing to copy: %v", err)
	}
	p.nothing()
}

func TestAPanicIsAnError(t *testing.T) {
	was := testRename
	defer func() { testRename = was }()
	testRename = func(int, string, string) error { panic("bug") }
	p := newPlace(t)
	if _, err := Make(ctx, p.home(), owner, p.opts); err == nil || !strings.Contains(err.Error(), "bug: bug") {
		t.Errorf("a panic: %v", err)
	}
	testRename = was
	p.make()
}

func TestKilledInTheMiddle(t *testing.T) {
	p := newPlace(t)
	for n := range 400 {
		p.skel(fmt.Sprintf("d%d/file", n), strings.Repeat("x", 5000), 0o644)
	}
	p.must(os.MkdirAll(p.dir+"/locks", 0o700))
	half := 0
	for round := range 12 {
		cmd := p.child()
		p.must(cmd.Start())
		time.Sleep(time.Duration(1+round*2) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		all, _ := filepath.Glob(p.home() + "/d*/file")
		if _, err := os.Lstat(p.home()); err == nil && len(all) != 400 {
			t.Fatalf("killed after %d ms: a home of %d files", 1+round*2, len(all))
		}
		if sites, _ := filepath.Glob(p.dir + "/home/.pwb-mk.*"); len(sites) > 0 {
			half++
		}
		if len(all) > 0 {
			break
		}
	}
	p.make()
	left, _ := os.ReadDir(p.dir + "/home")
	if all, _ := filepath.Glob(p.home() + "/d*/file"); len(all) != 400 || len(left) != 1 {
		t.Errorf("afterwards: %d files, %v", len(all), left)
	}
	if half == 0 {
		t.Log("no round was killed in the middle")
	}
}
