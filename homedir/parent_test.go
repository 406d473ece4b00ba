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

func TestPaths(t *testing.T) {
	p := newPlace(t)
	for _, tt := range []struct {
		home   string
		want   error
		noHome bool
	}{
		{"", ErrPath, false}, {"home/alice", ErrPath, false}, {p.dir + "/home/../alice", ErrPath, false}, {p.dir + "/./alice", ErrPath, false},
		{p.dir + "/a\nb", ErrPath, false}, {p.dir + "/a\x00b", ErrPath, false},
		{p.dir + "/a\x1b[2Jb", ErrPath, false}, {p.dir + "/a\u009b2Jb", ErrPath, false}, {p.dir + "/a\x7fb", ErrPath, false}, {p.dir + "/ä\xff", nil, false},
		{"/", nil, false}, {"/nonexistent", nil, true}, {"/dev/null", nil, true},
		{"/var/empty", nil, true}, {"/proc/alice", nil, true},
	} {
		r, err := Make(ctx, tt.home, owner, p.opts)
		if made := tt.want == nil && strings.HasPrefix(tt.home, p.dir); !errors.Is(err, tt.want) || r.Made != made || r.NoHome != tt.noHome {
			t.Errorf("%q: %+v, %v; want %v", tt.home, r, err, tt.want)
		}
	}
	if r, err := Make(ctx, p.dir+"/home//alice/", owner, p.opts); err != nil || !r.Made || r.Path != p.home() {
		t.Errorf("slashes: %+v, %v", r, err)
	}
}

// A link on the way counts only when root alone could have made it.
func TestLinksOnTheWay(t *testing.T) {
	p := newPlace(t)
	p.must(os.Mkdir(p.dir+"/real", 0o755), os.Symlink("real", p.dir+"/byroot"), os.Symlink(p.dir+"/real", p.dir+"/absolute"), os.Symlink("real", p.dir+"/byuser"), os.Lchown(p.dir+"/byuser", 4711, 4711))
	p.must(os.Symlink("loop", p.dir+"/loop"))
	for name, mode := range map[string]os.FileMode{"open": 0o777, "groups": 0o775, "sticky": 0o777 | os.ModeSticky, "theirs": 0o755} {
		p.must(os.Mkdir(p.dir+"/"+name, 0o755), os.Chmod(p.dir+"/"+name, mode), os.Symlink("../real", p.dir+"/"+name+"/byroot"))
	}
	p.must(os.Chown(p.dir+"/theirs", 4999, 4999))
	for _, tt := range []struct {
		way  string
		want error
	}{
		{"byroot", nil}, {"absolute", nil}, {"byuser", ErrLink}, {"open/byroot", ErrLink}, {"groups/byroot", ErrLink},
		{"theirs/byroot", ErrLink}, {"sticky/byroot", nil}, {"loop", unix.ELOOP},
	} {
		_, err := Make(ctx, p.dir+"/"+tt.way+"/home-by-"+strings.ReplaceAll(tt.way, "/", "-"), owner, p.opts)
		if !errors.Is(err, tt.want) {
			t.Errorf("by way of %s: %v, want %v", tt.way, err, tt.want)
		}
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

func TestNoParents(t *testing.T) {
	p := newPlace(t)
	p.opts.NoParents = true
	if _, err := Make(ctx, p.dir+"/home/new/alice", owner, p.opts); !errors.Is(err, ErrNoParent) {
		t.Errorf("Make: %v", err)
	}
	p.nothing()
}

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

// A set-gid folder above gives what is made in it to its group: that must not decide.
func TestASetGIDFolderAbove(t *testing.T) {
	p := newPlace(t)
	p.skel("dir/file", "x", 0o644)
	p.must(os.Chown(p.dir+"/home", 0, 4999), os.Chmod(p.dir+"/home", 0o775|os.ModeSetgid))
	home := p.dir + "/home/new/alice"
	_, err := Make(ctx, home, owner, p.opts)
	p.must(err)
	for name, gid := range map[string]uint32{p.dir + "/home/new": 0, home: owner.GID, home + "/dir": owner.GID, home + "/dir/file": owner.GID} {
		if mode, st := stat(t, name); st.Gid != gid || mode&^os.ModeDir != 0o755 && mode != 0o644 {
			t.Errorf("%s has %v, gid %d", name, mode, st.Gid)
		}
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
	modes := func(what string) {
		for name, want := range map[string]os.FileMode{"": 0o755, "file": 0o644, "dir": 0o755, "dir/file": 0o644} {
			if mode, _ := stat(t, path.Join(p.home(), name)); mode.Perm() != want {
				t.Errorf("%s: %q has %v, want %v", what, name, mode, want)
			}
		}
	}
	modes("an ACL")
	p.must(os.RemoveAll(p.home()))
	if out, err := p.child("PWB_HOMEDIR_WITHOUT=ACLs").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	modes("an ACL that cannot be asked for")
}
