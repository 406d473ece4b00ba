package homedir

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// removeTree removes a building site, by descriptor from top, never through a link and never into another file system. What
// belongs to somebody else by now is not ours to remove: the site is root's from beginning to end.
func removeTree(parent int, name string, top int) error {
	var site unix.Stat_t
	if err := unix.Fstat(top, &site); err != nil {
		return err
	}
	var found []*folder
	w := &walk{threads: 1}
	w.visit = func(_ *hand, f *folder) error {
		dir, err := f.open(top)
		if err != nil {
			return err
		}
		defer unix.Close(dir)
		var st unix.Stat_t
		if err := unix.Fstat(dir, &st); err != nil {
			return err
		}
		if st.Dev != site.Dev {
			return fmt.Errorf("%s: another file system is mounted in it", name)
		}
		found = append(found, f)
		return emptyOfFiles(dir, func(sub string) { w.push(&folder{f, sub}) })
	}
	if err := w.run(&hand{}); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	for i := len(found) - 1; i > 0; i-- { // children were found after their parents
		if err := removeFolder(top, found[i]); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	if err := unix.Unlinkat(parent, name, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
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

func removeFolder(top int, f *folder) error {
	dir, err := f.parent.open(top)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return unix.Unlinkat(dir, f.name, unix.AT_REMOVEDIR)
}
