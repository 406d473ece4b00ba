package homedir

import (
	"encoding/binary"
	"errors"
	"os"
	"path"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Where no home can be made, nothing above it is made either.
func TestNoParentsOfNothing(t *testing.T) {
	p := newPlace(t)
	long := strings.Repeat("n", 256)
	for _, tt := range []struct {
		what, home string
		spoil      func()
		want       error
	}{
		{"a name too long for any folder", p.dir + "/home/new/" + long, func() {}, ErrPath},
		{"a folder of such a name", p.dir + "/home/new/" + long + "/alice", func() {}, ErrPath},
		{"a path too long for any program", p.dir + "/home/new" + strings.Repeat("/"+long[:200], 21), func() {}, ErrPath},
		{"the name of a building site", p.dir + "/home/new/" + stageName(owner.UID), func() {}, ErrPath},
		{"a place in a building site", p.dir + "/home/" + stageName(1) + "/alice", func() {}, ErrPath},
		{"a place in its own skeleton", p.dir + "/home/new/alice", func() { p.opts.Skel = p.dir + "/home" }, ErrInside},
		{"no place for locks", p.dir + "/home/new/alice", func() { p.opts.LockDir = "/proc/locks/none" }, unix.ENOTDIR},
	} {
		opts := p.opts
		tt.spoil()
		if _, err := Make(ctx, tt.home, owner, p.opts); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.want)
		}
		p.opts = opts
		p.nothing()
	}
}

// Permission bits are the skeleton's, less the umask: a default ACL of the folder above may give others something, and takes nothing.
func TestADefaultACLAbove(t *testing.T) {
	p := newPlace(t)
	p.skel("file", "x", 0o644)
	p.skel("dir/file", "x", 0o644)
	acl := binary.LittleEndian.AppendUint32(nil, 2)
	for _, entry := range [][2]uint16{{0x01, 5}, {0x04, 0}, {0x20, 0}} { // user::r-x,group::---,other::---
		acl = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(acl, entry[0]), entry[1])
		acl = binary.LittleEndian.AppendUint32(acl, ^uint32(0))
	}
	p.must(unix.Setxattr(p.dir+"/home", "system.posix_acl_default", acl, 0))
	p.make()
	for name, want := range map[string]os.FileMode{"": 0o755, "file": 0o644, "dir": 0o755, "dir/file": 0o644} {
		if mode, _ := stat(t, path.Join(p.home(), name)); mode.Perm() != want {
			t.Errorf("%q has %v, want %v", name, mode, want)
		}
	}
}

// Who can rename beside the home can give the site's name to a private folder of the owner's.
func TestAPrivateFolderUnderTheSitesName(t *testing.T) {
	p := newPlace(t)
	site := p.dir + "/home/" + stageName(owner.UID)
	p.must(os.Mkdir(site, 0o700), os.Chown(site, int(owner.UID), int(owner.GID)))
	p.make()
	if mode, _ := stat(t, p.home()); mode.Perm() != 0o700 {
		t.Errorf("a folder that was private has %v", mode)
	}
}

// When the home is its owner's and has no name yet, they can move into it what they may move, but not remove.
func TestWhatTheOwnerMovesIntoTheSite(t *testing.T) {
	was := testRename
	defer func() { testRename = was }()
	p := newPlace(t)
	site := p.dir + "/home/" + stageName(owner.UID)
	p.must(os.MkdirAll(p.dir+"/shared/deep", 0o755), os.WriteFile(p.dir+"/shared/deep/kept", nil, 0o600), os.Chown(p.dir+"/shared", 4999, 4999))
	testRename = func(parent int, from, to string) error {
		return errors.Join(os.Mkdir(p.home(), 0o700), os.Rename(p.dir+"/shared", site+"/shared"), was(parent, from, to))
	}
	if _, err := Make(ctx, p.home(), owner, p.opts); !errors.Is(err, errForeign) {
		t.Errorf("Make: %v, want %v", err, errForeign)
	}
	if !exists(site + "/shared/deep/kept") {
		t.Error("a folder of somebody else was emptied")
	}
}

// Who makes the home while a folder of the owner's is taken for it must not have that removed.
func TestAFolderOfTheOwnersStays(t *testing.T) {
	was := testRename
	defer func() { testRename = was }()
	p := newPlace(t)
	site := p.dir + "/home/" + stageName(owner.UID)
	p.must(os.Mkdir(site, 0o700), os.WriteFile(site+"/letter", nil, 0o600), os.Chown(site, int(owner.UID), int(owner.GID)))
	testRename = func(parent int, from, to string) error {
		return errors.Join(os.Mkdir(p.home(), 0o700), was(parent, from, to))
	}
	if r, err := Make(ctx, p.home(), owner, p.opts); err != nil || !r.Existed || !exists(site+"/letter") {
		t.Errorf("Make = %+v, %v; the letter is there: %v", r, err, exists(site+"/letter"))
	}
}

// A site that cannot be removed, as in a folder that may only be appended to, must not pass for a whole home later.
func TestASiteThatStays(t *testing.T) {
	was := testRename
	defer func() { testRename = was }()
	p := newPlace(t)
	p.skel("file", "x", 0o644)
	site := p.dir + "/home/" + stageName(owner.UID)
	testRename = func(int, string, string) error {
		return errors.Join(unix.Mount(site, site, "", unix.MS_BIND, ""), unix.EPERM) // a mount point is busy: rmdir(2) refuses
	}
	if _, err := Make(ctx, p.home(), owner, p.opts); !errors.Is(err, unix.EPERM) || !errors.Is(err, unix.EBUSY) {
		t.Errorf("Make: %v", err)
	}
	testRename = was
	p.must(unix.Unmount(site, unix.MNT_DETACH))
	if r := p.make(); !r.Made || !exists(p.home()+"/file") {
		t.Errorf("Make = %+v, without its file", r)
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
