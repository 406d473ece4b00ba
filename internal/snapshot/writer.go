package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/flock"
)

// ErrFull is returned by Apply when the file has no room: write it anew, with Replace.
var ErrFull = errors.New("no room for changes in the snapshot")

// Writer is the one writer of a snapshot. It is not safe for concurrent use.
type Writer struct {
	path string
	lock *os.File
	file *file // nil when there is none that can be changed
}

// patience is within the ten seconds that a host gives a call: whoever keeps the lock for longer has been stopped, mostly.
const patience = 8 * time.Second

var line = flock.NewLine() // of this process's writers; it writes one snapshot

// Open waits for the lock, until ctx ends and some seconds at most, and opens the snapshot for changes. A file that is not there,
// is damaged, or was last changed before the machine went down is no error: Revision is then -1, and Replace writes it. The folder
// is made when it is missing.
func Open(ctx context.Context, path string) (*Writer, error) {
	dir := filepath.Dir(path)
	if err := makeFolder(dir); err != nil {
		return nil, fmt.Errorf("open the snapshot: %w", err)
	}
	if err := ownFolder(dir); err != nil {
		return nil, fmt.Errorf("open the snapshot: %w", err)
	}
	name := filepath.Join(dir, ".lock")
	lock, err := unix.Open(name, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the snapshot: %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("another process keeps %s; fuser(1) says which", name))
	defer cancel()
	if err := line.Lock(ctx, lock); err != nil {
		return nil, fmt.Errorf("lock the snapshot: %w", err)
	}
	w := &Writer{path: path, lock: os.NewFile(uintptr(lock), name)}
	w.file = mapForChange(path)
	return w, nil
}

// makeFolder makes the folder when it is missing, open to every reader whatever the umask of the host that began all this.
func makeFolder(dir string) error {
	err := os.MkdirAll(filepath.Dir(dir), 0o755)
	if err == nil {
		err = os.Mkdir(dir, 0o755)
	}
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

// ownFolder refuses a folder that another user could put a file into.
func ownFolder(dir string) error {
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if uid := st.Sys().(*syscall.Stat_t).Uid; !st.IsDir() || st.Mode().Perm()&0o022 != 0 || uid != 0 && int(uid) != os.Geteuid() {
		return fmt.Errorf("%s must be a folder that only root can write (mode %v, uid %d)", dir, st.Mode(), uid)
	}
	return nil
}

// mapForChange maps a file that is whole and of this run of the machine, or nil.
func mapForChange(path string) *file {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size < headerLen || int(st.Uid) != os.Geteuid() {
		return nil
	}
	b, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil
	}
	f, err := parseHeader(b)
	boot, bootErr := bootID()
	tail := uint64(0)
	if err == nil {
		tail = f.load(atTail)
	}
	if err != nil || bootErr != nil || [16]byte(b[atBoot:]) != boot || tail%8 != 0 || tail < uint64(f.records) || tail > uint64(len(b)) {
		unix.Munmap(b)
		return nil
	}
	return f
}

// Close lets the next writer in.
func (w *Writer) Close() error {
	w.unmap()
	return w.lock.Close()
}

func (w *Writer) unmap() {
	if w.file != nil {
		unix.Munmap(w.file.bytes)
		w.file = nil
	}
}

// Revision is the store's revision that the file shows, or -1: it has to be written anew.
func (w *Writer) Revision() int64 {
	if w.file == nil {
		return -1
	}
	return int64(w.file.load(atRevision))
}

// Origin says which store the file is of.
func (w *Writer) Origin() (id [16]byte) {
	if w.file != nil {
		copy(id[:], w.file.bytes[atOrigin:])
	}
	return id
}

// Replace writes the whole snapshot anew. Readers of the old file are told when the new one is in its place.
func (w *Writer) Replace(c *Contents) error {
	if err := c.replace(w.path); err != nil {
		return fmt.Errorf("write the snapshot %s: %w", w.path, err)
	}
	w.supersede()
	w.unmap()
	w.file = mapForChange(w.path)
	return nil
}

// Change is one user or one group that is to be shown anew, or no more. Exactly one of its pointers is set.
type Change struct {
	User    *User
	Group   *Group
	Removed bool
}

// Apply shows changes in place: each reader sees each change whole or not at all, at once. When it has returned, the file's
// revision is the given one. After ErrFull some changes may be shown; each can be applied again.
func (w *Writer) Apply(revision int64, changes ...Change) (err error) {
	if w.file == nil {
		return ErrFull
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := faulted(recover()); fault != nil { // the file was cut short, or its disk is full or broken: not this process's end
			err = fmt.Errorf("%w: %w", ErrFull, fault)
		}
	}()
	for _, c := range changes {
		var err error
		switch {
		case c.User != nil && c.Removed:
			w.removeUser(c.User.UID)
		case c.User != nil:
			err = w.putUser(*c.User)
		case c.Group != nil && c.Removed:
			w.removeGroup(c.Group.GID)
		case c.Group != nil:
			err = w.putGroup(*c.Group)
		}
		if err != nil {
			return err
		}
	}
	w.file.store(atRevision, uint64(revision)) // last: until then the next writer begins again
	return nil
}

