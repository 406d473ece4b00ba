package homedir

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/flock"
)

// lines is where the logins of one person wait in this process, by the name of their lock: one of them asks the kernel, however many
// give up behind a login that hangs.
var lines sync.Map // of flock.Line

// lock waits until no other login makes this person's home. The lock is in a folder of root's: a lock on /home could be taken
// by anybody, and would stop all logins. It goes with the process, however that ends, and its file with the work.
func (j *job) lock() (unlock func(), err error) {
	where := cmp.Or(j.opts.LockDir, DefaultLockDir)
	dir, err := openLockDir(where)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	name := fmt.Sprintf("%d.lock", j.owner.UID)
	path := filepath.Join(where, name)
	fd, err := j.lockFile(dir, name, path)
	if err != nil {
		unix.Close(dir)
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() {
		unix.Unlinkat(dir, name, 0)
		lines.Delete(path)
		unix.Close(fd)
		unix.Close(dir)
	}, nil
}

func (j *job) lockFile(dir int, name, path string) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o600)
		if err != nil {
			return -1, err
		}
		line, _ := lines.LoadOrStore(path, flock.NewLine())
		if err := line.(flock.Line).Lock(j.ctx, fd); err != nil {
			if j.ctx.Err() != nil {
				err = fmt.Errorf("%w: %w", ErrBusy, err)
			}
			return -1, err
		}
		if isAt(dir, name, fd) {
			return fd, nil
		}
		unix.Close(fd) // whoever had it has removed it meanwhile: what is locked here is no longer the lock
	}
}

// openLockDir opens the folder of locks, and makes it where it is missing. What was judged is what is used.
func openLockDir(name string) (int, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return -1, err
	}
	if err := os.Mkdir(name, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return -1, err
	}
	var st unix.Stat_t
	dir, err := openDir(unix.AT_FDCWD, name, unix.O_PATH)
	if err == nil {
		err = unix.Fstat(dir, &st)
	}
	open := st.Mode&0o022 != 0 || st.Uid != 0 && int(st.Uid) != os.Geteuid()
	if errors.Is(err, unix.ENOTDIR) || err == nil && open {
		err = fmt.Errorf("%s must be a folder that only root can write", name)
	}
	if err != nil {
		unix.Close(dir)
		return -1, err
	}
	return dir, nil
}
