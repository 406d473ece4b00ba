package main

import (
	"bytes"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// cgroupMounts are where systemd has the unified hierarchy: alone, or beside those of version 1.
var cgroupMounts = []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}

// leaveCgroup takes this process out of a control group that somebody but root can write. A worker that was started for one call
// is in its host's: with su, in one that the user may have made (systemd-run --user --scope). Whoever owns a group can stop
// what is in it (cgroup.freeze), root's processes too, and this one while it holds the lock that every login waits for. It goes
// to where the first process is, which nobody but root stops. Before that it holds nothing.
func leaveCgroup() error {
	mount := cgroupMount()
	own, first := cgroupOf("self"), cgroupOf("1")
	if mount == "" || own == first || first == "" || !othersCgroup(mount, own) {
		return nil
	}
	return os.WriteFile(path.Join(mount, first, "cgroup.procs"), []byte("0"), 0)
}

func cgroupMount() string {
	var fs unix.Statfs_t
	for _, mount := range cgroupMounts {
		if unix.Statfs(mount, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
			return mount
		}
	}
	return ""
}

// cgroupOf returns a process's place in the unified hierarchy, or "".
func cgroupOf(pid string) string {
	text, _ := os.ReadFile(path.Join("/proc", pid, "cgroup"))
	for line := range bytes.Lines(text) {
		if place, ok := bytes.CutPrefix(line, []byte("0::")); ok {
			return path.Clean(string(bytes.TrimSuffix(place, []byte("\n"))))
		}
	}
	return ""
}

// othersCgroup says whether a group, or one above it, is not root's, or cannot be looked at.
func othersCgroup(mount, place string) bool {
	for ; place != "/" && place != "." && place != ""; place = path.Dir(place) {
		var st unix.Stat_t
		if err := unix.Stat(path.Join(mount, place), &st); err != nil || st.Uid != 0 {
			return true
		}
	}
	return false
}
