package homedir

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

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

// What a relative path leads to is up to whoever has the working directory.
func TestARelativeSkeleton(t *testing.T) {
	p := newPlace(t)
	p.skel("file", "x", 0o644)
	t.Chdir(p.dir)
	p.opts.Skel = "skel"
	if _, err := Make(ctx, p.home(), owner, p.opts); !errors.Is(err, ErrRelative) {
		t.Errorf("Make: %v, want %v", err, ErrRelative)
	}
	p.nothing()
	p.opts.Empty = true // it does not count then
	p.make()
	if _, err := Make(ctx, p.home(), owner, Options{Skel: "skel"}); !errors.Is(err, ErrRelative) {
		t.Errorf("where a home is: %v, want %v", err, ErrRelative)
	}
}

func TestEmpty(t *testing.T) {
	p := newPlace(t)
	p.skel("file", "x", 0o644)
	p.opts.Empty = true
	if r := p.make(); !r.Made || r.Entries != 0 {
		t.Errorf("Make = %+v", r)
	}
}

// The skeleton may be on a file system that tells no sizes, as /proc does; and what cannot be read there is an error.
func TestASourceWithoutASize(t *testing.T) {
	p := newPlace(t)
	p.skel("file", "", 0o644)
	file := p.dir + "/skel/file"
	p.must(unix.Mount("/proc/version", file, "", unix.MS_BIND, ""))
	defer unix.Unmount(file, unix.MNT_DETACH)
	p.make()
	got, err := os.ReadFile(p.home() + "/file")
	want, wantErr := os.ReadFile("/proc/version")
	if err != nil || wantErr != nil || string(got) != string(want) {
		t.Errorf("%q, %v; want %q, %v", got, err, want, wantErr)
	}
	// sysfs tells a size that no file there has.
	p.must(os.RemoveAll(p.home()), unix.Mount("/sys/kernel/fscaps", file, "", unix.MS_BIND, ""))
	defer unix.Unmount(file, unix.MNT_DETACH)
	if _, err := Make(ctx, p.home(), owner, p.opts); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that is shorter than it says: %v", err)
	}
	p.must(unix.Mount("/proc/self/mem", file, "", unix.MS_BIND, ""))
	defer unix.Unmount(file, unix.MNT_DETACH)
	if _, err := Make(ctx, p.home(), owner, p.opts); !errors.Is(err, unix.EIO) {
		t.Errorf("a file that cannot be read: %v", err)
	}
	p.nothing()
}

// A file system may leave it to stat(2) what an entry is, and by then it may be something else than it was.
func TestKinds(t *testing.T) {
	p := newPlace(t)
	p.skel("file", "x", 0o644)
	p.must(os.Mkdir(p.dir+"/skel/dir", 0o755), os.Symlink("dir", p.dir+"/skel/link"), unix.Mkfifo(p.dir+"/skel/fifo", 0o644))
	skel, err := unix.Open(p.dir+"/skel", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	p.must(err)
	defer unix.Close(skel)
	for name, want := range map[string]uint8{"file": unix.DT_REG, "dir": unix.DT_DIR, "link": unix.DT_LNK, "fifo": unix.DT_FIFO} {
		if got, err := kindOf(skel, entry{name, unix.DT_UNKNOWN}); got != want || err != nil {
			t.Errorf("%s: %d, %v; want %d", name, got, err, want)
		}
	}
	c := &copier{job: &job{ctx: ctx, opts: p.opts}, src: skel, dst: -1}
	for name, want := range map[string]error{"fifo": errKind, "dir": errKind, "link": unix.ELOOP} { // and none of them hangs
		if err := c.file(&hand{}, skel, -1, name); !errors.Is(err, want) {
			t.Errorf("%s as a file: %v, want %v", name, err, want)
		}
	}
}

// A large file is a long time: who has given up is heard in it.
func TestACancelledFile(t *testing.T) {
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	c := &copier{job: &job{ctx: cancelled}}
	for name, copying := range map[string]func(in, out int, at, end int64) error{"by the kernel": c.extent, "by hand": c.byHand} {
		in, err := os.Open("skeleton_test.go")
		out, outErr := os.Create(t.TempDir() + "/out")
		if err = errors.Join(err, outErr); err != nil {
			t.Fatal(err)
		}
		err = copying(int(in.Fd()), int(out.Fd()), 0, 100)
		if st, statErr := out.Stat(); !errors.Is(err, context.Canceled) || statErr != nil || st.Size() != 0 {
			t.Errorf("%s: %v, %d bytes", name, err, st.Size())
		}
		in.Close()
		out.Close()
	}
}
