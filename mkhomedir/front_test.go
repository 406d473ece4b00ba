package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/nstest"
)

const socket = "/mnt/worker.sock"

// alone stands where the front finds the program that it becomes, and says what that got.
const alone = `#include <stdio.h>
int main(int argc, char **argv)
{
	int i, c;
	for (i = 0; i < argc; i++)
		printf("[%s]", argv[i]);
	printf("<");
	while ((c = getchar()) != EOF)
		putchar(c);
	printf(">");
	return 77;
}
`

// front builds the program in C; becomes is what it becomes without a worker. It returns the folder with its two names.
func front(t *testing.T, becomes string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	args := append([]string{"-std=c11", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g",
		`-DPWB_SOCKET="` + socket + `"`, `-DPWB_HOMEMAKER="` + becomes + `"`, "-o", dir + "/mkhomedir",
		"front/mkhomedir.c", "../pam_pwb/shim/reach.c", "../pam_pwb/shim/frame.c"}, flags...)
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v: %s", err, out)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Link(dir+"/mkhomedir", dir+"/mkhomedir_helper")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func aloneProgram(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "alone")
	cmd := exec.Command("cc", "-x", "c", "-o", name, "-")
	cmd.Stdin = strings.NewReader(alone)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cc: %v: %s", err, out)
	}
	return name
}

const pwb = "/mnt/pwb"

