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
	"path"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// What keeps a home from being made; errors of Make wrap one of these or an errno.
var (
	ErrPath     = errors.New("not a path for a home directory")
	ErrOwner    = errors.New("uid or gid 4294967295 is nobody's")
	ErrRelative = errors.New("not an absolute path")
	ErrSkeleton = errors.New("the skeleton cannot be used")
	ErrInside   = errors.New("the home directory would be inside its own skeleton")
	ErrDangling = errors.New("a link that leads nowhere is in the place of the home directory")
	ErrLink     = errors.New("a link that is not root's alone is on the way")
	ErrNoParent = errors.New("the folder that the home directory belongs in is not there")
	ErrBusy     = errors.New("another login is making this home directory")
	ErrSite     = errors.New("somebody else has taken the name that the home directory is built under")
	ErrReplaced = errors.New("somebody has moved the home directory while it was made")
)

// DefaultSkel is the skeleton when none is named. Only this one may be missing.
const DefaultSkel = "/etc/skel"

// DefaultLockDir is where logins of one person wait for each other: root's, so that nobody can stop a stranger's login.
const DefaultLockDir = "/run/pwb/homedir"

// Owner is whose the home will be.
type Owner struct{ UID, GID uint32 }

// noID is what chown(2) takes for "keep": the home would stay root's.
const noID = ^uint32(0)

// Options says how. The zero value copies DefaultSkel, durably, readable by the owner only.
type Options struct {
	Skel      string // an absolute path; "" is DefaultSkel
	Empty     bool   // copy nothing, whatever Skel says
	Modes     Modes
	LockDir   string // "" is DefaultLockDir
	NoParents bool   // do not make what is missing above the home: ErrNoParent
	NoSync    bool   // do not wait for the disk: for tests, and file systems without one
	DryRun    bool   // check what can be checked, and make nothing

	// Progress is told from time to time how far the copy is, by one goroutine at a time; the copy waits for it. It is not
	// called in a DryRun.
	Progress func(Progress)

	// Warn is told what is odd but no reason to stop, by any goroutine.
	Warn func(text string)
}

// Progress is how far a copy has come.
type Progress struct {
	Entries int64 // files, links and directories made
	Bytes   int64 // of file contents
	Syncing bool  // the copy is whole, and on its way to the disk
}

// Result says what was done.
type Result struct {
	Path    string // the home's path, cleaned
	Made    bool   // by this call
	Existed bool   // something has its name already; it was left alone
	NoHome  bool   // accounts with such a path have no home: /nonexistent, /dev/null
	Entries int64  // files, links and directories copied; in a DryRun, to be copied
	Bytes   int64  // of file contents, in the same way
	Skipped int64  // sockets, FIFOs and devices of the skeleton
}

// Make sees to it that home exists. It returns when the home is whole and, unless NoSync, on the disk. It needs the rights of
// root, or a folder of the caller's own to make the home in.
func Make(ctx context.Context, home string, owner Owner, opts Options) (Result, error) {
	clean, err := cleanPath(home)
	switch {
	case err != nil:
	case owner.UID == noID || owner.GID == noID:
		err = ErrOwner
	case !opts.Empty && opts.Skel != "" && !path.IsAbs(opts.Skel):
		err = fmt.Errorf("skeleton %q: %w", opts.Skel, ErrRelative)
	}
	if err != nil {
		return Result{}, fmt.Errorf("home directory %q: %w", home, err)
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
	if err := <-done; err != nil {
		return j.result, fmt.Errorf("make home directory %s: %w", clean, err)
	}
	return j.result, nil
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

// job is one call of Make.
type job struct {
	ctx    context.Context
	home   string
	owner  Owner
	opts   Options
	result Result
	skel   int       // -1: nothing to copy
	hand   *hand     // the job's own thread
	labels *labels   // nil without SELinux
	once   sync.Once // guards the one complaint about labels

	telling sync.Mutex // guards told
	told    time.Time
}

func (j *job) warn(format string, args ...any) {
	if j.opts.Warn != nil {
		j.opts.Warn(fmt.Sprintf(format, args...))
	}
}

// tell reports progress, ten times a second at most.
func (j *job) tell(progress func() Progress) {
	if j.opts.Progress == nil || !j.telling.TryLock() {
		return
	}
	defer j.telling.Unlock()
	if now := time.Now(); now.Sub(j.told) >= 100*time.Millisecond {
		j.told = now
		j.opts.Progress(progress())
	}
}

// exists says whether something has the home's name. A link that leads nowhere is an error: what it will lead to is not ours
// to decide. Whether it is a link is asked first: another login may put the home in its place at any moment.
func (j *job) exists(dir int, name string) (bool, error) {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK && unix.Fstatat(dir, name, &st, 0) != nil {
		return false, fmt.Errorf("%s: %w", j.home, ErrDangling)
	}
	switch {
	case err == nil:
		j.judgeExisting(&st)
		j.result.Existed = true
		return true, nil
	case errors.Is(err, unix.ENOTDIR):
		return false, fmt.Errorf("%s: %w", j.home, err)
	}
	return false, nil // not there; or the walk will meet the same, and say where
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
	err := j.openSkeleton()
	if err != nil {
		return err
	}
	if j.skel >= 0 {
		defer unix.Close(j.skel)
	}
	if j.opts.DryRun {
		return j.rehearse()
	}
	unlock, err := j.lock() // before anything is made
	if err != nil {
		return err
	}
	defer unlock()
	parent, err := j.openParent()
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if err := j.notInSkeleton(parent); err != nil {
		return err
	}
	if there, err := j.exists(parent, path.Base(j.home)); there || err != nil {
		return err
	}
	return j.build(parent)
}

// rehearse counts what would be copied.
func (j *job) rehearse() error {
	parent, err := j.openParent()
	if err != nil {
		return err
	}
	if parent >= 0 {
		defer unix.Close(parent)
		if err := j.notInSkeleton(parent); err != nil {
			return err
		}
	}
	if j.skel < 0 {
		return nil
	}
	c := &copier{job: j, src: j.skel, dst: -1}
	return c.run()
}
