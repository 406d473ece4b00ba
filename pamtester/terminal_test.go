package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a real one: what stands on it is read from master, and what is written there was typed.
type terminal struct {
	t             *testing.T
	master, slave *os.File
	shown         string
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return &terminal{t: t, master: master, slave: slave}
}

// start runs a command in a session of its own on this terminal, where its standard streams are as well unless they are set.
func (v *terminal) start(cmd *exec.Cmd) {
	v.t.Helper()
	if cmd.Stdin == nil {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = v.slave, v.slave, v.slave
	}
	cmd.ExtraFiles = []*os.File{v.slave}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
	if err := cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { cmd.Process.Kill() })
}

// wait reads until text stands on the terminal, behind what was waited for before.
func (v *terminal) wait(text string) {
	v.t.Helper()
	buffer := make([]byte, 4096)
	for !strings.Contains(v.shown, text) {
		ready := []unix.PollFd{{Fd: int32(v.master.Fd()), Events: unix.POLLIN}}
		if n, err := unix.Poll(ready, 60_000); err == unix.EINTR {
			continue
		} else if n <= 0 || err != nil {
			v.t.Fatalf("no %q, but %q", text, v.shown)
		}
		n, err := v.master.Read(buffer)
		if err != nil {
			v.t.Fatalf("no %q, but %q: %v", text, v.shown, err)
		}
		v.shown += string(buffer[:n])
	}
	v.shown = v.shown[strings.Index(v.shown, text)+len(text):]
}

func (v *terminal) write(text string) {
	v.t.Helper()
	if _, err := v.master.WriteString(text); err != nil {
		v.t.Fatal(err)
	}
}

func (v *terminal) echo() bool {
	v.t.Helper()
	termios, err := unix.IoctlGetTermios(int(v.slave.Fd()), unix.TCGETS)
	if err != nil {
		v.t.Fatal(err)
	}
	return termios.Lflag&unix.ECHO != 0
}

// onTerminal is pamtester with a folder of its own for copies of services.
func onTerminal(t *testing.T, args ...string) (cmd *exec.Cmd, temporary string) {
	t.Helper()
	cmd, temporary = program(t, args...), t.TempDir()
	cmd.Env = append(cmd.Env, "TMPDIR="+temporary)
	return cmd, temporary
}

// wrapped runs a command by another. /proc/self/exe would be that one.
func wrapped(cmd *exec.Cmd, by ...string) *exec.Cmd {
	self, _ := os.Executable()
	outer := exec.Command(by[0], append(append(by[1:], self), cmd.Args[1:]...)...)
	outer.Env = cmd.Env
	return outer
}

// A signal at a hidden question: it ends the program, the terminal has its echo back, and no copy of services is left.
func TestSignalAtHiddenQuestion(t *testing.T) {
	for _, tt := range []struct {
		name   string
		args   []string
		typed  string
		sent   syscall.Signal
		signal syscall.Signal
		shown  string
	}{
		{"Ctrl-C", nil, "\x03", 0, syscall.SIGINT, "\r\n"},
		{"Ctrl-\\", nil, "\x1c", 0, syscall.SIGQUIT, "\r\n"},
		{"INT", nil, "half a pass", syscall.SIGINT, syscall.SIGINT, "\r\n"},
		{"QUIT", nil, "", syscall.SIGQUIT, syscall.SIGQUIT, "\r\n"},
		{"TERM", nil, "", syscall.SIGTERM, syscall.SIGTERM, "\r\n"},
		{"HUP", nil, "", syscall.SIGHUP, syscall.SIGHUP, "\r\n"},
		{"ALRM", nil, "", syscall.SIGALRM, syscall.SIGALRM, "\r\n"},
		{"USR1", nil, "", syscall.SIGUSR1, syscall.SIGUSR1, "\r\n"},
		{"--timeout", []string{"--timeout", "300ms"}, "", 0, syscall.SIGALRM, "\r\npamtester: ended by --timeout after 300ms\r\n"},
	} {
		v := newTerminal(t)
		cmd, temporary := onTerminal(t, append(tt.args, "--stack", showsToken, "svc", "bob", "authenticate")...)
		v.start(cmd)
		v.wait("Password: ")
		if tt.sent == 0 && tt.args == nil && v.echo() { // the time-out may have come
			t.Errorf("%s: a hidden question with echo", tt.name)
		}
		v.write(tt.typed)
		if tt.sent != 0 {
			cmd.Process.Signal(tt.sent)
		}
		v.wait(tt.shown)
		cmd.Wait()
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != tt.signal {
			t.Errorf("%s: ended by %v, want %v", tt.name, status, tt.signal)
		}
		if !v.echo() {
			t.Errorf("%s: the terminal has no echo", tt.name)
		}
		if left, _ := os.ReadDir(temporary); len(left) != 0 {
			t.Errorf("%s: %v is left", tt.name, left)
		}
	}
}

// A signal that the caller ignores is ignored at a question as well.
func TestIgnoredSignalAtHiddenQuestion(t *testing.T) {
	v := newTerminal(t)
	cmd, _ := onTerminal(t, "--stack", showsToken, "svc", "bob", "authenticate")
	cmd = wrapped(cmd, "env", "--ignore-signal=HUP")
	v.start(cmd)
	v.wait("Password: ")
	cmd.Process.Signal(syscall.SIGHUP)
	v.write("hunter2\n")
	v.wait("\r\nhunter2\r\npamtester: successfully authenticated\r\n")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// Ctrl-Z at a hidden question stops the program after the answer, with echo on; fg goes on.
func TestStopAtHiddenQuestion(t *testing.T) {
	v := newTerminal(t)
	cmd, _ := onTerminal(t, "--stack", showsToken, "svc", "bob", "authenticate")
	shell := wrapped(cmd, "sh", "-c", `set -m; "$@"; echo "stopped $?"; fg; echo "went on $?"`, "sh")
	v.start(shell)
	v.wait("Password: ")
	v.write("\x1a")
	v.write("hunter2\n")
	v.wait("stopped 148\r\n")
	if !v.echo() {
		t.Error("stopped, the terminal has no echo")
	}
	v.wait("hunter2\r\npamtester: successfully authenticated\r\nwent on 0\r\n")
	if err := shell.Wait(); err != nil {
		t.Error(err)
	}
	if !v.echo() {
		t.Error("at the end the terminal has no echo")
	}
}

// A question that may be seen: the terminal shows what is typed, and what was typed before the question is no answer to it.
func TestVisibleQuestion(t *testing.T) {
	v := newTerminal(t)
	cmd, _ := onTerminal(t, "-Iuser", "--stack", "auth required pam_unix.so", "svc", "", "sleep(300)", "authenticate")
	v.start(cmd)
	v.write("too early\n")
	v.wait("login:")
	if !v.echo() {
		t.Error("a visible question without echo")
	}
	v.write("nobody\n")
	v.wait("nobody\r\n")
	v.wait("Password: ")
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	if !v.echo() {
		t.Error("the terminal has no echo")
	}
}

// However a signal comes between, nothing is left: it is sent at moments spread over a whole run.
func TestSignalAtAnyMoment(t *testing.T) {
	for n := range 60 {
		cmd, temporary := onTerminal(t, "--trace", "--stack", "auth include common-auth", "--stack", permit, "svc", "bob", "open_session", "close_session", "sleep(20)")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(n) * 200 * time.Microsecond)
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if left, _ := os.ReadDir(temporary); len(left) != 0 {
			t.Errorf("after %d: %v is left", n, left)
		}
	}
}
