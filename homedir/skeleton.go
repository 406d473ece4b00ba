package homedir

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

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
