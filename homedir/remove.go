package homedir

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// removeTree removes a building site, by descriptor from top, never through a link and never into another file system. Below the
// top it removes nothing but folders of these users and what is in them: once the site was its owner's, other people's may be there.
func removeTree(parent int, name string, top int, users []uint32) error {
	r := &removal{top: top, users: users}
	var st unix.Stat_t
	if err := unix.Fstat(top, &st); err != nil {
		return err
	}
	r.device = st.Dev
	var found []*folder
	w := &walk{threads: 1}
	w.visit = func(_ *hand, f *folder) error {
		dir, err := r.open(f)
		if err != nil {
			return err
		}
		defer unix.Close(dir)
		found = append(found, f)
		return emptyOfFiles(dir, func(sub string) { w.push(&folder{f, sub}) })
	}
	err := w.run(&hand{})
	for i := len(found) - 1; i > 0 && err == nil; i-- { // children were found after their parents
		err = r.removeFolder(found[i])
	}
	if err == nil {
		if err = unix.Unlinkat(parent, name, unix.AT_REMOVEDIR); errors.Is(err, unix.ENOENT) {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// removal is a building site that goes.
type removal struct {
	top    int
	device uint64
	users  []uint32
}

var (
	errMounted = errors.New("another file system is mounted in it")
	errForeign = errors.New("a folder of somebody else is in it")
)

// open opens a folder of the site, and nothing else.
func (r *removal) open(f *folder) (int, error) {
	dir, err := f.open(r.top)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	err = unix.Fstat(dir, &st)
	switch {
	case err != nil:
	case st.Dev != r.device:
		err = errMounted
	case f.parent != nil && !slices.Contains(r.users, st.Uid):
		err = errForeign
	}
	if err != nil {
		unix.Close(dir)
		return -1, err
	}
	return dir, nil
}

// emptyOfFiles removes everything but directories, and says which there are.
func emptyOfFiles(dir int, sub func(name string)) error {
	var names []string
	err := list(dir, func(e entry) error {
		kind, err := kindOf(dir, e)
		if err == nil && kind == unix.DT_DIR {
			sub(e.name)
		} else if err == nil {
			names = append(names, e.name)
		}
		return err
	})
	for _, n := range names { // after the listing: removing while listing may skip entries
		err = errors.Join(err, unix.Unlinkat(dir, n, 0))
	}
	return err
}

func (r *removal) removeFolder(f *folder) error {
	dir, err := r.open(f.parent)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return unix.Unlinkat(dir, f.name, unix.AT_REMOVEDIR)
}
