// Package homedir makes one home directory from a skeleton, whole or not at all. The tree is built beside its place, where
// nobody but root can enter, made durable, given to its owner last, and renamed into place. Whatever happens on the way (a
// full disk, a quota, kill -9, a power cut, another login at the same moment) there is no home or a whole one, and the next
// call puts right what an earlier one has left.
//
// It works by descriptors, never follows a link that somebody else may have made, opens nothing that could block, and copies
// no privilege: no set-id bit, no capability, no ACL, no device. A home that exists is never touched.
//
// Make may be called by several goroutines and processes at once. It changes nothing of the process that calls it.
package homedir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// What keeps a home from being made; errors of Make wrap one of these or an errno.
var (
	ErrPath     = errors.New("not a path for a home directory")
	ErrDangling = errors.New("a link that leads nowhere is in the place of the home directory")
	ErrLink     = errors.New("a link that is not root's alone is on the way")
	ErrSkeleton = errors.New("the skeleton cannot be used")
	ErrInside   = errors.New("the home directory would be inside its own skeleton")
	ErrBusy     = errors.New("another login is making this home directory")
	ErrReplaced = errors.New("somebody has moved the home directory while it was made")
	ErrNoParent = errors.New("the folder that the home directory belongs in is not there")
	ErrSite     = errors.New("somebody else has taken the name that the home directory is built under")
	ErrOwner    = errors.New("uid or gid 4294967295 is nobody's")
)

// Modes says which permission bits a home gets. Its zero value gives nothing to group and others.
type Modes struct {
	Allow fs.FileMode // bits that files and directories may have; 0 is 0700
	Home  fs.FileMode // the mode of the home itself; 0 is Allow
}

func (m Modes) allow() uint32 {
	if m.Allow == 0 {
		return 0o700
	}
	return uint32(m.Allow.Perm())
}

func (m Modes) home() uint32 {
	if m.Home == 0 {
		return m.allow()
	}
	return uint32(m.Home.Perm())
}

// file and dir are the modes of copies: never more than the skeleton gave, never out of reach of the owner.
func (m Modes) file(src uint32) uint32 { return (src&0o777 | 0o200) & m.allow() }
func (m Modes) dir(src uint32) uint32  { return (src&0o777 | 0o700) & m.allow() }

// Owner is whose the home will be.
type Owner struct{ UID, GID uint32 }

// noID is what chown(2) takes for "keep": the home would stay root's.
const noID = ^uint32(0)

// DefaultSkel is the skeleton when none is named. Only this one may be missing.
const DefaultSkel = "/etc/skel"

// DefaultLockDir is where logins of one person wait for each other: root's, so that nobody can stop a stranger's login.
const DefaultLockDir = "/run/pwb/homedir"

// Options says how. The zero value copies DefaultSkel, durably, readable by the owner only.
type Options struct {
	Skel      string // "" is DefaultSkel
	Empty     bool   // copy nothing, whatever Skel says
	Modes     Modes
	LockDir   string // "" is DefaultLockDir
	NoParents bool   // do not make what is missing above the home: ErrNoParent
	NoSync    bool   // do not wait for the disk: for tests, and file systems without one
	DryRun    bool   // check everything that can be checked, and make nothing
	Progress  func(Progress)
	Warn      func(text string) // told what is odd but no reason to stop, by any goroutine; nil is told nothing
}

// Progress is how far a copy has come. It is reported from time to time, by one goroutine at a time.
type Progress struct {
	Entries int64 // files, links and directories made
	Bytes   int64 // of file contents
	Syncing bool  // the copy is whole, and on its way to the disk
}

// Result says what was done.
type Result struct {
	Made    bool   // by this call
	Existed bool   // something has its name already; it was left alone
	NoHome  bool   // accounts with such a path have no home: /nonexistent, /dev/null
	Entries int64  // copied, or with DryRun to be copied
	Bytes   int64  //
	Skipped int64  // sockets, FIFOs and devices of the skeleton
	Path    string // the home's path, cleaned
}

