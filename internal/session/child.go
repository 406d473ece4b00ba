package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/passwd"
)

const (
	defaultPath    = "/usr/local/bin:/usr/bin:/bin"
	defaultShell   = "/bin/sh"
	statusNoExec   = 126
	statusNotFound = 127
)

// child is the command of a session, ready to be started.
type child struct {
	plan    *Plan
	account passwd.Entry
	groups  []account.GID
	path    string // of the program
	argv    []string
	env     map[string]string
}

func newChild(plan *Plan, acct passwd.Entry, groups []account.GID, fromStack map[string]string) *child {
	c := &child{plan: plan, account: acct, groups: groups, env: map[string]string{
		"HOME": acct.Home, "LOGNAME": acct.Name, "USER": acct.Name, "SHELL": acct.Shell, "PATH": defaultPath,
	}}
	if c.env["SHELL"] == "" {
		c.env["SHELL"] = defaultShell // passwd(5)
	}
	if term := os.Getenv("TERM"); term != "" && isTerminal(plan.Stdin) {
		c.env["TERM"] = term
	}
	maps.Copy(c.env, fromStack)
	c.argv = plan.Command
	if len(c.argv) == 0 {
		c.path = c.env["SHELL"]
		c.argv = []string{"-" + filepath.Base(c.path)}
	} else {
		c.path = look(c.argv[0], c.env["PATH"])
	}
	return c
}

// look finds a command as execvp(3) would in the session's own PATH. What is not found is left as it is, for the kernel's word.
func look(name, path string) string {
	if strings.Contains(name, "/") {
		return name
	}
	for _, dir := range filepath.SplitList(path) {
		full := filepath.Join(dir, name)
		if st, err := os.Stat(full); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return full
		}
	}
	return name
}

func (c *child) environ() []string {
	out := make([]string, 0, len(c.env))
	for _, name := range slices.Sorted(maps.Keys(c.env)) {
		out = append(out, name+"="+c.env[name])
	}
	return out
}

// command builds the process. The ids are taken in the child, between fork and execve: this process stays what it is, and
// still has to close the session.
func (c *child) command(dir string) *exec.Cmd {
	groups := make([]uint32, len(c.groups))
	for i, g := range c.groups {
		groups[i] = uint32(g)
	}
	return &exec.Cmd{
		Path: c.path, Args: c.argv, Env: c.environ(), Dir: dir,
		Stdin: c.plan.Stdin, Stdout: c.plan.Stdout, Stderr: c.plan.Stderr,
		SysProcAttr: &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: uint32(c.account.UID), Gid: uint32(c.account.GID), Groups: groups},
			// A session of its own: the caller's terminal cannot be typed into from it (CVE-2016-2779).
			Setsid: true,
		},
	}
}

// run starts the command, passes signals on, and waits for it.
func (c *child) run(ctx context.Context) (int, error) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH)
	defer signal.Stop(signals)
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	keepDescriptors()
	if isTerminal(c.plan.Stdin) && isTerminal(c.plan.Stdout) {
		return c.runOnTerminal(signals)
	}
	cmd, status := c.start(c.command)
	if cmd == nil {
		return status, nil
	}
	return wait(cmd, signals, nil)
}

// keepDescriptors keeps whatever else this process was given from the command, which is somebody else's: only 0 to 2 are its.
func keepDescriptors() {
	if unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	names, _ := os.ReadDir("/proc/self/fd") // Linux before 5.11
	for _, name := range names {
		if fd, err := strconv.Atoi(name.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

// start starts the command in the account's home, or in / when it cannot be entered, as login(1) does.
func (c *child) start(build func(dir string) *exec.Cmd) (*exec.Cmd, int) {
	cmd := build(c.account.Home)
	err := cmd.Start()
	var path *os.PathError
	if errors.As(err, &path) && path.Op == "chdir" {
		fmt.Fprintf(c.plan.Stderr, "pwb: enter the home directory %q: %v; going on in /\n", c.account.Home, path.Err)
		cmd = build("/")
		err = cmd.Start()
	}
	if err == nil {
		return cmd, 0
	}
	fmt.Fprintf(c.plan.Stderr, "pwb: run %q: %v\n", c.path, reason(err))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		return nil, statusNotFound
	}
	return nil, statusNoExec
}

func reason(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// runOnTerminal gives the command a terminal of its own and stands between it and the caller's.
func (c *child) runOnTerminal(signals <-chan os.Signal) (int, error) {
	master, slave, err := openTerminal(c.account.UID, c.plan.Stdin)
	if err != nil {
		return 0, err
	}
	defer master.Close()
	cmd, status := c.start(func(dir string) *exec.Cmd {
		cmd := c.command(dir)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr.Setctty = true
		return cmd
	})
	slave.Close()
	if cmd == nil {
		return status, nil
	}
	restore, err := setTerminal(c.plan.Stdin, raw)
	if err == nil {
		defer restore()
	}
	shown := make(chan struct{})
	go func() {
		io.Copy(c.plan.Stdout, master) // ends with EIO when the last process of the session has closed the terminal
		close(shown)
	}()
	go io.Copy(master, c.plan.Stdin)
	status, err = wait(cmd, signals, func() { copySize(master, c.plan.Stdin) })
	drain(master, shown)
	return status, err
}

// wait passes signals to the command's process group until the command ends.
func wait(cmd *exec.Cmd, signals <-chan os.Signal, resized func()) (int, error) {
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if s == unix.SIGWINCH {
				if resized != nil {
					resized()
				}
				continue
			}
			unix.Kill(-cmd.Process.Pid, s.(syscall.Signal))
		case err := <-done:
			return exitStatus(cmd, err)
		}
	}
}

func exitStatus(cmd *exec.Cmd, err error) (int, error) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, fmt.Errorf("wait for %q: %w", cmd.Path, err)
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}
