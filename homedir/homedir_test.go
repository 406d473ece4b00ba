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
	nstest.Main(m, "/mnt")
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

func TestModes(t *testing.T) {
	for _, tt := range []struct{ umask, src, file, dir fs.FileMode }{
		{0o022, 0o644, 0o644, 0o744}, {0o077, 0o644, 0o600, 0o700}, {0o077, 0o755, 0o700, 0o700}, {0o002, 0o600, 0o600, 0o700},
		{0o002, 0o664, 0o664, 0o764}, {0o000, 0o666, 0o666, 0o766}, {0o077, 0o000, 0o200, 0o700}, {0o022, 0o444, 0o644, 0o744},
		{0o022, 0o644 | fs.ModeSetuid, 0o644, 0o744}, {0o077, 0o755 | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky, 0o700, 0o700},
	} {
		p := newPlace(t)
		p.opts.Modes = WithUmask(tt.umask)
		p.skel("file", "x", tt.src)
		p.must(os.Mkdir(p.dir+"/skel/dir", 0o755), os.Chmod(p.dir+"/skel/dir", tt.src))
		p.make()
		if mode, _ := stat(t, p.home()+"/file"); mode != tt.file {
			t.Errorf("umask %04o: file of %v has %v, want %v", tt.umask, tt.src, mode, tt.file)
		}
		if mode, _ := stat(t, p.home()+"/dir"); mode != tt.dir|fs.ModeDir {
			t.Errorf("umask %04o: folder of %v has %v, want %v", tt.umask, tt.src, mode, tt.dir)
		}
		if mode, _ := stat(t, p.home()); mode != 0o777&^tt.umask|fs.ModeDir {
			t.Errorf("umask %04o: home has %v", tt.umask, mode)
		}
	}
}

