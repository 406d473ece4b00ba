package evict

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

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

// Running returns how many processes an account has. An error is that this process cannot see them all.
func (m Machine) Running(uid account.UID) (n int, err error) {
	err = m.each(uid, func(process, int) error {
		n++
		return nil
	})
	return n, err
}

// Ask asks all processes of an account to end.
func (m Machine) Ask(uid account.UID) error {
	_, err := m.signal(uid, unix.SIGTERM)
	return err
}

// rounds bound the race against somebody who starts processes as fast as they are killed; the next attempt goes on.
const (
	rounds = 50
	dying  = 10 * time.Millisecond
)

// Kill kills all processes of an account: those of its slice at once, where there is one, then those that are found, until none
// is found. Those that the kernel does not let go of, as long as a disk or a server does not answer, are an error.
func (m Machine) Kill(uid account.UID) error {
	if uid < minUID {
		return fmt.Errorf("uid %d is the system's", uid)
	}
	dir := m.Slices
	if dir == "" {
		dir = "/sys/fs/cgroup/user.slice"
	}
	slice := filepath.Join(dir, fmt.Sprintf("user-%d.slice", uid), "cgroup.kill")
	if err := os.WriteFile(slice, []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
		return err
	}
	// First they are all stopped: one that is killed makes room for another, where the number of processes is limited. Not for
	// ever, where others start them: those that are there are killed then.
	seen, what := map[int]bool{}, unix.SIGSTOP
	var left []process
	for n := range rounds {
		var err error
		if left, err = m.signal(uid, what); err != nil || len(left) == 0 {
			return err
		}
		before := len(seen)
		for _, p := range left {
			seen[p.pid] = true
		}
		switch {
		case len(seen) > before && (what != unix.SIGSTOP || n < rounds/2):
		case what == unix.SIGSTOP:
			what = unix.SIGKILL
		default:
			time.Sleep(dying)
		}
	}
	return fmt.Errorf("%d processes are still there after SIGKILL, such as %d in state %c", len(left), left[0].pid, left[0].state)
}

// signal sends a signal to all processes of an account, and returns those that it found.
func (m Machine) signal(uid account.UID, what unix.Signal) (found []process, err error) {
	if uid < minUID {
		return nil, fmt.Errorf("uid %d is the system's", uid)
	}
	err = m.each(uid, func(p process, fd int) error {
		found = append(found, p)
		err := unix.PidfdSendSignal(fd, what, nil, 0)
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		return err
	})
	return found, err
}

// process is one of an account's.
type process struct {
	pid   int
	state byte // as proc_pid_status(5) has it
}

// each calls do for every process of an account. The process is held by a descriptor before it is looked at: by its number alone it
// could be another's a moment later.
func (m Machine) each(uid account.UID, do func(p process, fd int) error) error {
	if err := m.hidden(); err != nil {
		return err
	}
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
		if err != nil {
			continue
		}
		if _, ours, err := m.of(pid, uid); err != nil || !ours {
			problems = append(problems, err)
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
		state, ours, err := m.of(pid, uid)
		if err == nil && ours {
			err = do(process{pid, state}, fd)
		}
		problems = append(problems, err)
		unix.Close(fd)
	}
	return errors.Join(problems...)
}

// of says whether a process is an account's: it was started by it (sudo and passwd run as root, for it) or can become it again.
// A daemon of root's that acts for a user for a moment is not the user's.
func (m Machine) of(pid int, uid account.UID) (state byte, ours bool, err error) {
	text, err := os.ReadFile(filepath.Join(m.proc(), strconv.Itoa(pid), "status"))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	said := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		said[name] = strings.Fields(value)
	}
	ids, states, threads := said["Uid"], said["State"], said["Threads"]
	if len(ids) != 4 || len(states) == 0 || len(threads) != 1 {
		return 0, false, fmt.Errorf("process %d: a status without ids, state or threads", pid)
	}
	state = states[0][0]
	want := strconv.FormatUint(uint64(uid), 10)
	// A process whose first thread has ended is shown as dead, whatever its others do.
	dead := state == 'X' || state == 'Z' && threads[0] == "1"
	return state, !dead && (ids[0] == want || ids[2] == want), nil
}

// hidden says why /proc does not show this process everybody's: nobody must be called ended for that. Mounted with hidepid it
// shows others to the group that it names, root's if none, and to who may trace them.
func (m Machine) hidden() error {
	text, err := os.ReadFile(filepath.Join(m.proc(), "self/mountinfo"))
	if err != nil {
		return err
	}
	var hide, group string
	for line := range strings.Lines(string(text)) {
		field := strings.Fields(line)
		if len(field) < 10 || field[4] != m.proc() {
			continue
		}
		hide, group = "", "0"
		for option := range strings.SplitSeq(field[len(field)-1], ",") { // the last mount is the one that is seen
			switch name, value, _ := strings.Cut(option, "="); name {
			case "hidepid":
				hide = value
			case "gid":
				group = value
			}
		}
	}
	gid, err := strconv.Atoi(group)
	groups, groupsErr := os.Getgroups()
	switch {
	case hide == "" || hide == "off" || hide == "0" || mayTrace():
		return nil
	case hide != "ptraceable" && hide != "4" && err == nil && groupsErr == nil && (gid == os.Getegid() || slices.Contains(groups, gid)):
		return nil
	}
	return fmt.Errorf("%s hides processes (hidepid=%s); run: systemctl edit pwb-worker, and add there, below [Service], SupplementaryGroups=%s", m.proc(), hide, group)
}

func mayTrace() bool {
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_PTRACE) != 0
}
