package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// turn lets the processes that write to one database do so one after the other, so that nobody is passed over for ever. SQLite's
// own waiting is a lottery: naps of up to a tenth of a second, while whoever has just written begins again at once. In a morning's
// storm of first logins somebody drew blanks for five seconds, which is a refusal.
//
// It is order, not safety: SQLite's locks are what keeps writers apart.
type turn struct {
	gate chan struct{} // holds one: of this process, who has the turn or waits for it
	file *os.File
}

const (
	patience = 8 * time.Second // within the ten seconds that a host gives a call; a disk that others keep busy takes some of them
	turnFile = "-turn"         // behind the database's name, as SQLite's own files are
)

// Bytes of the file that are locked. Whoever waits for the desk holds the door; who comes back from the desk stands behind him.
const (
	door = iota
	desk
	bothBytes // a length: from the door on
)

func openTurn(path string) (*turn, error) {
	f, err := os.OpenFile(path+turnFile, os.O_RDWR|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err == nil { // root makes it for the folder's owner, who writes here too
		var folder unix.Stat_t
		if err = unix.Stat(filepath.Dir(path), &folder); err == nil {
			err = chown(f, int(folder.Uid), int(folder.Gid))
		}
	} else if errors.Is(err, os.ErrExist) {
		f, err = os.OpenFile(path+turnFile, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	}
	if err != nil {
		return nil, err
	}
	return &turn{gate: make(chan struct{}, 1), file: f}, nil
}

// take waits for the turn, and returns what ends it.
func (t *turn) take(ctx context.Context) (end func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("others write to it all the time"))
	defer cancel()
	select {
	case t.gate <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if t.queue(unix.F_OFD_SETLK) == nil {
		return t.end, nil
	}
	done := make(chan error) // not buffered: either this call has the turn, or the goroutine ends it
	go func() {
		err := t.queue(unix.F_OFD_SETLKW)
		select {
		case done <- err:
		case <-ctx.Done():
			t.end()
		}
	}()
	select {
	case err := <-done:
		if err != nil {
			t.end()
			return nil, err
		}
		return t.end, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (t *turn) queue(how int) error {
	if err := t.lock(how, unix.F_WRLCK, door, 1); err != nil {
		return err
	}
	err := t.lock(how, unix.F_WRLCK, desk, 1)
	return errors.Join(err, t.lock(unix.F_OFD_SETLK, unix.F_UNLCK, door, 1))
}

func (t *turn) end() {
	t.lock(unix.F_OFD_SETLK, unix.F_UNLCK, door, bothBytes)
	<-t.gate
}

// lock changes locks of the open file, not of the process: SQLite's are another file's, and no close(2) elsewhere takes them away.
func (t *turn) lock(how int, kind int16, from, count int64) error {
	for {
		err := unix.FcntlFlock(t.file.Fd(), how, &unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: from, Len: count})
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for the turn to write: %w", err)
		}
	}
}
