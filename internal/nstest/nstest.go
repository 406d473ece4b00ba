// Package nstest gives a package's tests a machine of their own: run as root, the test binary starts itself again in a
// private mount namespace, where it may mount what it likes. Nothing of that reaches the machine, and all of it goes with
// the process.
package nstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
)

const marker = "PWB_NSTEST"

// Main is for TestMain. As root it runs the tests in a private mount namespace with a fresh tmpfs on each of dirs, folders
// that root alone may write all the way up; as anybody else it runs them here, and Inside is false.
// The caller's umask and ignored signals are not the tests'.
func Main(m *testing.M, dirs ...string) {
	attend()
	syscall.Umask(0o022)
	if os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	if os.Getenv(marker) == "" {
		os.Exit(again())
	}
	if err := enter(dirs); err != nil {
		fmt.Fprintf(os.Stderr, "nstest: %v\n", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Inside says whether this process is in its private namespace.
func Inside() bool { return os.Getenv(marker) != "" && os.Geteuid() == 0 }

// Need skips a test that wants the private namespace where there is none.
func Need(t testing.TB) {
	t.Helper()
	if !Inside() {
		t.Skip("needs root, for a private mount namespace")
	}
}

// attend takes the signals that a shell's background and nohup(1) ignore, and that the tests' programs would inherit as ignored.
func attend() {
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGHUP} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}

func again() int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintf(os.Stderr, "nstest: %v\n", err)
		return 1
	}
	if err := os.Chmod(self, 0o755); err != nil { // tests start it again as other users
		fmt.Fprintf(os.Stderr, "nstest: %v\n", err)
		return 1
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), marker+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1)
	} else if err != nil {
		fmt.Fprintf(os.Stderr, "nstest: %v\n", err)
		return 1
	}
	return 0
}

func enter(dirs []string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the namespace private: %w", err)
	}
	for _, dir := range dirs {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("mount memory on %s: %w", dir, err)
		}
	}
	return nil
}