// supersede tells the readers of the file that was. When it was cut short, they find out by its path.
func (w *Writer) supersede() {
	if w.file == nil {
		return
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { faulted(recover()) }()
	atomic.StoreUint32(w.file.word32(atSuperseded), 1)
}

// faulted turns the kernel's "this page cannot be" (SIGBUS) into an error. Other panics go on.
func faulted(p any) error {
	if p == nil {
		return nil
	}
	if fault, ok := p.(interface {
		error
		Addr() uintptr
	}); ok {
		return fault
	}
	panic(p)
}

// add writes a record behind all others. Nobody looks at it until a slot names it.
func (w *Writer) add(size int, write func([]byte) []byte) (unit uint32, err error) {
	f := w.file
	tail := int(f.load(atTail))
	if size > len(f.bytes)-tail {
		return 0, ErrFull
	}
	f.store(atTail, uint64(tail+size))
	write(f.bytes[tail : tail : tail+size])
	return uint32(tail / 8), nil
}

// room says whether indexes can take one more entry. Tombstones count: they make searches as long as entries do.
func (w *Writer) room(i int, count int) bool {
	used := float64(le.Uint32(w.file.bytes[count:])) + float64(le.Uint32(w.file.bytes[count+24:]))
	return used+1 <= fullLoad*float64(w.file.index[i].cap)
}

func (w *Writer) putUser(u User) error {
	if err := u.Check(); err != nil {
		return err
	}
	f := w.file
	old, at, there := f.userByUID(u.UID)
	if there && old.Name == u.Name && old.GID == u.GID && old.Gecos == u.Gecos && old.Home == u.Home && old.Shell == u.Shell && slices.Equal(old.Groups, u.Groups) {
		return w.slotsOfUser(u.Name, u.UID, uint32(f.slot(byUID, at)))
	}
	unit, err := w.add(u.size(), u.append)
	if err != nil {
		return err
	}
	if err := w.slotsOfUser(u.Name, u.UID, unit); err != nil {
		return err
	}
	if there && old.Name != u.Name {
		w.forgetName(byUserName, old.Name, atUsers, func(unit uint32) bool { one, ok := f.user(unit); return ok && one.Name == old.Name && one.UID == u.UID })
	}
	return nil
}

// slotsOfUser makes name and id lead to a record: the name first, so that whoever finds the id finds the name.
func (w *Writer) slotsOfUser(name string, uid, unit uint32) error {
	f := w.file
	err := w.link(byUserName, []byte(name), unit, atUsers, func(unit uint32) bool { one, ok := f.user(unit); return ok && one.Name == name })
	if err != nil {
		return err
	}
	return w.link(byUID, idKey(uid), unit, 0, func(unit uint32) bool { one, ok := f.user(unit); return ok && one.UID == uid })
}

func (w *Writer) putGroup(g Group) error {
	if err := g.Check(); err != nil {
		return err
	}
	f := w.file
	old, at, there := f.groupByGID(g.GID)
	if there && old.Name == g.Name && slices.Equal(old.Members, g.Members) {
		return w.slotsOfGroup(g.Name, g.GID, uint32(f.slot(byGID, at)))
	}
	unit, err := w.add(g.size(), g.append)
	if err != nil {
		return err
	}
	if err := w.slotsOfGroup(g.Name, g.GID, unit); err != nil {
		return err
	}
	if there && old.Name != g.Name {
		w.forgetName(byGroupName, old.Name, atGroups, func(unit uint32) bool {
			one, ok := f.group(unit)
			return ok && one.Name == old.Name && one.GID == g.GID
		})
	}
	return nil
}

func (w *Writer) slotsOfGroup(name string, gid, unit uint32) error {
	f := w.file
	err := w.link(byGroupName, []byte(name), unit, atGroups, func(unit uint32) bool { one, ok := f.group(unit); return ok && one.Name == name })
	if err != nil {
		return err
	}
	return w.link(byGID, idKey(gid), unit, 0, func(unit uint32) bool { one, ok := f.group(unit); return ok && one.GID == gid })
}

// link makes a key lead to a record, by one store: in the slot that it has, or in a free one.
func (w *Writer) link(i int, key []byte, unit uint32, count int, is func(uint32) bool) error {
	f := w.file
	at, found, free, ok := f.find(i, key, is)
	value := f.slotValue(key, unit)
	switch {
	case found && f.slot(i, at) == value:
		return nil
	case found:
		f.put(i, at, value)
		return nil
	case !ok || count != 0 && !w.room(i, count):
		return ErrFull
	}
	if count != 0 {
		w.count(count, 1)
	}
	f.put(i, free, value)
	return nil
}

// count keeps the numbers by which a full file is known; after a crash they are a little off, and the file is a little fuller.
func (w *Writer) count(at int, by int32) {
	atomic.AddUint32(w.file.word32(at), uint32(by))
}

// forgetName takes a name's slot away, if it still leads to the entry that is meant.
func (w *Writer) forgetName(i int, name string, count int, is func(uint32) bool) {
	if at, found, _, _ := w.file.find(i, []byte(name), is); found {
		w.file.put(i, at, tombstone)
		w.count(count, -1)
		w.count(count+24, 1)
	}
}

// removeUser takes the id away first: a listing goes by ids.
func (w *Writer) removeUser(uid uint32) {
	f := w.file
	u, at, found := f.userByUID(uid)
	if !found {
		return
	}
	f.put(byUID, at, tombstone)
	w.forgetName(byUserName, u.Name, atUsers, func(unit uint32) bool { one, ok := f.user(unit); return ok && one.Name == u.Name && one.UID == uid })
}

func (w *Writer) removeGroup(gid uint32) {
	f := w.file
	g, at, found := f.groupByGID(gid)
	if !found {
		return
	}
	f.put(byGID, at, tombstone)
	w.forgetName(byGroupName, g.Name, atGroups, func(unit uint32) bool { one, ok := f.group(unit); return ok && one.Name == g.Name && one.GID == gid })
}
