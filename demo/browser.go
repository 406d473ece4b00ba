package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// front is the address that people open. A test may choose another port.
var front = "http://127.0.0.1:8787"

// startServe starts the part that faces the network, as the user who it must be, and waits until it answers.
func (m *machine) startServe() error {
	for _, dir := range []string{"/var/lib/pwb", "/var/log/pwb/serve"} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return err
		}
		if err := quietly("chown", "-R", "rstudio-server:", dir); err != nil {
			return err
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			return err
		}
	}
	if err := os.Chmod("/var/log/pwb", 0o711); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(m.private, "serve.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	m.serve = exec.Command("setpriv", "--reuid", "rstudio-server", "--regid", "rstudio-server", "--clear-groups", "/usr/bin/pwb", "serve")
	m.serve.Stderr = log
	if err := m.serve.Start(); err != nil {
		return fmt.Errorf("start pwb serve: %w", err)
	}
	for range 200 {
		if resp, err := http.Get(front + "/health-check"); err == nil {
			resp.Body.Close()
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	said, _ := os.ReadFile(log.Name())
	return fmt.Errorf("pwb serve did not answer at %s; it said:\n%s", front, said)
}

// stopServe ends what startServe has started.
func (m *machine) stopServe() {
	if m.serve != nil {
		m.serve.Process.Signal(syscall.SIGTERM)
		m.serve.Wait()
		m.serve = nil
	}
}

// keepServing ends the demonstration with an address to open and, when asked to, waits there.
func keepServing(m *machine, say *narrator, wait bool) error {
	if err := m.startWorker(); err != nil {
		return err
	}
	if err := m.startServe(); err != nil {
		return err
	}
	defer m.stopServe()
	if !wait {
		say.chapter("The sign-in page", "pwb serve has answered at "+front+". To open it in a browser: make run")
		return nil
	}
	say.chapter("The sign-in page", "Open "+front+" in a browser on this machine, and sign in as alice@example.com or bob@example.com,\n"+
		"   password: "+password+". In a shell as named at the beginning, paste the code into: pwb session alice\n"+
		"   Ctrl-C ends it.")
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT, syscall.SIGTERM)
	<-interrupted
	return nil
}
