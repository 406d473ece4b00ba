package homedir

import (
	"errors"
	"io/fs"
	"os"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

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
	p.must(os.RemoveAll(p.home()))
	testRename = func(int, string, string) error { return errors.Join(os.Mkdir(p.home(), 0o711), unix.ENOSYS) } // an empty folder is replaced by rename(2)
	if r, err := Make(ctx, p.home(), owner, p.opts); err != nil || !r.Existed {
		t.Errorf("behind somebody with an empty one: %+v, %v", r, err)
	}
	if mode, _ := stat(t, p.home()); mode.Perm() != 0o711 {
		t.Errorf("their folder has been replaced: %v", mode)
	}
}

// rename(2), "BUGS": over NFS one that is said to have failed may have been done; its answer was lost.
func TestARenameWhoseAnswerWasLost(t *testing.T) {
	was := testRename
	defer func() { testRename = was }()
	for _, answer := range []error{unix.ENOENT, unix.EEXIST} {
		testRename = func(parent int, from, to string) error {
			return errors.Join(was(parent, from, to), answer)
		}
		p := newPlace(t)
		p.skel("file", "x", 0o644)
		if r, err := Make(ctx, p.home(), owner, p.opts); err != nil || !r.Made || r.Existed {
			t.Errorf("%v: %+v, %v", answer, r, err)
		}
		if _, st := stat(t, p.home()); st.Uid != owner.UID || !exists(p.home()+"/file") {
			t.Errorf("%v: the home belongs to uid %d; its file is there: %v", answer, st.Uid, exists(p.home()+"/file"))
		}
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

// Where others may write beside the home, they may have taken the building site's name.
func TestASiteOfSomebodyElse(t *testing.T) {
	p := newPlace(t)
	site := p.dir + "/home/" + stageName(owner.UID)
	for name, put := range map[string]func() error{
		"a folder":       func() error { return errors.Join(os.Mkdir(site, 0o755), os.Chown(site, 4999, 4999)) },
		"a file":         func() error { return os.WriteFile(site, nil, 0o600) },
		"a link to root": func() error { return os.Symlink("/", site) },
	} {
		p.must(put())
		before, _ := stat(t, site)
		if _, err := Make(ctx, p.home(), owner, p.opts); !errors.Is(err, ErrSite) {
			t.Errorf("%s: %v, want %v", name, err, ErrSite)
		}
		if after, _ := stat(t, site); after != before || exists(p.home()) {
			t.Errorf("%s: it was touched, or there is a home", name)
		}
		p.must(os.Remove(site))
	}
}

// Who can rename beside the home can give the site's name to any folder there, /home/root-only or somebody's home: then it must
// not be emptied.
func TestASiteThatIsNotOurs(t *testing.T) {
	p := newPlace(t)
	site := p.dir + "/home/" + stageName(owner.UID)
	p.must(os.Mkdir(site, 0o700), os.WriteFile(site+"/kept", nil, 0o600))
	if _, err := Make(ctx, p.home(), owner, p.opts); !errors.Is(err, ErrSite) {
		t.Errorf("a folder of root's: %v, want %v", err, ErrSite)
	}
	if !exists(site + "/kept") {
		t.Error("a folder of root's was emptied")
	}
	p.must(os.Chmod(site, 0o777|fs.ModeSticky)) // what everybody may write is not one either
	if _, err := Make(ctx, p.home(), owner, p.opts); !errors.Is(err, ErrSite) || !exists(site+"/kept") {
		t.Errorf("a folder of root's for everybody: %v, want %v; it is whole: %v", err, ErrSite, exists(site+"/kept"))
	}
	p.must(os.RemoveAll(site))
	// What a crash has left is.
	p.skel("new", "x", 0o644)
	p.must(os.Mkdir(site, 0o700), os.Chmod(site, 0o700|fs.ModeSticky), os.WriteFile(site+"/old", nil, 0o600))
	if r := p.make(); !r.Made || exists(p.home()+"/old") || !exists(p.home()+"/new") {
		t.Errorf("Make = %+v", r)
	}
}

// What root has mounted below a site is not removed with it.
func TestAMountInTheSite(t *testing.T) {
	p := newPlace(t)
	site := p.dir + "/home/" + stageName(owner.UID)
	p.must(os.MkdirAll(site+"/d", 0o700), os.Chmod(site, 0o700|fs.ModeSticky), unix.Mount("tmpfs", site+"/d", "tmpfs", 0, ""))
	defer unix.Unmount(site+"/d", unix.MNT_DETACH)
	p.must(os.WriteFile(site+"/d/kept", nil, 0o600))
	if _, err := Make(ctx, p.home(), owner, p.opts); !errors.Is(err, errMounted) {
		t.Errorf("Make: %v, want %v", err, errMounted)
	}
	if !exists(site + "/d/kept") {
		t.Error("another file system was emptied")
	}
}

// A home's owner may have put links in the place of folders while it was theirs and had no name yet.
func TestNoLinkIsFollowedInATree(t *testing.T) {
	p := newPlace(t)
	p.must(os.MkdirAll(p.dir+"/victim/sub", 0o755), os.Mkdir(p.dir+"/top", 0o755), os.Symlink("../victim", p.dir+"/top/link"))
	top, err := unix.Open(p.dir+"/top", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	p.must(err)
	defer unix.Close(top)
	link := &folder{&folder{}, "link"}
	for _, f := range []*folder{link, {link, "sub"}, {&folder{}, ".."}} {
		if fd, err := f.open(top); err == nil {
			unix.Close(fd)
			t.Errorf("%q was opened", f.path("top", ""))
		}
	}
}

// Cut off between the gift and the rename, the home is whole and its owner's: it gets its name, and nothing of it is removed.
func TestCutOffBeforeTheRename(t *testing.T) {
	p := newPlace(t)
	p.skel("new", "x", 0o644)
	site := p.dir + "/home/" + stageName(owner.UID)
	p.must(os.MkdirAll(site+"/d/e", 0o700), os.Chown(site, int(owner.UID), int(owner.GID)), os.Chmod(site, 0o700|fs.ModeSticky))
	if r := p.make(); !r.Made || !exists(p.home()+"/d/e") || exists(p.home()+"/new") || exists(site) {
		t.Errorf("Make = %+v", r)
	}
	if mode, st := stat(t, p.home()); mode != fs.ModeDir|0o755 || st.Uid != owner.UID {
		t.Errorf("the home has %v, uid %d", mode, st.Uid)
	}
}

// Who can rename beside a folder that is being made can put another in its place before it is opened. That must not become
// root's for everybody to read, or the new user's.
func TestAFolderThatIsSwapped(t *testing.T) {
	p := newPlace(t)
	victim := p.dir + "/home/victim"
	p.must(os.Mkdir(victim, 0o700), os.WriteFile(victim+"/secret", nil, 0o644))
	fd, err := unix.Open(victim, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	p.must(err)
	defer unix.Close(fd)
	for _, tt := range []struct{ made, home string }{
		{p.dir + "/home/new", p.dir + "/home/new/alice"},
		{p.dir + "/home/" + stageName(owner.UID), p.home()},
	} {
		for range 500 {
			var made, swapped atomic.Bool
			done := make(chan struct{})
			go func() {
				defer close(done)
				for !made.Load() && !swapped.Load() {
					swapped.Store(unix.Renameat2(unix.AT_FDCWD, tt.made, unix.AT_FDCWD, victim, unix.RENAME_EXCHANGE) == nil)
				}
			}()
			Make(ctx, tt.home, owner, p.opts)
			made.Store(true)
			<-done
			var st unix.Stat_t
			p.must(unix.Fstat(fd, &st))
			if st.Mode != unix.S_IFDIR|0o700 || st.Uid != 0 {
				t.Fatalf("making %s, a folder of root's has become %o, uid %d", tt.made, st.Mode, st.Uid)
			}
			for _, at := range []string{tt.made, victim, p.home()} {
				if !exists(at + "/secret") {
					p.must(os.RemoveAll(at))
				}
			}
			if exists(tt.made) {
				p.must(os.Rename(tt.made, victim))
			}
			if exists(p.home()) {
				p.must(os.Rename(p.home(), victim))
			}
		}
	}
}

// Somebody else's folder in the place of the new one is not made root's, nor what is in one of root's.
func TestANewFolderMustBeNew(t *testing.T) {
	p := newPlace(t)
	for what, put := range map[string]func(dir string) error{
		"theirs": func(dir string) error { return os.Chown(dir, 4999, 4999) },
		"filled": func(dir string) error { return os.WriteFile(dir+"/file", nil, 0o600) },
	} {
		dir := p.dir + "/" + what
		p.must(os.Mkdir(dir, 0o700), put(dir))
		before, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		p.must(err)
		defer unix.Close(before)
		var was, is unix.Stat_t
		p.must(unix.Fstat(before, &was))
		if _, err := openNew(unix.AT_FDCWD, dir, 0o755); !errors.Is(err, ErrReplaced) {
			t.Errorf("%s: %v, want %v", what, err, ErrReplaced)
		}
		if p.must(unix.Fstat(before, &is)); is.Uid != was.Uid || is.Mode != was.Mode {
			t.Errorf("%s: it has become %o of uid %d", what, is.Mode, is.Uid)
		}
	}
}
