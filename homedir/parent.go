package homedir

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// cleanPath takes an absolute path without tricks. It may come from a directory or a token: it is data, and will be in terminals.
func cleanPath(home string) (string, error) {
	if !path.IsAbs(home) || strings.ContainsFunc(home, unicode.IsControl) || len(home) >= unix.PathMax {
		return "", ErrPath
	}
	for part := range strings.SplitSeq(home, "/") {
		if part == ".." || part == "." || len(part) > nameMax || strings.HasPrefix(part, stagePrefix) {
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

const (
	maxLinks = 40
	nameMax  = 255 // of every file system; known before a folder is made for what cannot be in it
)

// openParent walks to the folder that the home will be in, one component at a time by descriptor, and makes what is missing:
// root's, 0755. Links are followed only where root alone could have made them. With DryRun it returns -1 when something is
// missing.
func (j *job) openParent() (int, error) {
	rest := strings.Split(strings.Trim(path.Dir(j.home), "/"), "/")
	dir, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	walked := "/"
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		if part == "" || part == "." {
			continue
		}
		walked = path.Join(walked, part)
		next, target, err := j.step(dir, part, walked)
		switch {
		case err != nil:
			unix.Close(dir)
			return -1, fmt.Errorf("%s: %w", walked, err)
		case target != "" && links == maxLinks:
			unix.Close(dir)
			return -1, fmt.Errorf("%s: %w", walked, unix.ELOOP)
		case target != "":
			links++
			rest = append(strings.Split(target, "/"), rest...)
			walked = path.Dir(walked)
			if target[0] != '/' {
				continue
			}
			if next, err = unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
				unix.Close(dir)
				return -1, err
			}
			walked = "/"
		case next < 0: // DryRun
			unix.Close(dir)
			return -1, nil
		}
		unix.Close(dir)
		dir = next
	}
	return dir, nil
}

// step opens one component, or makes it, or returns where a link leads that may be followed.
func (j *job) step(dir int, name, walked string) (next int, target string, err error) {
	next, err = openDir(dir, name, unix.O_PATH)
	switch {
	case !errors.Is(err, unix.ENOENT):
	case j.opts.NoParents:
		return -1, "", ErrNoParent
	case j.opts.DryRun:
		return -1, "", nil
	default:
		if err := j.notInSkeleton(dir); err != nil {
			return -1, "", err
		}
		if err := j.hand.label.next(func() string { return walked }, unix.S_IFDIR); err != nil {
			return -1, "", err
		}
		next, err = j.makeParent(dir, name)
		return next, "", err
	}
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		target, err = trustedLink(dir, name)
		return -1, target, err
	}
	return next, "", err
}

func openDir(dir int, name string, how int) (int, error) {
	return unix.Openat(dir, name, how|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// makeParent makes a missing folder above the home. Whoever made it in the same moment is as welcome.
func (j *job) makeParent(dir int, name string) (int, error) {
	err := unix.Mkdirat(dir, name, 0o755)
	if errors.Is(err, unix.EEXIST) {
		return openDir(dir, name, unix.O_RDONLY)
	}
	if err != nil {
		return -1, err
	}
	fd, err := openNew(dir, name, 0o755)
	if err != nil {
		return -1, err
	}
	if err := j.fsyncParent(dir); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// openNew opens the folder that was just made under this name, and makes it root's with this mode, whatever the umask, an ACL or the
// set-gid bit of the folder above would have. When that cannot be, nothing is left.
func openNew(dir int, name string, mode uint32) (int, error) {
	fd, err := openDir(dir, name, unix.O_RDONLY)
	if err == nil {
		err = mustBeNew(fd)
	}
	if err == nil {
		err = errors.Join(unix.Fchown(fd, os.Geteuid(), os.Getegid()), unix.Fchmod(fd, mode))
	}
	if err != nil {
		unix.Close(fd)
		unix.Unlinkat(dir, name, unix.AT_REMOVEDIR) // whatever has the name now, it goes only when there is nothing in it
		return -1, err
	}
	return fd, nil
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

// trustedLink reads a link that root made, in a folder where nobody else could have put it.
func trustedLink(dir int, name string) (string, error) {
	var link, folder unix.Stat_t
	if err := errors.Join(unix.Fstatat(dir, name, &link, unix.AT_SYMLINK_NOFOLLOW), unix.Fstat(dir, &folder)); err != nil {
		return "", err
	}
	if link.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", unix.ENOTDIR
	}
	open := folder.Mode&0o022 != 0 && folder.Mode&unix.S_ISVTX == 0
	if link.Uid != 0 || folder.Uid != 0 || open {
		return "", ErrLink
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", err
	}
	if n == 0 || n == len(buf) {
		return "", unix.ENAMETOOLONG
	}
	return string(buf[:n]), nil
}
