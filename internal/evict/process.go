package evict

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/account"
)

// Machine is the processes of this machine, and the slices that systemd keeps people's sessions in.
type Machine struct {
	Proc   string // "" is /proc
	Slices string // "" is /sys/fs/cgroup/user.slice
}

func (m Machine) proc() string {
	if m.Proc == "" {
		return "/proc"
	}
	return m.Proc
}

// Running returns how many processes an account has.
func (m Machine) Running(uid account.UID) (n int, err error) {
	err = m.each(uid, func(int) error {
		n++
		return nil
	})
	return n, err
}

// Ask asks all processes of an account to end.
func (m Machine) Ask(uid account.UID) error { return m.signal(uid, unix.SIGTERM) }

// rounds bound the race against somebody who starts processes as fast as they are killed; the next attempt goes on.
const rounds = 50

// Kill kills all processes of an account: those of its slice at once, where there is one, then those that are found, until none
// is found.
func (m Machine) Kill(uid account.UID) error {
	if uid < minUID {
		return fmt.Errorf("uid %d is the system's", uid)
	}
	slices := m.Slices
	if slices == "" {
		slices = "/sys/fs/cgroup/user.slice"
	}
	slice := filepath.Join(slices, fmt.Sprintf("user-%d.slice", uid), "cgroup.kill")
	if err := os.WriteFile(slice, []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
		return err
	}
	for range rounds {
		n, err := m.Running(uid)
		if err != nil || n == 0 {
			return err
		}
		if err := m.signal(uid, unix.SIGKILL); err != nil {
			return err
		}
	}
	return nil
}

func (m Machine) signal(uid account.UID, what unix.Signal) error {
	if uid < minUID {
		return fmt.Errorf("uid %d is the system's", uid)
	}
	return m.each(uid, func(fd int) error {
		err := unix.PidfdSendSignal(fd, what, nil, 0)
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		return err
	})
}

// each calls do for every process of an account. The process is held by a descriptor before it is looked at: by its number alone it
// could be another's a moment later.
func (m Machine) each(uid account.UID, do func(fd int) error) error {
	dir, err := os.Open(m.proc())
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	var problems []error
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || !m.of(pid, uid) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if m.of(pid, uid) {
			problems = append(problems, do(fd))
		}
		unix.Close(fd)
	}
	return errors.Join(problems...)
}

// of says whether a process is an account's: it was started by it (sudo and passwd run as root, for it) or can become it again.
// A daemon of root's that acts for a user for a moment is not the user's.
func (m Machine) of(pid int, uid account.UID) bool {
	text, err := os.ReadFile(filepath.Join(m.proc(), strconv.Itoa(pid), "status"))
	if err != nil {
		return false
	}
	ours := false
	for line := range bytes.Lines(text) {
		if state, ok := bytes.CutPrefix(line, []byte("State:")); ok && bytes.ContainsAny(state[:min(3, len(state))], "ZX") {
			return false // dead, and waiting for its parent
		}
		if ids, ok := bytes.CutPrefix(line, []byte("Uid:")); ok {
			f := bytes.Fields(ids)
			want := strconv.FormatUint(uint64(uid), 10)
			ours = len(f) == 4 && (string(f[0]) == want || string(f[2]) == want)
		}
	}
	return ours
}
