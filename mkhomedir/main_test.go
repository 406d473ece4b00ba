package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m, "/mnt", "/home", "/run", "/var/log") }

// programs are the real ones, as the Makefile builds them, before the real pwb.
func programs(t *testing.T) (oddjob, helper string) {
	nstest.Need(t)
	if err := buildPwb(); err != nil {
		t.Fatal(err)
	}
	return programsBefore(t, pwb)
}

// programsBefore leave to the program at next what is not for them.
func programsBefore(t *testing.T, next string) (oddjob, helper string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-ldflags", "-s -X main.pwbPath="+next, "-o", dir+"/mkhomedir", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Link(dir+"/mkhomedir", dir+"/mkhomedir_helper"); err != nil {
		t.Fatal(err)
	}
	return dir + "/mkhomedir", dir + "/mkhomedir_helper"
}

func replace(t *testing.T, name, text string) {
	t.Helper()
	mine := filepath.Join("/mnt", filepath.Base(name))
	if err := errors.Join(os.WriteFile(mine, []byte(text), 0o644), unix.Mount(mine, name, "", unix.MS_BIND, "")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(name, unix.MNT_DETACH) })
}

func TestHomes(t *testing.T) {
	oddjob, helper := programs(t)
	replace(t, "/etc/passwd", "root:x:0:0::/root:/bin/sh\nalice:x:4711:4712::/home/alice:/bin/sh\nbobby:x:4719:4719::/home/bobby:/bin/sh\nbob:x:4713:4714::/home/bob:/bin/sh\nodd:x:4715:4715::home:/bin/sh\n")
	replace(t, "/etc/nsswitch.conf", "passwd: files\ngroup: files\n")
	if err := errors.Join(os.MkdirAll("/mnt/skel", 0o755), os.WriteFile("/mnt/skel/.profile", []byte("hello"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what, program, input string
		args                 []string
		said                 string
		status               int
	}{
		{"a home", helper, "", []string{"alice", "0027", "/mnt/skel"}, "", 0},
		{"again", helper, "", []string{"alice", "0027", "/mnt/skel"}, "", 0},
		{"oddjob's", oddjob, "bob\n", []string{"-u", "0027", "-s", "/mnt/skel"}, "Creating home directory for bob.", 0},
		{"oddjob's again", oddjob, "bob\n", []string{"-u", "0027", "-s", "/mnt/skel"}, "", 0},
		// What follows is pwb's to say.
		{"nobody", helper, "", []string{"carol"}, `mkhomedir_helper: look up "carol": no such account` + "\n", 10},
		{"oddjob's nobody", oddjob, "carol\n", []string{"-q"}, `mkhomedir: look up "carol": no such account` + "\n", 2},
		{"no name", oddjob, "\n", nil, "mkhomedir: no user's name on standard input\n", 2},
		{"a bad umask", helper, "", []string{"alice", "0x3f"}, `mkhomedir_helper: umask "0x3f": not an octal number from 0 to 0777` + "\n", 14},
		{"no place", helper, "", []string{"odd"}, `mkhomedir_helper: home directory "home": not a path for a home directory` + "\n", 14},
		{"no skeleton", helper, "", []string{"root", "0077", "/nowhere"}, "", 0},
	} {
		cmd := exec.Command(tt.program, tt.args...)
		cmd.Stdin = strings.NewReader(tt.input)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != tt.status || string(out) != tt.said {
			t.Errorf("%s: %q, status %d; want %q, %d", tt.what, out, got, tt.said, tt.status)
		}
	}
	for name, uid := range map[string]uint32{"alice": 4711, "bob": 4713} {
		st, err := os.Stat("/home/" + name)
		text, readErr := os.ReadFile("/home/" + name + "/.profile")
		if err != nil || st.Mode().Perm() != 0o750 || st.Sys().(*syscall.Stat_t).Uid != uid || string(text) != "hello" {
			t.Errorf("home of %s: %v, %v, %q, %v", name, st, err, text, readErr)
		}
	}
}

// Where pwb itself cannot be run, or the name not be read, that is said in one line, and the status is the caller's kind of failure.
func TestWithoutPwb(t *testing.T) {
	nstest.Need(t)
	oddjob, helper := programsBefore(t, "/mnt/nothing")
	for _, tt := range []struct {
		program, args string
		said          string
		status        int
	}{
		{helper, "nobody-here", "mkhomedir_helper: /mnt/nothing: no such file or directory; reinstall pwb\n", 6},
		{oddjob, "-q", "mkhomedir: /mnt/nothing: no such file or directory; reinstall pwb\n", 1},
		{oddjob, "-q </mnt", "mkhomedir: read the user's name: read /dev/stdin: is a directory\n", 1},
	} {
		cmd := exec.Command("sh", "-c", tt.program+" "+tt.args)
		cmd.Stdin = strings.NewReader("nobody-here\n")
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != tt.status || string(out) != tt.said {
			t.Errorf("%s: %q, status %d; want %q, %d", tt.args, out, got, tt.said, tt.status)
		}
	}
}

// pam_mkhomedir(8) gives its helper streams that nobody reads: to complain there is not to die.
func TestStreamsThatNobodyReads(t *testing.T) {
	oddjob, _ := programs(t)
	replace(t, "/etc/passwd", "root:x:0:0::/root:/bin/sh\nbob:x:4713:4714::/home/bob:/bin/sh\n")
	replace(t, "/etc/nsswitch.conf", "passwd: files\ngroup: files\n")
	replace(t, "/etc/login.defs", "UMASK 0x3f\n")
	os.RemoveAll("/home/bob")
	for _, tt := range []struct {
		what, input string
		args        []string
		status      int
	}{
		{"a warning", "bob\n", []string{"-q"}, 0},
		{"pwb's usage", "bob\n", []string{"-x"}, 1},
		{"pwb's complaint", "\n", nil, 2},
	} {
		r, w, err := os.Pipe()
		if err = errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(oddjob, tt.args...)
		cmd.Stdin, cmd.Stderr = strings.NewReader(tt.input), w
		cmd.Run()
		w.Close()
		if got := cmd.ProcessState.ExitCode(); got != tt.status {
			t.Errorf("%s: %v, want status %d", tt.what, cmd.ProcessState, tt.status)
		}
	}
	if _, err := os.Stat("/home/bob"); err != nil {
		t.Error(err)
	}
}

// Who is not plainly in /etc/passwd, or would not be found there first, is for the C library to find.
func TestFilesFirst(t *testing.T) {
	for text, want := range map[string]bool{
		"passwd: files\n": true, "passwd: files pwb systemd\n": true, "# x\npasswd:\tfiles # y\n": true,
		"passwd: sss files\n": false, "passwd: files [SUCCESS=merge] sss\n": false, "passwd: compat\n": false, "passwd:\n": false, "": false,
	} {
		if got := filesFirst(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
