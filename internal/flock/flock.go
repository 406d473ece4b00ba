// Package flock waits for locks of whole files (flock(2)) no longer than its caller can. It promises that a holder who never lets
// go, such as a process that was stopped, costs those who wait for one lock a bounded time each, and one thread all together.
package flock

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// Line is where the goroutines of this process wait for one lock, one behind the other.
type Line struct{ head chan struct{} } // holds one: who asks the kernel, which ends with the lock alone

// NewLine makes a line in which nobody waits.
func NewLine() Line { return Line{make(chan struct{}, 1)} }

// Lock takes the lock of fd, or gives up when ctx ends and returns the cause. It owns fd until it has returned nil, and closes it
// when it does not.
func (l Line) Lock(ctx context.Context, fd int) error {
	err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return nil
	}
	if !errors.Is(err, unix.EWOULDBLOCK) {
		unix.Close(fd)
		return err
	}
	select {
	case l.head <- struct{}{}:
	case <-ctx.Done():
		unix.Close(fd)
		return context.Cause(ctx)
	}
	done := make(chan error) // not buffered: either this call gets the lock, or the goroutine lets go of it
	abandoned := make(chan struct{})
	go func() {
		defer func() { <-l.head }()
		err := unix.Flock(fd, unix.LOCK_EX)
		for errors.Is(err, unix.EINTR) {
			err = unix.Flock(fd, unix.LOCK_EX)
		}
		select {
		case done <- err:
		case <-abandoned:
			unix.Close(fd)
		}
	}()
	select {
	case err := <-done:
		if err != nil {
			unix.Close(fd)
		}
		return err
	case <-ctx.Done():
		close(abandoned)
		return context.Cause(ctx)
	}
}
