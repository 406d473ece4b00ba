package homedir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// build makes the home beside its place and moves it there. It is one sequence: each step is safe because of those before it.
func (j *job) build(parent int) error {
	name := stageName(j.owner.UID)
	top, given, err := j.makeStage(parent, name)
	if err != nil {
		return err
	}
	defer unix.Close(top)
	if !given {
		if err := j.finish(top); err != nil {
			return errors.Join(err, j.discard(parent, name, top))
		}
	}
	return j.place(parent, name, top, given)
}

// finish fills the building site and gives it away, in this order: from the gift on its owner's processes may walk and change it.
func (j *job) finish(top int) error {
	if err := j.fill(top); err != nil {
		return err
	}
	if err := unix.Fchown(top, int(j.owner.UID), int(j.owner.GID)); err != nil {
		return fmt.Errorf("give it away: %w", err)
	}
	if err := unix.Fchmod(top, j.opts.Modes.home()); err != nil {
		return fmt.Errorf("set its mode: %w", err)
	}
	return nil
}

// place gives the whole home its name. What is its owner's is removed only where it is known to be the building site yet: in place,
// or moved by its owner, it is not ours any more. given says that an earlier login has built it, or that it is a folder of the
// owner's that somebody gave the site's name.
func (j *job) place(parent int, name string, top int, given bool) error {
	there, err := false, j.fsync(top)
	if err == nil {
		there, err = renameNoReplace(parent, name, path.Base(j.home))
	}
	switch {
	case isAt(parent, path.Base(j.home), top): // whatever was answered: over NFS an answer can be lost (rename(2), "BUGS")
		j.result.Made = true
		return j.fsyncParent(parent)
	case err != nil:
		err = fmt.Errorf("move it into place: %w", err)
	case there: // somebody who does not know our lock was faster
		j.result.Existed = true
	default:
		err = ErrReplaced
	}
	if given || !isAt(parent, name, top) {
		return err
	}
	return errors.Join(err, j.discard(parent, name, top))
}

// isAt says whether what is open as fd has this name.
func isAt(parent int, name string, fd int) bool {
	var open, there unix.Stat_t
	err := errors.Join(unix.Fstat(fd, &open), unix.Fstatat(parent, name, &there, unix.AT_SYMLINK_NOFOLLOW))
	return err == nil && open.Ino == there.Ino && open.Dev == there.Dev
}

// discard removes a building site. It is made root's again first: what is left of it when that is cut off, or refused, must not pass
// for a whole home that only lacks its name.
func (j *job) discard(parent int, name string, top int) error {
	var st unix.Stat_t
	err := unix.Fstat(top, &st)
	if err == nil {
		err = unix.Fchmod(top, siteMode)
	}
	if err == nil { // in this order: root's with another mode is no site that a later login knows
		err = unix.Fchown(top, os.Geteuid(), os.Getegid())
	}
	if err != nil {
		return fmt.Errorf("take it back: %w", err)
	}
	return removeTree(parent, name, top, []uint32{j.owner.UID, st.Uid}) // root's folders too, as long as nobody could enter
}

// fill copies the skeleton into the building site, and brings it to the disk.
func (j *job) fill(top int) error {
	if j.skel >= 0 {
		c := &copier{job: j, src: j.skel, dst: top, inherits: inheritsACL(top)}
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

// inheritsACL says whether an ACL of the folder above may decide on the modes of what is made in dir. Only ENODATA says no: where
// the file system has no such ACLs it may have others, as NFSv4 has.
func inheritsACL(dir int) bool {
	_, err := unix.Fgetxattr(dir, "system.posix_acl_default", nil)
	return !errors.Is(err, unix.ENODATA)
}

const stagePrefix = ".pwb-mk."

// stageName is the name of a building site: of one person on one machine. Two machines may share a parent by NFS.
func stageName(uid uint32) string {
	return fmt.Sprintf("%s%d.%s", stagePrefix, uid, machine())
}

func machine() string {
	if text := machineID(); len(text) >= 8 && strings.Trim(text, "0123456789abcdef") == "" {
		return text[:8]
	}
	if name, err := os.Hostname(); err == nil && name != "" && !strings.ContainsAny(name, "/\x00") && len(name) <= 64 {
		return name
	}
	return "localhost"
}

// machineID reads machine-id(5). Not as an os.File, which would start the runtime's poller in a process that needs none.
func machineID() string {
	fd, err := unix.Open("/etc/machine-id", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var id [64]byte
	n, err := readFull(fd, id[:])
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id[:n]))
}

// siteMode is the building site's: nobody can look in or plant anything. The sticky bit, of no effect there, is how the site of
// an earlier login is known from a folder that somebody has moved there.
const siteMode = unix.S_ISVTX | 0o700

// makeStage makes the building site, root's alone. Its name is always the same: what a crash has left is found without a search,
// and under the lock it is nobody's. given says that an earlier login was cut off when the home was whole and its owner's, and
// only lacked its name.
func (j *job) makeStage(parent int, name string) (top int, given bool, err error) {
	if err := j.hand.label.next(func() string { return j.home }, unix.S_IFDIR); err != nil {
		return -1, false, err
	}
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
	top, err = openNew(parent, name, siteMode)
	return top, false, err
}

// takeOver removes what an earlier login left of its building site, and returns -1; or returns the home, when it was given away
// already. Where others can write beside the home, anybody may have made the name, or moved a folder of root's or the owner's
// there: what is not known to be ours is not walked through, and what is the owner's is not removed. Its mode is changed only where
// it is the site's yet: a private folder of the owner's under this name stays private.
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
		err = removeTree(parent, name, stale, []uint32{j.owner.UID, st.Uid})
	case st.Uid == j.owner.UID && st.Mode&0o7777 == siteMode:
		if err = unix.Fchmod(stale, j.opts.Modes.home()); err == nil {
			return stale, nil
		}
	case st.Uid == j.owner.UID:
		return stale, nil
	default:
		err = fmt.Errorf("%w: uid %d, mode %04o", ErrSite, st.Uid, st.Mode&0o7777)
	}
	unix.Close(stale)
	return -1, err
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
