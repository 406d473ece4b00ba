package homedir

import (
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// folder is a directory of the tree, as its names from the top. Trees are as deep as somebody made them: no path is ever
// whole in a system call, no descriptor stays open on the way, and nothing recurses.
type folder struct {
	parent *folder // nil at the top
	name   string
}

// names returns the way from the top.
func (f *folder) names() []string {
	depth := 0
	for at := f; at.parent != nil; at = at.parent {
		depth++
	}
	out := make([]string, depth)
	for at := f; at.parent != nil; at = at.parent {
		depth--
		out[depth] = at.name
	}
	return out
}

// path returns the way from the top below root, however long.
func (f *folder) path(root, name string) string {
	return strings.Join(append(append([]string{root}, f.names()...), name), "/")
}

// piece is how much of a path one system call gets: PATH_MAX counts the NUL, and a margin.
const piece = unix.PathMax - 96

// open opens the folder below top for reading. Links are not followed on the way: in the copy there are none, and what is in
// the skeleton under a directory's name is a directory.
func (f *folder) open(top int) (int, error) {
	fd := -1
	names := f.names()
	for first := true; first || len(names) > 0; first = false {
		n, length := 0, 0
		for n < len(names) && length+len(names[n])+1 <= piece {
			length += len(names[n]) + 1
			n++
		}
		from := fd
		if first {
			from = top
		}
		next, err := openBeneath(from, strings.Join(names[:n], "/"))
		if !first {
			unix.Close(fd)
		}
		if err != nil {
			return -1, err
		}
		fd, names = next, names[n:]
	}
	return fd, nil
}

func openBeneath(dir int, rel string) (int, error) {
	if rel == "" {
		rel = "."
	}
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NOFOLLOW,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd, err := unix.Openat2(dir, rel, &how)
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		return fd, err
	}
	// Linux before 5.6, or a filter that does not know the call: one component at a time.
	at := -1
	for name := range strings.SplitSeq(rel, "/") {
		from := at
		if at < 0 {
			from = dir
		}
		next, err := openDir(from, name, unix.O_RDONLY)
		if at >= 0 {
			unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at, nil
}

// hand is one thread of a walk and what it works with.
type hand struct {
	exact bool // modes given at creation are the modes that files get: the thread's umask is 0
	buf   []byte
	label *labeller // nil without SELinux
}

// newHand makes the calling thread, which is locked to its goroutine, one that copies.
func (j *job) newHand() *hand {
	h := &hand{exact: privateThread(), buf: make([]byte, smallFile)}
	if j.labels != nil {
		h.label = &labeller{job: j, fd: -1}
	}
	return h
}

func (h *hand) close() { h.label.close() }

// walk visits folders, each once, in no order but parents first. It begins with one thread and takes more when the tree turns
// out to be large: for three files another thread costs more than it brings.
type walk struct {
	visit   func(*hand, *folder) error
	hand    func() *hand // makes the calling thread another one of the walk
	threads int

	mu      sync.Mutex // guards what follows
	wake    *sync.Cond
	stack   []*folder
	active  int
	helpers int
	err     error
	wg      sync.WaitGroup
}

const largeTree = 8 // folders that wait before another thread helps

// run walks the whole tree on this thread and others, and returns the first error.
func (w *walk) run(h *hand) error {
	w.wake = sync.NewCond(&w.mu)
	w.stack = []*folder{{}}
	w.work(h)
	w.wg.Wait()
	return w.err
}

func (w *walk) work(h *hand) {
	for f := w.next(); f != nil; f = w.next() {
		w.done(guarded(func() error { return w.visit(h, f) }))
	}
}

func (w *walk) next() *folder {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		if w.err != nil || len(w.stack) == 0 && w.active == 0 {
			return nil
		}
		if n := len(w.stack); n > 0 {
			f := w.stack[n-1]
			w.stack = w.stack[:n-1]
			w.active++
			return f
		}
		w.wake.Wait()
	}
}

func (w *walk) done(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active--
	if w.err == nil {
		w.err = err
	}
	w.wake.Broadcast()
}

// push adds a folder to visit.
func (w *walk) push(f *folder) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stack = append(w.stack, f)
	w.wake.Signal()
	if len(w.stack) > largeTree && w.helpers+1 < w.threads {
		w.helpers++
		w.wg.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with its umask, capabilities and label
			h := w.hand()
			defer h.close()
			w.work(h)
		})
	}
}

// entry is a name in a directory with its kind, DT_UNKNOWN where the file system does not say.
type entry struct {
	name string
	kind uint8
}

// list calls each for every entry of an open directory. Names are bytes.
func list(fd int, each func(entry) error) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		// struct linux_dirent64: u64 inode, i64 offset, u16 length, u8 kind, name and NUL
		for rest := buf[:n]; len(rest) >= 19; {
			size := int(binary.NativeEndian.Uint16(rest[16:]))
			name, _, _ := strings.Cut(string(rest[19:size]), "\x00")
			kind := rest[18]
			rest = rest[size:]
			if name == "." || name == ".." {
				continue
			}
			if err := each(entry{name, kind}); err != nil {
				return err
			}
		}
	}
}

// kindOf asks where the directory itself has not said.
func kindOf(dir int, e entry) (uint8, error) {
	if e.kind != unix.DT_UNKNOWN {
		return e.kind, nil
	}
	var st unix.Stat_t
	if err := unix.Fstatat(dir, e.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, err
	}
	return uint8(st.Mode & unix.S_IFMT >> 12), nil
}