// Make sees to it that home exists. It returns when the home is whole and, unless NoSync, on the disk.
func Make(ctx context.Context, home string, owner Owner, opts Options) (Result, error) {
	clean, err := cleanPath(home)
	if err != nil {
		return Result{}, fmt.Errorf("home directory %q: %w", home, err)
	}
	if owner.UID == noID || owner.GID == noID {
		return Result{}, fmt.Errorf("home directory %q: %w", home, ErrOwner)
	}
	j := &job{ctx: ctx, home: clean, owner: owner, opts: opts}
	j.result.Path = clean
	if hasNoHome(clean) {
		j.warn("accounts whose home is %s have none; nothing is made", clean)
		j.result.NoHome = true
		return j.result, nil
	}
	if there, err := j.exists(unix.AT_FDCWD, clean); there || err != nil {
		return j.result, err
	}
	// umask, capabilities and security labels belong to a thread here, and this thread to nobody else: it ends with the work.
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- guarded(j.run)
	}()
	err = <-done
	if err != nil {
		err = fmt.Errorf("make home directory %s: %w", clean, err)
	}
	return j.result, err
}

// guarded turns a panic into an error: a resident caller has other calls to finish.
func guarded(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("bug: %v\n%s", p, debug.Stack())
		}
	}()
	return do()
}

// cleanPath takes an absolute path without tricks. It may come from a directory or a token: it is data.
func cleanPath(home string) (string, error) {
	if home == "" || home[0] != '/' || strings.ContainsAny(home, "\x00\n") {
		return "", ErrPath
	}
	for part := range strings.SplitSeq(home, "/") {
		if part == ".." || part == "." {
			return "", ErrPath
		}
	}
	return path.Clean(home), nil
}

// hasNoHome knows the paths that passwd(5) entries of services have by convention. An error would break cron and su, whose
// session stacks such accounts go through too.
func hasNoHome(home string) bool {
	if slices.Contains([]string{"/nonexistent", "/var/empty", "/dev", "/proc", "/sys"}, home) {
		return true
	}
	for _, below := range []string{"/dev/", "/proc/", "/sys/", "/nonexistent/"} {
		if strings.HasPrefix(home, below) {
			return true
		}
	}
	return false
}

// job is one call of Make.
type job struct {
	ctx    context.Context
	home   string
	owner  Owner
	opts   Options
	result Result
	hand   *hand     // the job's own thread
	labels *labels   // nil without SELinux
	once   sync.Once // guards the one complaint about labels
}

func (j *job) warn(format string, args ...any) {
	if j.opts.Warn != nil {
		j.opts.Warn(fmt.Sprintf(format, args...))
	}
}

// exists says whether something has the home's name. A link that leads nowhere is an error: what it will lead to is not ours
// to decide.
func (j *job) exists(dir int, name string) (bool, error) {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, 0)
	switch {
	case err == nil:
		j.judgeExisting(&st)
		j.result.Existed = true
		return true, nil
	case unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil:
		return false, fmt.Errorf("%s: %w", j.home, ErrDangling)
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case errors.Is(err, unix.ENOTDIR):
		return false, fmt.Errorf("%s: %w", j.home, err)
	}
	return false, nil // the walk will meet the same, and say where
}

func (j *job) judgeExisting(st *unix.Stat_t) {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		j.warn("%s is no directory; it is left alone", j.home)
	case st.Uid != j.owner.UID && st.Uid == 0 && j.home != "/":
		j.warn("%s belongs to root, not to uid %d; it is left alone", j.home, j.owner.UID)
	}
}

