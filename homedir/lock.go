package homedir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/flock"
)

// lock waits until no other login makes this person's home. The lock is in a folder of root's: a lock on /home could be taken
// by anybody, and would stop all logins. It goes with the process, however that ends, and its file with the work.
func (j *job) lock() (unlock func(), err error) {
	dir := j.opts.LockDir
	if dir == "" {
		dir = DefaultLockDir
	}
	if err := lockDir(dir); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	name := filepath.Join(dir, fmt.Sprintf("%d.lock", j.owner.UID))
	for {
		fd, err := unix.Open(name, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		if err := flock.NewLine().Lock(j.ctx, fd); err != nil {
			if j.ctx.Err() != nil {
				err = fmt.Errorf("%w: %w", ErrBusy, err)
			}
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		if isFile(fd, name) {
			return func() { unix.Unlink(name); unix.Close(fd) }, nil
		}
		unix.Close(fd) // whoever had it has removed it meanwhile: what is locked here is no longer the lock
	}
}

func isFile(fd int, name string) bool {
	var open, there unix.Stat_t
	err := errors.Join(unix.Fstat(fd, &open), unix.Lstat(name, &there))
	return err == nil && open.Ino == there.Ino && open.Dev == there.Dev
}

func lockDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Mode&0o022 != 0 || st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s must be a folder that only root can write", dir)
	}
	return nil
}
