package main

import (
	"bytes"
	"strings"
	"syscall"
	"testing"
)

// --tty asks and tells on the terminal; what the program itself says stays where it was.
func TestTTY(t *testing.T) {
	v := newTerminal(t)
	cmd, _ := onTerminal(t, "--tty", "--stack", showsToken, "svc", "bob", "authenticate")
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("not this\n"), &out, &errs
	v.start(cmd)
	v.wait("Password: ")
	if v.echo() {
		t.Error("a hidden question with echo")
	}
	v.write("hunter2\n")
	v.wait("\r\nhunter2\r\n")
	if err := cmd.Wait(); err != nil || out.String() != "pamtester: successfully authenticated\n" || errs.String() != "" {
		t.Errorf("%v, %q, %q", err, out.String(), errs.String())
	}
	if !v.echo() {
		t.Error("the terminal has no echo")
	}
}

func TestTTYAuto(t *testing.T) {
	v := newTerminal(t)
	cmd, _ := onTerminal(t, "-Itty=auto", "--stack", permit, "svc", "bob", "getitem(tty)")
	v.start(cmd)
	v.wait("tty=" + strings.TrimPrefix(v.slave.Name(), "/dev/") + "\r\n")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestNoTTY(t *testing.T) {
	cmd, _ := onTerminal(t, "--tty", "--stack", permit, "svc", "bob", "authenticate")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, errs, status := streams(t, cmd, "")
	if out != "" || errs != "pamtester: --tty: open /dev/tty: no such device or address\n" || status != 1 {
		t.Errorf("%q, %q, %d", out, errs, status)
	}
}