// run makes the home, on a thread of its own.
func (j *job) run() error {
	j.labels = loadLabels(j.home, j.warn)
	j.hand = j.newHand()
	defer j.hand.close()
	skel, err := j.openSkeleton()
	if err != nil {
		return err
	}
	if skel >= 0 {
		defer unix.Close(skel)
	}
	parent, err := j.openParent()
	if err != nil {
		return err
	}
	if j.opts.DryRun {
		return j.rehearse(skel, parent)
	}
	defer unix.Close(parent)
	if err := notInside(parent, skel); err != nil {
		return err
	}
	j.hand.label.none() // the lock is no part of the home
	unlock, err := j.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if there, err := j.exists(parent, path.Base(j.home)); there || err != nil {
		return err
	}
	return j.build(skel, parent)
}

// rehearse counts what would be copied.
func (j *job) rehearse(skel, parent int) error {
	if parent >= 0 {
		defer unix.Close(parent)
		if err := notInside(parent, skel); err != nil {
			return err
		}
	}
	if skel < 0 {
		return nil
	}
	c := &copier{job: j, src: skel, dst: -1}
	return c.run()
}

// openSkeleton returns the skeleton as a directory, opened once; -1 when there is nothing to copy: none is wanted, or it is
// the default one and not there.
func (j *job) openSkeleton() (int, error) {
	if j.opts.Empty {
		return -1, nil
	}
	name := j.opts.Skel
	if name == "" {
		name = DefaultSkel
	}
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err == nil {
		return fd, nil
	}
	if j.opts.Skel == "" && errors.Is(err, unix.ENOENT) {
		j.warn("%s is not there; the home is empty", DefaultSkel)
		return -1, nil
	}
	return -1, fmt.Errorf("%w: %s: %w", ErrSkeleton, name, err)
}

