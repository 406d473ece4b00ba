package homedir

import (
	"errors"
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
	p.must(os.RemoveAll(p.home()), unix.Mount("/proc/self/mem", file, "", unix.MS_BIND, ""))
	defer unix.Unmount(file, unix.MNT_DETACH)
	if _, err := Make(ctx, p.home(), owner, p.opts); !errors.Is(err, unix.EIO) {
		t.Errorf("a file that cannot be read: %v", err)
	}
	p.nothing()
}