// buildPwb builds the real pwb, once, behind a socket of ours.
var buildPwb = sync.OnceValue(func() error {
	cmd := exec.Command("go", "build", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -X main.socketPath="+socket, "-o", pwb, "../pwb")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
})

// startWorker runs the real worker behind the socket until the test ends.
func startWorker(t *testing.T) *os.Process {
	t.Helper()
	if err := buildPwb(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(pwb, "worker")
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	until(t, "the worker listens", func() bool {
		conn, err := net.Dial("unixpacket", socket)
		if err == nil {
			conn.Close()
		} else if cmd.Process.Signal(syscall.Signal(0)) != nil {
			t.Fatalf("the worker has ended: %s", log.String())
		}
		return err == nil
	})
	return cmd.Process
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// opened says whether the process has the file open.
func opened(pid int, file string) bool {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	return slices.ContainsFunc(links, func(link string) bool {
		to, _ := os.Readlink(link)
		return to == file
	})
}

// run runs a program by one of its names, and returns what it said and its status.
func run(cmd *exec.Cmd, input string) (string, int) {
	cmd.Stdin = strings.NewReader(input)
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

func frontMachine(t *testing.T) {
	t.Helper()
	nstest.Need(t)
	replace(t, "/etc/passwd", "root:x:0:0::/root:/bin/sh\ncarl:x:4721:4722::/home/carl:/bin/sh\ndora:x:4723:4724::/home/dora:/bin/sh\nemil:x:4725:4726::/home/emil:/bin/sh\n")
	replace(t, "/etc/nsswitch.conf", "passwd: files\ngroup: files\n")
	for _, name := range []string{"carl", "dora", "emil"} {
		os.RemoveAll("/home/" + name)
	}
	if err := errors.Join(os.MkdirAll("/mnt/skel", 0o755), os.WriteFile("/mnt/skel/.profile", []byte("hello"), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// What the front becomes is not there: whatever is made, the worker has made.
func TestFrontAsksTheWorker(t *testing.T) {
	frontMachine(t)
	startWorker(t)
	dir := front(t, "/mnt/nothing")
	for _, tt := range []struct {
		program, input string
		args           []string
		said           string
		home           string
		mode           os.FileMode
		uid            uint32
	}{
		{"mkhomedir_helper", "", []string{"carl", "0027", "/mnt/skel"}, "", "/home/carl", 0o750, 4721},
		{"mkhomedir_helper", "", []string{"carl", "0027", "/mnt/skel"}, "", "/home/carl", 0o750, 4721},
		{"mkhomedir_helper", "", []string{"dora", "0022", "/mnt/skel", "0711"}, "", "/home/dora", 0o711, 4723},
		{"mkhomedir", "emil\n", []string{"-u0077", "-s", "/mnt/skel"}, "Creating home directory for emil.", "/home/emil", 0o700, 4725},
		{"mkhomedir", "emil\n", []string{"-f", "-u", "0077", "-s", "/mnt/skel"}, "", "/home/emil", 0o700, 4725},
	} {
		said, status := run(exec.Command(dir+"/"+tt.program, tt.args...), tt.input)
		if said != tt.said || status != 0 {
			t.Errorf("%s %v: %q, status %d; want %q", tt.program, tt.args, said, status, tt.said)
		}
		st, err := os.Stat(tt.home)
		if err != nil || st.Mode().Perm() != tt.mode || st.Sys().(*syscall.Stat_t).Uid != tt.uid {
			t.Errorf("%s: %v, %v; want mode %o of %d", tt.home, st, err, tt.mode, tt.uid)
		}
		if text, err := os.ReadFile(tt.home + "/.profile"); string(text) != "hello" {
			t.Errorf("%s/.profile: %q, %v", tt.home, text, err)
		}
	}
	for _, empty := range []*exec.Cmd{exec.Command(dir+"/mkhomedir_helper", "carl", "0077", ""), exec.Command(dir+"/mkhomedir", "-nq")} {
		os.RemoveAll("/home/carl")
		said, status := run(empty, "carl\n")
		if left, err := os.ReadDir("/home/carl"); said != "" || status != 0 || err != nil || len(left) != 0 {
			t.Errorf("%v: %q, %d; an empty home has %v, %v", empty.Args, said, status, left, err)
		}
	}
}

// Whoever it becomes finds the same name, arguments and input. The worker is there, and has not said that all is well.
func TestFrontBecomesWhoCanSayWhatIsWrong(t *testing.T) {
	frontMachine(t)
	startWorker(t)
	dir := front(t, aloneProgram(t))
	for _, tt := range []struct {
		program, input string
		args           []string
	}{
		{"mkhomedir_helper", "", nil},
		{"mkhomedir_helper", "", []string{"nobody-here", "0077", "/mnt/skel"}},
		{"mkhomedir_helper", "", []string{"carl", "0x3f", "/mnt/skel"}},
		{"mkhomedir_helper", "", []string{"carl", "0077", "skel"}},
		{"mkhomedir_helper", "", []string{"carl", "0077", "/mnt/skel", "99"}},
		{"mkhomedir_helper", "", []string{"carl", "0077", "/mnt/skel", "0700", "more"}},
		{"mkhomedir_helper", "", []string{"carl", strings.Repeat("0", 5000)}},
		{"mkhomedir_helper", "", []string{strings.Repeat("u", 5000)}},
		{"mkhomedir", "carl\n", []string{"-s"}},
		{"mkhomedir", "carl\n", []string{"-z", "-q"}},
		{"mkhomedir", "\ncarl\n", []string{"-q"}},
		{"mkhomedir", "", []string{"-q"}},
		{"mkhomedir", "nobody-here\n1000\n", []string{"-q", "-u", "0077"}},
		{"mkhomedir", "carl\x00ine\n", []string{"-q"}},
		{"mkhomedir", "carl\n", []string{"-q", "operand", "-u", "0077"}},
		{"mkhomedir", strings.Repeat("long ", 10_000), nil},
	} {
		program := dir + "/" + tt.program
		want := "[" + strings.Join(append([]string{program}, tt.args...), "][") + "]<" + tt.input + ">"
		if said, status := run(exec.Command(program, tt.args...), tt.input); said != want || status != 77 {
			t.Errorf("%s %.80q: %.300q, status %d; want %.300q, 77", tt.program, tt.args, said, status, want)
		}
		if _, err := os.Lstat("/home/carl/.profile"); err == nil {
			t.Errorf("%s %.80q: a home was made", tt.program, tt.args)
		}
	}
}

// A home belongs where the one who asks for it lives: the worker would make it elsewhere.
func TestFrontLeavesAWorkerThatLivesElsewhere(t *testing.T) {
	frontMachine(t)
	startWorker(t)
	program := aloneProgram(t)
	dir := front(t, program)
	helper := dir + "/mkhomedir_helper"
	want := "[" + helper + "][carl]<>"

	elsewhere := exec.Command(helper, "carl")
	elsewhere.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if said, status := run(elsewhere, ""); said != want || status != 77 {
		t.Errorf("in another mount namespace: %q, %d", said, status)
	}
	below := exec.Command(helper, "carl")
	below.SysProcAttr = &syscall.SysProcAttr{Chroot: otherRoot(t)}
	below.Dir = "/"
	if said, status := run(below, ""); said != want || status != 77 {
		t.Errorf("in another root: %q, %d", said, status)
	}
	if _, err := os.Lstat("/home/carl"); err == nil {
		t.Error("a home was made")
	}
}

// otherRoot makes a root of its own in memory, with everything that is in this one.
func otherRoot(t *testing.T) string {
	t.Helper()
	const root = "/mnt/root"
	entries, err := os.ReadDir("/")
	err = errors.Join(err, os.Mkdir(root, 0o755), unix.Mount("tmpfs", root, "tmpfs", 0, "mode=0755"))
	t.Cleanup(func() { unix.Unmount(root, unix.MNT_DETACH) })
	for _, e := range entries {
		there := root + "/" + e.Name()
		if target, linkErr := os.Readlink("/" + e.Name()); linkErr == nil {
			err = errors.Join(err, os.Symlink(target, there))
		} else if e.IsDir() {
			err = errors.Join(err, os.Mkdir(there, 0o755), unix.Mount("/"+e.Name(), there, "", unix.MS_BIND|unix.MS_REC, ""))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// Go needs more room than a person may have who is held to little: limits of the session once kept a home from being made.
func TestFrontLiftsLimitsOnMemory(t *testing.T) {
	frontMachine(t)
	os.Remove(socket)
	program := filepath.Join(t.TempDir(), "limits")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nulimit -S -v\nulimit -S -d\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	little := fmt.Sprintf("ulimit -S -v %d; ulimit -S -d %[1]d; exec %s carl", 1<<40, front(t, program)+"/mkhomedir_helper") // the sanitizer needs much
	if said, status := run(exec.Command("sh", "-c", little), ""); said != "unlimited\nunlimited\n" || status != 0 {
		t.Errorf("%q, status %d", said, status)
	}
}

// Nobody at the socket, somebody who is not root, and one who never says a word.
func TestFrontWithoutAWorker(t *testing.T) {
	frontMachine(t)
	dir := front(t, aloneProgram(t))
	try := func(what string) {
		t.Helper()
		want := "[" + dir + "/mkhomedir][-q]<carl\n>"
		if said, status := run(exec.Command(dir+"/mkhomedir", "-q"), "carl\n"); said != want || status != 77 {
			t.Errorf("%s: %q, %d", what, said, status)
		}
	}
	os.Remove(socket)
	try("nobody listens")

	stranger := exec.Command("setpriv", "--reuid", "65534", "python3", "-c", `
import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind("/mnt/open/s"); s.listen(); print(flush=True); time.sleep(60)`)
	if err := errors.Join(os.Mkdir("/mnt/open", 0o755), os.Chown("/mnt/open", 65534, 0), os.Symlink("/mnt/open/s", socket)); err != nil {
		t.Fatal(err)
	}
	up, err := stranger.StdoutPipe()
	if err = errors.Join(err, stranger.Start()); err != nil {
		t.Fatal(err)
	}
	up.Read(make([]byte, 1))
	try("not root's")
	stranger.Process.Kill()
	stranger.Wait()

	os.Remove(socket)
	silent, err := net.Listen("unixpacket", socket)
	if err != nil {
		t.Fatal(err)
	}
	try("a silent one")
	silent.Close()
}

// Who cannot hand over says why, and advises what mends that cause.
func TestFrontThatCannotHandOver(t *testing.T) {
	frontMachine(t)
	os.Remove(socket)
	const becomes = "/mnt/becomes"
	dir := front(t, becomes)
	put := func(text string, mode os.FileMode) func() error {
		return func() error { return errors.Join(os.WriteFile(becomes, []byte(text), mode), os.Chmod(becomes, mode)) }
	}
	for _, tt := range []struct {
		put    func() error
		args   []string
		said   string
		status int
	}{
		{func() error { return nil }, []string{"mkhomedir_helper", "carl"}, becomes + ": No such file or directory; reinstall pwb", 6},
		{func() error { return nil }, []string{"mkhomedir"}, becomes + ": No such file or directory; reinstall pwb", 1},
		{put("", 0o755), []string{"mkhomedir_helper", "carl"}, becomes + ": Exec format error; reinstall pwb", 6},
		{put("", 0o644), []string{"mkhomedir_helper", "carl"}, becomes + ": Permission denied; it must be executable, and its file system not mounted noexec", 6},
		{put("", 0o755), []string{"sh", "-c", `ulimit -f 0; exec "$0"`, "mkhomedir"}, "hand the user's name on: File too large", 1},
		{put("", 0o755), []string{"sh", "-c", `exec "$0" </mnt`, "mkhomedir"}, "read the user's name: Is a directory", 1},
	} {
		os.Remove(becomes)
		if err := tt.put(); err != nil {
			t.Fatal(err)
		}
		name := "mkhomedir"
		for i, arg := range tt.args {
			if strings.HasPrefix(arg, "mkhomedir") {
				name, tt.args[i] = arg, dir+"/"+arg
			}
		}
		want := name + ": " + tt.said + "\n"
		if said, status := run(exec.Command(tt.args[0], tt.args[1:]...), "carl\n"); said != want || status != tt.status {
			t.Errorf("%q: %q, status %d; want %q, %d", tt.args, said, status, want, tt.status)
		}
	}
}
