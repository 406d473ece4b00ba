package homedir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	smallFile  = 64 << 10 // from here on the kernel copies
	bulk       = 256 << 10
	rangeChunk = 64 << 20 // between two looks at the context
	maxThreads = 4
)

// copier copies the tree below src to dst. Neither can change under it: the skeleton is root's, and nobody can enter the copy.
type copier struct {
	job      *job
	src, dst int  // dst -1 only counts
	inherits bool // modes given at creation are not what files get: an ACL is inherited

	walk    *walk
	entries atomic.Int64
	bytes   atomic.Int64
	skipped atomic.Int64
}

func (c *copier) run() error {
	c.walk = &walk{visit: c.folder, hand: c.job.newHand, threads: min(runtime.GOMAXPROCS(0), maxThreads)}
	err := c.walk.run(c.job.hand)
	c.job.result.Entries, c.job.result.Bytes, c.job.result.Skipped = c.entries.Load(), c.bytes.Load(), c.skipped.Load()
	return err
}

// folder copies one directory's entries; its sub-directories are made, and left for another visit.
func (c *copier) folder(h *hand, f *folder) error {
	src, err := f.open(c.src)
	if err != nil {
		return c.failed(f, "", "open", err)
	}
	defer unix.Close(src)
	dst := -1
	if c.dst >= 0 {
		if dst, err = f.open(c.dst); err != nil {
			return c.failed(f, "", "open the copy of", err)
		}
		defer unix.Close(dst)
	}
	err = list(src, func(e entry) error {
		if err := context.Cause(c.job.ctx); err != nil {
			return err
		}
		return c.entry(h, f, src, dst, e)
	})
	if err != nil || dst < 0 || f.parent == nil { // the top is given away last, by the job
		return err
	}
	return c.finishFolder(f, src, dst)
}

func (c *copier) finishFolder(f *folder, src, dst int) error {
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return c.failed(f, "", "look at", err)
	}
	if err := unix.Fchown(dst, int(c.job.owner.UID), int(c.job.owner.GID)); err != nil {
		return c.failed(f, "", "give away", err)
	}
	if err := unix.Fchmod(dst, c.job.opts.Modes.dir(st.Mode)); err != nil {
		return c.failed(f, "", "set the mode of", err)
	}
	return nil
}

func (c *copier) entry(h *hand, f *folder, src, dst int, e entry) error {
	kind, err := kindOf(src, e)
	if err != nil {
		return c.failed(f, e.name, "look at", err)
	}
	if dst >= 0 {
		err = h.label.next(func() string { return f.path(c.job.home, e.name) }, uint32(kind)<<12)
		if err != nil {
			return c.failed(f, e.name, "label the copy of", err)
		}
	}
	switch kind {
	case unix.DT_DIR:
		if dst >= 0 {
			err = unix.Mkdirat(dst, e.name, 0o700)
		}
		if err == nil {
			c.walk.push(&folder{f, e.name})
		}
	case unix.DT_REG:
		err = c.file(h, src, dst, e.name)
	case unix.DT_LNK:
		err = c.link(src, dst, e.name)
	default: // a FIFO would hang, a device would never end, a socket is nobody's: not even opened
		c.skipped.Add(1)
		return nil
	}
	if err != nil {
		return c.failed(f, e.name, "copy", err)
	}
	c.entries.Add(1)
	c.tell()
	return nil
}

// failed names the entry by its path in the skeleton, as far as a person wants to read it.
func (c *copier) failed(f *folder, name, doing string, err error) error {
	const shown = 200
	path := name
	for at := f; at.parent != nil && len(path) < shown; at = at.parent {
		path = at.name + "/" + path
	}
	if path == "" {
		path = "."
	}
	return fmt.Errorf("%s %q of the skeleton: %w", doing, path, err)
}

func (c *copier) link(src, dst int, name string) error {
	buf := make([]byte, unix.PathMax+1)
	n, err := unix.Readlinkat(src, name, buf)
	if err != nil || dst < 0 {
		return err
	}
	if err := unix.Symlinkat(string(buf[:n]), dst, name); err != nil {
		return err
	}
	return unix.Fchownat(dst, name, int(c.job.owner.UID), int(c.job.owner.GID), unix.AT_SYMLINK_NOFOLLOW)
}

var errKind = errors.New("it has become something else")

