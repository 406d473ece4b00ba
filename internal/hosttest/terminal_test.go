package hosttest

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

// terminal runs a program on a new terminal of 33 by 101 and returns the end that a person sits at.
func terminal(t *testing.T, argv ...string) (*os.File, *exec.Cmd) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 101})
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return master, cmd
}

// until reads from the terminal until words have been shown, and returns all that was.
func until(t *testing.T, f *os.File, words string) string {
	t.Helper()
	f.SetReadDeadline(time.Now().Add(10 * time.Second))
	shown, buf := "", make([]byte, 4096)
	for !strings.Contains(shown, words) {
		n, err := f.Read(buf)
		if err != nil {
			t.Fatalf("the terminal did not show %q: %v; it showed %q", words, err, shown)
		}
		shown += string(buf[:n])
	}
	return shown
}

func TestASessionOnATerminal(t *testing.T) {
	m := newMachine(t, "")
	m.start()
	person, cmd := terminal(t, "/usr/bin/pwb", "session", user, "--", "sh", "-c", "tty; stty size; id -un; stty -a | grep -o ' echo '; read line; echo got $line; exit 5")
	until(t, person, "Ticket: ")
	if mode, err := unix.IoctlGetTermios(int(person.Fd()), unix.TCGETS); err != nil || mode.Lflag&unix.ECHO != 0 {
		t.Errorf("the ticket would be shown: %v", err)
	}
	ticket := m.ticket()
	fmt.Fprintf(person, "%s\n", ticket)
	shown := until(t, person, " echo ")
	for _, want := range []string{"/dev/pts/", "33 101\r\n", "alice\r\n"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the terminal did not show %q: %q", want, shown)
		}
	}
	if strings.Contains(shown, ticket) {
		t.Error("the terminal showed the ticket")
	}
	fmt.Fprintf(person, "hello\n")
	until(t, person, "got hello")
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 5 {
		t.Errorf("status %d, want the command's 5", cmd.ProcessState.ExitCode())
	}
}

// Ctrl-C at the hidden prompt ends it all, and the terminal has its echo back.
func TestCtrlCAtThePrompt(t *testing.T) {
	m := newMachine(t, "")
	m.start()
	for name, argv := range map[string][]string{
		"pwb session": {"/usr/bin/pwb", "session", user, "--", "id"}, "pamtester": pamtester(user, "authenticate"),
	} {
		person, cmd := terminal(t, argv...)
		until(t, person, "Ticket: ")
		person.Write([]byte{3})
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Fatalf("%s goes on after Ctrl-C", name)
		}
		mode, err := unix.IoctlGetTermios(int(person.Fd()), unix.TCGETS)
		if err != nil || mode.Lflag&unix.ECHO == 0 || cmd.ProcessState.ExitCode() == 0 {
			t.Errorf("%s: status %v, echo %v, %v", name, cmd.ProcessState, mode.Lflag&unix.ECHO != 0, err)
		}
	}
}
