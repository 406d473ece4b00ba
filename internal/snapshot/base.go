package snapshot

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Contents is everything that a snapshot shows.
type Contents struct {
	Origin   [16]byte // which store it is of
	Revision int64    // of that store
	Users    []User
	Groups   []Group
}

// layout says where everything of a new file will be.
type layout struct {
	index   [4]index
	records int
	tail    int // the end of the records that are written
	size    int
}

func (c *Contents) layout() layout {
	var l layout
	at := headerLen
	for i, entries := range []int{len(c.Users), len(c.Users), len(c.Groups), len(c.Groups)} {
		slots := uint32(float64(entries)/buildLoad) + 1024 // room for the first changes of a small file
		l.index[i] = index{at, slots}
		at += 8 * int(slots)
	}
	l.records = at
	for i := range c.Users {
		at += c.Users[i].size()
	}
	largest := 0
	for i := range c.Groups {
		size := c.Groups[i].size()
		largest = max(largest, size)
		at += size
	}
	l.tail = at
	const page = 4096
	// Members come to a large group one by one, and each is a new record of all.
	ofLargest := min(largeChanges*largest, largeSpare*leastSpare)
	l.size = (at + max((at-l.records)/spareShare, leastSpare, ofLargest) + page - 1) &^ (page - 1)
	return l
}

// build writes a whole file into f, which is new and empty.
func (c *Contents) build(f *os.File) error {
	l := c.layout()
	if l.size/8 >= 1<<32 {
		return errors.New("over 32 GiB")
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(l.size)); errors.Is(err, unix.EOPNOTSUPP) { // room now, or a signal later
		if err = f.Truncate(int64(l.size)); err != nil {
			return err
		}
	} else if err != nil {
		return fmt.Errorf("make room for %d bytes: %w", l.size, err)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, l.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	err = c.fill(b, l)
	return errors.Join(err, unix.Munmap(b))
}

func (c *Contents) fill(b []byte, l layout) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := faulted(recover()); fault != nil { // no room, on a file system that cannot promise any
			err = fault
		}
	}()
	file := &file{bytes: b, index: l.index, records: l.records}
	var key [16]byte
	rand.Read(key[:])
	file.key = [2]uint64{le.Uint64(key[:]), le.Uint64(key[8:])}
	out := b[l.records:l.records]
	for i := range c.Users {
		u := &c.Users[i]
		unit := uint32((l.records + len(out)) / 8)
		out = u.append(out)
		if err := file.insert(byUserName, []byte(u.Name), unit); err != nil {
			return fmt.Errorf("user %q: %w", u.Name, err)
		}
		if err := file.insert(byUID, idKey(u.UID), unit); err != nil {
			return fmt.Errorf("user %q, uid %d: %w", u.Name, u.UID, err)
		}
	}
	for i := range c.Groups {
		g := &c.Groups[i]
		unit := uint32((l.records + len(out)) / 8)
		out = g.append(out)
		if err := file.insert(byGroupName, []byte(g.Name), unit); err != nil {
			return fmt.Errorf("group %q: %w", g.Name, err)
		}
		if err := file.insert(byGID, idKey(g.GID), unit); err != nil {
			return fmt.Errorf("group %q, gid %d: %w", g.Name, g.GID, err)
		}
	}
	copy(b, magic)
	le.PutUint32(b[atVersion:], version)
	le.PutUint32(b[atHeaderLen:], headerLen)
	le.PutUint64(b[atFileLen:], uint64(l.size))
	copy(b[atKey:], key[:])
	for i, x := range l.index {
		le.PutUint64(b[atIndex+16*i:], uint64(x.off))
		le.PutUint32(b[atIndex+16*i+8:], x.cap)
	}
	copy(b[atOrigin:], c.Origin[:])
	le.PutUint64(b[atCreated:], uint64(time.Now().Unix()))
	le.PutUint64(b[atRecords:], uint64(l.records))
	le.PutUint32(b[atStaticSum:], checksum(b[:staticLen]))
	le.PutUint64(b[atTail:], uint64(l.tail))
	le.PutUint64(b[atRevision:], uint64(c.Revision))
	le.PutUint32(b[atUsers:], uint32(len(c.Users)))
	le.PutUint32(b[atGroups:], uint32(len(c.Groups)))
	boot, err := bootID()
	copy(b[atBoot:], boot[:])
	return err
}

var errLongRun = errors.New("too many names meet in one place of the index")

// insert puts an entry into an index of a file that nobody reads yet. That keys differ is for the caller to see to.
func (f *file) insert(i int, key []byte, unit uint32) error {
	x, h := f.index[i], hash(f.key, key)
	at := x.first(h)
	for range min(x.cap, maxProbe) {
		p := f.word(x.off + 8*int(at))
		if *p == 0 {
			*p = h>>32<<32 | uint64(unit)
			return nil
		}
		if at++; at == x.cap {
			at = 0
		}
	}
	return errLongRun
}

// distinct refuses names and ids that are there twice, and entries that no reader would show.
func (c *Contents) distinct() error {
	names, ids := make(map[string]bool, len(c.Users)), make(map[uint32]bool, len(c.Users))
	for i := range c.Users {
		u := &c.Users[i]
		if err := u.Check(); err != nil {
			return err
		}
		if names[u.Name] || ids[u.UID] {
			return fmt.Errorf("user %q, uid %d: %w: name or uid is there twice", u.Name, u.UID, ErrEntry)
		}
		names[u.Name], ids[u.UID] = true, true
	}
	clear(names)
	clear(ids)
	for i := range c.Groups {
		g := &c.Groups[i]
		if err := g.Check(); err != nil {
			return err
		}
		if names[g.Name] || ids[g.GID] {
			return fmt.Errorf("group %q, gid %d: %w: name or gid is there twice", g.Name, g.GID, ErrEntry)
		}
		names[g.Name], ids[g.GID] = true, true
	}
	return nil
}

// replace writes a whole file aside, makes it durable, and puts it in the place of what is there.
func (c *Contents) replace(path string) (err error) {
	if err := c.distinct(); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	err = c.build(tmp)
	if err == nil {
		err = errors.Join(tmp.Chmod(0o644), tmp.Sync())
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// bootID tells one run of the kernel from another. What was written in place before a crash of the machine may be on the disk in
// any order, so a file of another run is not changed but written anew.
var bootID = sync.OnceValues(func() (id [16]byte, err error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id, err
	}
	n := 0
	for _, c := range text {
		digit, ok := hexDigit(c)
		if !ok {
			continue
		}
		if n == 32 {
			break
		}
		id[n/2] |= digit << (4 * (1 - n%2))
		n++
	}
	if n != 32 {
		return id, errors.New("boot_id is no UUID")
	}
	return id, nil
})

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
