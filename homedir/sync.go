package homedir

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const syncThreads = 8 // they wait for the disk, not for a processor

// syncTree brings the whole copy to the disk while it is still nobody's. Without it a power cut some seconds after the first
// login leaves files of no bytes, in a home that exists and is therefore never made again. Not syncfs(2): that waits for
// everybody's data.
func (j *job) syncTree(top int) error {
	progress := func() Progress { return Progress{Entries: j.result.Entries, Bytes: j.result.Bytes, Syncing: true} }
	var w *walk
	w = &walk{threads: syncThreads, hand: func() *hand { return &hand{} }, visit: func(_ *hand, f *folder) error {
		dir, err := f.open(top)
		if err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		defer unix.Close(dir)
		err = list(dir, func(e entry) error {
			if err := context.Cause(j.ctx); err != nil {
				return err
			}
			j.tell(progress)
			kind, err := kindOf(dir, e)
			switch {
			case err != nil:
				return err
			case kind == unix.DT_DIR:
				w.push(&folder{f, e.name})
			case kind == unix.DT_REG:
				return syncFile(dir, e.name)
			}
			return nil
		})
		return errors.Join(err, fsync(dir))
	}}
	return w.run(&hand{})
}

func syncFile(dir int, name string) error {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("sync %q: %w", name, err)
	}
	if err := errors.Join(fsync(fd), unix.Close(fd)); err != nil {
		return fmt.Errorf("sync %q: %w", name, err)
	}
	return nil
}

// fsync waits for the disk where the file system can. Some have no such call for folders (vboxsf), or none at all: EINVAL.
func fsync(fd int) error {
	err := unix.Fsync(fd)
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

func (j *job) fsync(fd int) error {
	if j.opts.NoSync {
		return nil
	}
	if err := fsync(fd); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}

// fsyncParent syncs a folder that is open by O_PATH only.
func (j *job) fsyncParent(dir int) error {
	if j.opts.NoSync {
		return nil
	}
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer unix.Close(fd)
	return j.fsync(fd)
}