func (c *copier) file(h *hand, src, dst int, name string) (err error) {
	in, err := unix.Openat(src, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	var st unix.Stat_t
	if err := unix.Fstat(in, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return errKind
	}
	if dst < 0 {
		c.bytes.Add(st.Size)
		return nil
	}
	mode := c.job.opts.Modes.file(st.Mode)
	out, err := unix.Openat(dst, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(out)) }() // NFS and quotas speak up here
	if err := c.contents(h, in, out, &st); err != nil {
		return err
	}
	if err := unix.Fchown(out, int(c.job.owner.UID), int(c.job.owner.GID)); err != nil {
		return err
	}
	if !h.exact || c.inherits {
		if err := unix.Fchmod(out, mode); err != nil {
			return err
		}
	}
	if !c.job.opts.NoSync && st.Size > 0 {
		unix.SyncFileRange(out, 0, 0, unix.SYNC_FILE_RANGE_WRITE) // begin now what syncTree waits for; only advice
	}
	return nil
}

// contents copies what is in a file: a small one by hand, a large one by the kernel, one with holes piece by piece.
func (c *copier) contents(h *hand, in, out int, st *unix.Stat_t) error {
	switch {
	case st.Size == 0:
		return c.unsized(h, in, out)
	case st.Blocks*512 < st.Size && st.Size >= smallFile:
		return c.sparse(in, out, st.Size)
	case st.Size >= smallFile:
		return c.extent(in, out, 0, st.Size)
	}
	n, err := readFull(in, h.buf[:st.Size])
	if err == nil && int64(n) < st.Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	return c.write(out, h.buf[:n])
}

// unsized copies a file of no bytes, or one whose size nobody tells, as in /proc and on some FUSE file systems.
func (c *copier) unsized(h *hand, in, out int) error {
	for {
		n, err := readFull(in, h.buf)
		if err == nil {
			err = errors.Join(context.Cause(c.job.ctx), c.write(out, h.buf[:n]))
		}
		if err != nil || n < len(h.buf) {
			return err
		}
	}
}

func readFull(fd int, buf []byte) (n int, err error) {
	for n < len(buf) {
		m, err := unix.Read(fd, buf[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || m == 0 {
			return n, err
		}
		n += m
	}
	return n, nil
}

func (c *copier) write(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		c.bytes.Add(int64(n))
		b = b[n:]
	}
	return nil
}

// sparse copies the data between holes, and leaves the holes.
func (c *copier) sparse(in, out int, size int64) error {
	for at := int64(0); at < size; {
		data, err := unix.Seek(in, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // nothing but a hole is left
			break
		}
		if errors.Is(err, unix.EINVAL) { // the file system knows no holes
			return c.extent(in, out, at, size)
		}
		if err != nil {
			return err
		}
		end, err := unix.Seek(in, data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if err := c.extent(in, out, data, min(end, size)); err != nil {
			return err
		}
		at = end
	}
	return unix.Ftruncate(out, size)
}

// extent copies the bytes from at to end. copy_file_range makes a reflink where both sides can.
func (c *copier) extent(in, out int, at, end int64) error {
	for first := true; at < end; first = false {
		if err := context.Cause(c.job.ctx); err != nil {
			return err
		}
		from, to := at, at
		n, err := unix.CopyFileRange(in, &from, out, &to, int(min(end-at, rangeChunk)), 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS),
			errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPERM), err == nil && n == 0 && first:
			return c.byHand(in, out, at, end)
		case err != nil:
			return err
		case n == 0:
			return io.ErrUnexpectedEOF
		}
		at += int64(n)
		c.bytes.Add(int64(n))
		c.tell()
	}
	return nil
}

func (c *copier) byHand(in, out int, at, end int64) error {
	buf := make([]byte, bulk)
	if _, err := unix.Seek(out, at, io.SeekStart); err != nil {
		return err
	}
	for at < end {
		if err := context.Cause(c.job.ctx); err != nil {
			return err
		}
		n, err := unix.Pread(in, buf[:min(end-at, bulk)], at)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		if err := c.write(out, buf[:n]); err != nil {
			return err
		}
		at += int64(n)
		c.tell()
	}
	return nil
}

func (c *copier) tell() {
	if c.dst < 0 {
		return
	}
	c.job.tell(func() Progress { return Progress{Entries: c.entries.Load(), Bytes: c.bytes.Load()} })
}