// The zero value gives nothing to anybody else.
func TestZeroModes(t *testing.T) {
	p := newPlace(t)
	p.opts.Modes = Modes{}
	p.skel("file", "x", 0o666)
	p.make()
	for _, name := range []string{p.home(), p.home() + "/file"} {
		if mode, _ := stat(t, name); mode.Perm()&0o077 != 0 {
			t.Errorf("%s: %v", name, mode)
		}
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

func TestPaths(t *testing.T) {
	p := newPlace(t)
	for _, tt := range []struct {
		home   string
		want   error
		noHome bool
	}{
		{"", ErrPath, false}, {"home/alice", ErrPath, false}, {p.dir + "/home/../alice", ErrPath, false}, {p.dir + "/./alice", ErrPath, false},
		{p.dir + "/a\nb", ErrPath, false}, {p.dir + "/a\x00b", ErrPath, false}, {"/", nil, false}, {"/nonexistent", nil, true}, {"/dev/null", nil, true},
		{"/var/empty", nil, true}, {"/proc/alice", nil, true},
	} {
		r, err := Make(ctx, tt.home, owner, p.opts)
		if !errors.Is(err, tt.want) || r.Made || r.NoHome != tt.noHome {
			t.Errorf("%q: %+v, %v; want %v", tt.home, r, err, tt.want)
		}
	}
	if r, err := Make(ctx, p.dir+"/home//alice/", owner, p.opts); err != nil || !r.Made || r.Path != p.home() {
		t.Errorf("slashes: %+v, %v", r, err)
	}
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

// A link on the way counts only when root alone could have made it.
func TestLinksOnTheWay(t *testing.T) {
	p := newPlace(t)
	p.must(os.Mkdir(p.dir+"/real", 0o755), os.Symlink("real", p.dir+"/byroot"), os.Symlink(p.dir+"/real", p.dir+"/absolute"), os.Symlink("real", p.dir+"/byuser"), os.Lchown(p.dir+"/byuser", 4711, 4711))
	p.must(os.Mkdir(p.dir+"/open", 0o755), os.Chmod(p.dir+"/open", 0o777), os.Symlink("../real", p.dir+"/open/byroot"), os.Symlink("loop", p.dir+"/loop"))
	for _, tt := range []struct {
		way  string
		want error
	}{
		{"byroot", nil}, {"absolute", nil}, {"byuser", ErrLink}, {"open/byroot", ErrLink}, {"loop", unix.ELOOP},
	} {
		_, err := Make(ctx, p.dir+"/"+tt.way+"/home-by-"+strings.ReplaceAll(tt.way, "/", "-"), owner, p.opts)
		if !errors.Is(err, tt.want) {
			t.Errorf("by way of %s: %v, want %v", tt.way, err, tt.want)
		}
	}
}

func TestSkeletonsThatCannotBeUsed(t *testing.T) {
	p := newPlace(t)
	p.skel("file", "x", 0o644)
	for name, skel := range map[string]string{"missing": p.dir + "/nowhere", "a file": p.dir + "/skel/file"} {
		p.opts.Skel = skel
		if _, err := Make(ctx, p.home(), owner, p.opts); !errors.Is(err, ErrSkeleton) {
			t.Errorf("%s: %v", name, err)
		}
		p.nothing()
	}
	p.opts.Skel = p.dir
	if _, err := Make(ctx, p.home(), owner, p.opts); !errors.Is(err, ErrInside) {
		t.Errorf("a home inside it: %v", err)
	}
	p.nothing()
	p.must(os.Symlink("skel", p.dir+"/link"))
	p.opts.Skel = p.dir + "/link/"
	if r := p.make(); r.Entries != 1 {
		t.Errorf("a link with a slash: %+v", r)
	}
	if _, st := stat(t, p.dir+"/skel"); st.Uid != 0 {
		t.Error("the skeleton was given away")
	}
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
	if _, err := Make(cancelled, p.home(), owner, p.opts); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	p.nothing()
}

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

// NFS knows no RENAME_NOREPLACE.
func TestWithoutRenameNoReplace(t *testing.T) {
	was := testRename
	defer func() { testRename = was }()
	testRename = func(int, string, string) error { return unix.EINVAL }
	p := newPlace(t)
	p.skel("file", "x", 0o644)
	if r := p.make(); !r.Made {
		t.Errorf("Make = %+v", r)
	}
	p.must(os.RemoveAll(p.home()))
	testRename = func(int, string, string) error { // somebody is faster
		return errors.Join(os.Mkdir(p.home(), 0o700), os.WriteFile(p.home()+"/theirs", nil, 0o600), unix.EINVAL)
	}
	if r, err := Make(ctx, p.home(), owner, p.opts); err != nil || r.Made {
		t.Errorf("behind somebody: %+v, %v", r, err)
	}
	if left, _ := os.ReadDir(p.dir + "/home"); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// What is in place is its owner's: a failure after that removes nothing.
func TestAFailureAfterTheRenameRemovesNothing(t *testing.T) {
	was := testRename
	defer func() { testRename = was }()
	p := newPlace(t)
	p.skel("file", "x", 0o644)
	testRename = func(parent int, from, to string) error {
		return errors.Join(was(parent, from, to), os.Rename(p.home(), p.dir+"/moved"))
	}
	if _, err := Make(ctx, p.home(), owner, p.opts); !errors.Is(err, ErrReplaced) {
		t.Errorf("moved away at once: %v", err)
	}
	if _, err := os.Stat(p.dir + "/moved/file"); err != nil {
		t.Errorf("what the owner has moved: %v", err)
	}
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

func TestParseUmask(t *testing.T) {
	for s, want := range map[string]fs.FileMode{"077": 0o077, "77": 0o077, "0022": 0o022, "0": 0, "777": 0o777} {
		if got, err := ParseUmask(s); err != nil || got != want {
			t.Errorf("ParseUmask(%q) = %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0x3f", "-1", "01777", "8", "0o77", " 77", "7_7", "+7", "99999999999999999999"} {
		if got, err := ParseUmask(s); !errors.Is(err, ErrUmask) {
			t.Errorf("ParseUmask(%q) = %v, %v", s, got, err)
		}
	}
}

func TestLoginDefs(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Modes
	}{
		{"", Modes{0o755, 0o755}},
		{"UMASK 077\n", Modes{0o700, 0o700}},
		{"UMASK\t\t027 # comment\n", Modes{0o750, 0o750}},
		{"HOME_MODE 0700\nUMASK 022\n", Modes{0o755, 0o700}},
		{"home_mode=750 \n", Modes{0o755, 0o750}},
		{"#UMASK 077\n", Modes{0o755, 0o755}},
		{"UMASK 0x3f\nHOME_MODE rwx\n", Modes{0o755, 0o755}},
	} {
		file := filepath.Join(t.TempDir(), "login.defs")
		if err := os.WriteFile(file, []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := Defaults(file, nil); got != tt.want {
			t.Errorf("%q: %+v, want %+v", tt.text, got, tt.want)
		}
	}
	var warned string
	if got := Defaults(t.TempDir(), func(text string) { warned = text }); got != (Modes{0o755, 0o755}) || !strings.Contains(warned, "is a directory") {
		t.Errorf("a file that cannot be read: %+v, warned %q", got, warned)
	}
	if got := Defaults("/nowhere", func(text string) { t.Error(text) }); got != (Modes{0o755, 0o755}) {
		t.Errorf("no file: %+v", got)
	}
}

func FuzzCleanPath(f *testing.F) {
	f.Add("/home/alice")
	f.Add("/home/../../etc//")
	f.Fuzz(func(t *testing.T, home string) {
		got, err := cleanPath(home)
		if err == nil && (!strings.HasPrefix(got, "/") || strings.Contains(got+"/", "/../") || strings.ContainsAny(got, "\n\x00") || len(got) > 1 && strings.HasSuffix(got, "/")) {
			t.Errorf("cleanPath(%q) = %q", home, got)
		}
	})
}

// A disk may need much longer than the copy: whoever looks on sees that something happens.
func TestProgress(t *testing.T) {
	p := newPlace(t)
	p.opts.NoSync = false
	for n := range 4 {
		p.skel(fmt.Sprintf("file%d", n), "x", 0o644)
	}
	var copying, syncing int
	p.opts.Progress = func(now Progress) {
		time.Sleep(110 * time.Millisecond) // a slow terminal: the next report is due
		if !now.Syncing {
			copying++
			return
		}
		if syncing++; now.Entries != 4 || now.Bytes != 4 {
			t.Errorf("%+v", now)
		}
	}
	p.make()
	if copying < 2 || syncing < 2 {
		t.Errorf("told %d times of the copy, %d of the disk", copying, syncing)
	}
}
