package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// enter runs this program again, as the first process of a private mount and process namespace. What it starts there
// ends with it; what it mounts and writes is on memory that goes with it.
func enter(build, source string, serve bool) error {
	if os.Geteuid() != 0 {
		return errors.New("a private copy of /etc needs a mount namespace, and that needs root; run: sudo make demo")
	}
	private, err := os.MkdirTemp("", "pwb-demo.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(private)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "-build", build, "-source", source, "-inside", private, fmt.Sprintf("-serve=%v", serve))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	signal.Ignore(syscall.SIGINT) // the child gets it too, and this one still has to tidy up
	var exit *exec.ExitError
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("enter a private namespace: %w", err)
	}
	if serve {
		fmt.Printf("Once the page is open, a shell on the demonstration's machine: nsenter -t %d -m -p\n", cmd.Process.Pid)
	}
	if err := cmd.Wait(); errors.As(err, &exit) {
		return fmt.Errorf("not everything was as it should be (status %d)", exit.ExitCode())
	} else if err != nil {
		return fmt.Errorf("enter a private namespace: %w", err)
	}
	return nil
}

// machine is the private machine: this one, with its own /etc, /usr, /var, /run and /home laid over.
type machine struct {
	private string
	worker  *exec.Cmd
	serve   *exec.Cmd
	log     string // the worker's log
}

// prepare lays the private folders over the machine's and installs pwb there, with the same command as anywhere.
func prepare(private, source string) (*machine, error) {
	syscall.Umask(0o022) // an ordinary machine, whatever the caller's umask
	m := &machine{private: private, log: filepath.Join(private, "worker.log")}
	steps := []struct {
		what string
		do   func() error
	}{
		{"make the namespace private", func() error { return syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "") }},
		{"mount memory", func() error { return syscall.Mount("tmpfs", private, "tmpfs", 0, "mode=0755") }},
		{"lay over /etc", func() error { return m.overlay("/etc") }},
		{"lay over /usr", func() error { return m.overlay("/usr") }},
		{"lay over /var", func() error { return m.overlay("/var") }},
		{"mount /run", func() error { return syscall.Mount("tmpfs", "/run", "tmpfs", 0, "mode=0755") }},
		{"mount /home", func() error { return syscall.Mount("tmpfs", "/home", "tmpfs", 0, "mode=0755") }},
		{"mount /proc", func() error { return syscall.Mount("proc", "/proc", "proc", 0, "") }},
		{"install", func() error {
			return quietly("make", "-C", source, "--no-print-directory", "install-files", "DESTDIR=")
		}},
		{"make the service user", func() error { return serviceUser() }},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return nil, fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return m, nil
}

func (m *machine) overlay(dir string) error {
	upper, work := filepath.Join(m.private, dir, "upper"), filepath.Join(m.private, dir, "work")
	if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
		return err
	}
	return syscall.Mount("overlay", dir, "overlay", 0, "lowerdir="+dir+",upperdir="+upper+",workdir="+work)
}

// serviceUser makes rstudio-server, the user that the guide names, where no installation of Workbench has made it.
func serviceUser() error {
	if exec.Command("id", "rstudio-server").Run() == nil {
		return nil
	}
	return quietly("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "rstudio-server")
}

// startWorker starts the resident worker and waits until it listens.
func (m *machine) startWorker() error {
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	m.worker = exec.Command("/usr/bin/pwb", "worker")
	m.worker.Stderr = log
	if err := m.worker.Start(); err != nil {
		return fmt.Errorf("start the worker: %w", err)
	}
	for range 200 {
		if _, err := os.Stat("/run/pwb/worker.sock"); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("the worker did not listen within two seconds; it said:\n%s", m.logged(0))
}

// stopWorker ends the worker that startWorker started, and no other.
func (m *machine) stopWorker() {
	if m.worker != nil {
		m.worker.Process.Signal(syscall.SIGTERM)
		m.worker.Wait()
		m.worker = nil
	}
}

func (m *machine) end() {
	m.stopServe()
	m.stopWorker()
}

// logged returns what the worker has logged from byte offset on.
func (m *machine) logged(offset int) string {
	b, err := os.ReadFile(m.log)
	if err != nil || offset > len(b) {
		return ""
	}
	return strings.TrimSpace(string(b[offset:]))
}

// result is what a person saw of a command.
type result struct {
	output string
	status int
}

// run runs a command with input on its standard input; both its streams are one, as on a terminal.
func (m *machine) run(input string, argv ...string) result {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(input)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return result{string(out), exit.ExitCode()}
	case err != nil:
		return result{err.Error(), 127}
	}
	return result{string(out), 0}
}

func quietly(argv ...string) error {
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", argv[0], err, bytes.TrimSpace(out))
	}
	return nil
}