// notInside refuses a home below its own skeleton, which would copy itself for ever.
func notInside(parent, skel int) error {
	if skel < 0 {
		return nil
	}
	var target, here, above unix.Stat_t
	if err := unix.Fstat(skel, &target); err != nil {
		return err
	}
	dir, err := unix.Openat(parent, ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { unix.Close(dir) }()
	for {
		if err := unix.Fstat(dir, &here); err != nil {
			return err
		}
		if here.Dev == target.Dev && here.Ino == target.Ino {
			return ErrInside
		}
		up, err := unix.Openat(dir, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		unix.Close(dir)
		dir = up
		if err := unix.Fstat(dir, &above); err != nil {
			return err
		}
		if above.Dev == here.Dev && above.Ino == here.Ino {
			return nil // the root
		}
	}
}

// build makes the home beside its place and moves it there. It is one sequence: each step is safe because of those before it.
func (j *job) build(skel, parent int) (err error) {
	name := stageName(j.owner.UID)
	top, given, err := j.makeStage(parent, name)
	if err != nil {
		return err
	}
	defer unix.Close(top)
	placed := given
	defer func() {
		if err != nil && !placed { // afterwards the tree is its owner's, and not ours to remove
			err = errors.Join(err, removeTree(parent, name, top))
		}
	}()
	if !given {
		if err := j.fill(skel, top); err != nil {
			return err
		}
	}
	// Only a whole tree is given away: its owner's processes may walk and change it from here on.
	if err := unix.Fchown(top, int(j.owner.UID), int(j.owner.GID)); err != nil {
		return fmt.Errorf("give it away: %w", err)
	}
	if err := unix.Fchmod(top, j.opts.Modes.home()); err != nil {
		return fmt.Errorf("set its mode: %w", err)
	}
	if err := j.fsync(top); err != nil {
		return err
	}
	there, err := renameNoReplace(parent, name, path.Base(j.home))
	if err != nil {
		return fmt.Errorf("move it into place: %w", err)
	}
	placed = true
	if there { // somebody who does not know our lock was faster
		j.result.Existed = true
		return removeTree(parent, name, top)
	}
	if err := j.isInPlace(parent, top); err != nil {
		return err
	}
	j.result.Made = true
	return j.fsyncParent(parent)
}

// fill copies the skeleton into the building site, and brings it to the disk.
func (j *job) fill(skel, top int) error {
	if skel >= 0 {
		c := &copier{job: j, src: skel, dst: top}
		if err := c.run(); err != nil {
			return err
		}
	}
	if !j.opts.NoSync {
		if err := j.syncTree(top); err != nil {
			return err
		}
	}
	return context.Cause(j.ctx)
}

func (j *job) isInPlace(parent, top int) error {
	var ours, placed unix.Stat_t
	if err := unix.Fstat(top, &ours); err != nil {
		return err
	}
	err := unix.Fstatat(parent, path.Base(j.home), &placed, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil || placed.Ino != ours.Ino || placed.Dev != ours.Dev {
		return ErrReplaced
	}
	return nil
}

// siteMode is the building site's: nobody can look in or plant anything. The sticky bit, of no effect there, is how the site of
// an earlier login is known from a folder that somebody has moved there.
const siteMode = unix.S_ISVTX | 0o700

// makeStage makes the building site, root's alone. Its name is always the same: what a crash has left is found without a search,
// and under the lock it is nobody's. given says that an earlier login was cut off when the home was whole and its owner's, and
// only lacked its name.
func (j *job) makeStage(parent int, name string) (top int, given bool, err error) {
	j.hand.label.next(func() string { return j.home }, unix.S_IFDIR)
	err = unix.Mkdirat(parent, name, siteMode)
	if errors.Is(err, unix.EEXIST) {
		top, err = j.takeOver(parent, name)
		if err != nil {
			return -1, false, fmt.Errorf("%s, which an earlier login left: %w", name, err)
		}
		if top >= 0 {
			return top, true, nil
		}
		err = unix.Mkdirat(parent, name, siteMode)
	}
	if err != nil {
		return -1, false, err
	}
	top, err = openDir(parent, name, unix.O_RDONLY)
	if err != nil {
		return -1, false, err
	}
	err = mustBeNew(top)
	if err == nil {
		err = errors.Join(unix.Fchown(top, os.Geteuid(), os.Getegid()), unix.Fchmod(top, siteMode))
	}
	if err != nil {
		unix.Close(top)
		return -1, false, err
	}
	return top, false, nil
}

// takeOver removes what an earlier login left of its building site, and returns -1; or returns the home, when it was given away
// already. Where others can write beside the home, anybody may have made the name, or moved a folder of root's or the owner's
// there: what is not known to be ours is not walked through, and what is the owner's is not removed.
func (j *job) takeOver(parent int, name string) (int, error) {
	stale, err := openDir(parent, name, unix.O_RDONLY)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return -1, ErrSite
	}
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	err = unix.Fstat(stale, &st)
	switch {
	case err != nil:
	case int(st.Uid) == os.Geteuid() && st.Mode&0o1077 == unix.S_ISVTX:
		err = removeTree(parent, name, stale)
	case st.Uid == j.owner.UID:
		return stale, nil
	default:
		err = fmt.Errorf("%w: uid %d, mode %04o", ErrSite, st.Uid, st.Mode&0o7777)
	}
	unix.Close(stale)
	return -1, err
}

// mustBeNew refuses a folder that is not the one just made under its name: where others may rename, another may be there.
func mustBeNew(dir int) error {
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return err
	}
	if int(st.Uid) != os.Geteuid() {
		return ErrReplaced
	}
	return list(dir, func(entry) error { return ErrReplaced })
}

// renameNoReplace moves without replacing. File systems that cannot (NFS) get a plain rename: a directory can replace an empty
// directory only, and nobody makes an empty one there but the owner of the parent.
func renameNoReplace(parent int, from, to string) (there bool, err error) {
	err = testRename(parent, from, to)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		var st unix.Stat_t
		if unix.Fstatat(parent, to, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			return true, nil
		}
		err = unix.Renameat(parent, from, parent, to)
		if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.ENOTDIR) {
			return true, nil
		}
	}
	if errors.Is(err, unix.EEXIST) {
		return true, nil
	}
	return false, err
}

// testRename is the system call; tests take it away, as NFS does.
var testRename = func(parent int, from, to string) error {
	return unix.Renameat2(parent, from, parent, to, unix.RENAME_NOREPLACE)
}
