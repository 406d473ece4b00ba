package homedir

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// openSkeleton opens the skeleton as a directory, once; there is nothing to copy when none is wanted, or it is the default one and
// not there.
func (j *job) openSkeleton() (err error) {
	j.skel = -1
	if j.opts.Empty {
		return nil
	}
	name := j.opts.Skel
	if name == "" {
		name = DefaultSkel
	}
	j.skel, err = unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err == nil {
		return nil
	}
	if j.opts.Skel == "" && errors.Is(err, unix.ENOENT) {
		j.warn("%s is not there; the home is empty", DefaultSkel)
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ErrSkeleton, name, err)
}

// notInSkeleton refuses a home below its own skeleton, which would copy itself for ever.
func (j *job) notInSkeleton(parent int) error {
	if j.skel < 0 {
		return nil
	}
	var target, here, above unix.Stat_t
	if err := unix.Fstat(j.skel, &target); err != nil {
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
