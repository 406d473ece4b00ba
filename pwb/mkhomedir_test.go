package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/homedir"
	"github.com/pwb-project/pwb/internal/nstest"
)

func homeTree(t *testing.T) *tree {
	nstest.Need(t)
	r := newTree(t)
	r.write("/etc/passwd", "root:x:0:0::/root:/bin/sh\nalice:x:4711:4712::/home/alice:/bin/sh\nodd:x:4713:4713::home:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/sh\n", 0o644)
	r.write("/etc/login.defs", "UMASK 027\n", 0o644)
	r.write("/etc/skel/.profile", "hello", 0o644)
	return r
}

func TestMkhomedir(t *testing.T) {
	r := homeTree(t)
	for _, tt := range []struct {
		args      []string
		out, errs string
		status    int
	}{
		{[]string{"--dry-run", "alice"}, "/home/alice: would be made, 1 entries, 5 bytes\n", "", 0},
		{[]string{"--dry-run", "--skel", "", "alice"}, "/home/alice: would be made, 0 entries, 0 bytes\n", "", 0},
		{[]string{"--dry-run", "--json", "alice"}, `{"bytes":5,"dry_run":true,"entries":1,"existed":false,"home":"/home/alice","made":false,"no_home":false,"skipped":0,"user":"alice"}` + "\n", "", 0},
		{[]string{"alice"}, "/home/alice: made, 1 entries, 5 bytes\n", "", 0},
		{[]string{"alice"}, "/home/alice: is there; left alone\n", "", 0},
		{[]string{"--dry-run", "alice"}, "/home/alice: is there; left alone\n", "", 0},
		{[]string{"nobody"}, "/nonexistent: no home by convention; nothing made\n", "pwb: accounts whose home is /nonexistent have none; nothing is made\n", 0},
		{[]string{"nobody-here"}, "", `pwb: look up "nobody-here": no such account` + "\n", statusUnknown},
		{[]string{"odd"}, "", `pwb: home directory "home": not a path for a home directory` + "\n", statusSession},
		{[]string{"--umask", "0x3f", "alice"}, "", `pwb: umask "0x3f": not an octal number from 0 to 0777` + "\n", statusSession},
		{[]string{"--umask", "", "alice"}, "", `pwb: umask "": not an octal number from 0 to 0777` + "\n", statusSession},
		{[]string{"--skel", "skel", "alice"}, "", `pwb: home directory "/home/alice": skeleton "skel": not an absolute path` + "\n", statusSession},
		{[]string{"--skel", "/nowhere", "root"}, "", "pwb: make home directory /root: the skeleton cannot be used: /nowhere: no such file or directory\n", statusDenied},
	} {
		out, errs, status := r.pwb("", append([]string{"mkhomedir"}, tt.args...)...)
		if out != tt.out || status != tt.status || errs != tt.errs {
			t.Errorf("%v: %q, %q, %d; want %q, %q, %d", tt.args, out, errs, status, tt.out, tt.errs, tt.status)
		}
	}
	if st, err := os.Stat(r.dir + "/home/alice"); err != nil || st.Mode().Perm() != 0o750 {
		t.Errorf("the home: %v, %v", st, err)
	}
}

func TestMkhomedirJSON(t *testing.T) {
	r := homeTree(t)
	out, errs, status := r.pwb("", "mkhomedir", "--json", "--umask", "77", "alice")
	var got struct {
		User, Home     string
		Made           bool
		Entries, Bytes int64
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || status != 0 || errs != "" {
		t.Fatalf("%q, %q, %d: %v", out, errs, status, err)
	}
	if got.User != "alice" || got.Home != "/home/alice" || !got.Made || got.Entries != 1 || got.Bytes != 5 {
		t.Errorf("%+v", got)
	}
	if st, err := os.Stat(r.dir + "/home/alice/.profile"); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("under umask 77, which is octal: %v, %v", st, err)
	}
}

// An account behind a line that cannot be read may be there.
func TestMkhomedirOfAPasswdFileThatCannotBeRead(t *testing.T) {
	r := homeTree(t)
	r.write("/etc/passwd", strings.Repeat("x", 100_000)+"\nalice:x:4711:4712::/home/alice:/bin/sh\n", 0o644)
	_, errs, status := r.pwb("", "mkhomedir", "alice")
	if want := "pwb: look up \"alice\" in /etc/passwd: bufio.Scanner: token too long\n"; errs != want || status != statusDenied {
		t.Errorf("%q, %d; want %q, %d", errs, status, want, statusDenied)
	}
}

// A script that asks for JSON has it in every case, and the sentence for people on standard error all the same.
func TestMkhomedirJSONOfAFailure(t *testing.T) {
	r := homeTree(t)
	for _, tt := range []struct {
		args        []string
		status      int
		home, error string
	}{
		{[]string{"nobody-here"}, statusUnknown, "", `look up "nobody-here": no such account`},
		{[]string{"odd"}, statusSession, "", `home directory "home": not a path for a home directory`},
		{[]string{"--umask", "9", "alice"}, statusSession, "", `umask "9": not an octal number from 0 to 0777`},
		{[]string{"--skel", "skel", "alice"}, statusSession, "", `home directory "/home/alice": skeleton "skel": not an absolute path`},
		{[]string{"--skel", "/nowhere", "alice"}, statusDenied, "/home/alice", "make home directory /home/alice: the skeleton cannot be used: /nowhere: no such file or directory"},
	} {
		out, errs, status := r.pwb("", append([]string{"mkhomedir", "--json"}, tt.args...)...)
		var got struct {
			User, Home, Error string
			Made              bool
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Errorf("%v: %q: %v", tt.args, out, err)
		}
		if got.User != tt.args[len(tt.args)-1] || got.Home != tt.home || got.Error != tt.error || got.Made || errs != "pwb: "+tt.error+"\n" || status != tt.status {
			t.Errorf("%v: %q, %q, %d", tt.args, out, errs, status)
		}
	}
}

// A shell whose Ctrl-C has ended a command must hear that it was so, or goes on with its script.
func TestMkhomedirEndsByItsSignal(t *testing.T) {
	r := homeTree(t)
	locks := r.dir + "/run/pwb/homedir"
	if err := os.MkdirAll(locks, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(locks + "/4711.lock")
	if err == nil {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		var errs bytes.Buffer
		cmd := exec.Command("/proc/self/exe", "--root", r.dir, "mkhomedir", "alice")
		cmd.Env, cmd.Stderr = append(os.Environ(), "PWB_CHILD=pwb"), &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for fds := fmt.Sprintf("/proc/%d/fd/*", cmd.Process.Pid); !opened(fds, lock.Name()); {
			if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
				t.Fatalf("it has ended: %v, %s", err, errs.String())
			}
		}
		cmd.Process.Signal(sig)
		cmd.Wait()
		if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != sig {
			t.Errorf("%v: %v, %q", sig, cmd.ProcessState, errs.String())
		}
	}
	if left, _ := os.ReadDir(r.dir + "/home"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// opened says whether one of these descriptors is of the file.
func opened(fds, file string) bool {
	links, _ := filepath.Glob(fds)
	return slices.ContainsFunc(links, func(link string) bool {
		to, _ := os.Readlink(link)
		return to == file
	})
}

// A link of an image leads to a place in the image.
func TestMkhomedirStaysBelowRoot(t *testing.T) {
	r := homeTree(t)
	outside := t.TempDir()
	if err := errors.Join(os.MkdirAll(r.dir+outside, 0o755), os.Symlink(outside, r.dir+"/home")); err != nil {
		t.Fatal(err)
	}
	if out, errs, status := r.pwb("", "mkhomedir", "alice"); status != 0 {
		t.Fatalf("%q, %q, %d", out, errs, status)
	}
	if left, _ := os.ReadDir(outside); len(left) != 0 {
		t.Errorf("outside of the root: %v", left)
	}
	if _, err := os.Stat(r.dir + outside + "/alice/.profile"); err != nil {
		t.Error(err)
	}
}

func TestProgressBar(t *testing.T) {
	var out bytes.Buffer
	counted := make(chan struct{})
	b := &progressBar{w: &out, began: time.Now(), count: func() (homedir.Result, error) {
		defer close(counted)
		return homedir.Result{Entries: 1, Bytes: 100<<20 - 4096}, nil
	}}
	b.show(homedir.Progress{Bytes: 1 << 20})
	b.clear()
	if out.Len() != 0 {
		t.Errorf("in the first second: %q", out.String())
	}
	b.began = b.began.Add(-3 * time.Second)
	b.show(homedir.Progress{Bytes: 25 << 20, Entries: 0})
	<-counted
	for b.mu.Lock(); b.total.Entries == 0; b.mu.Lock() {
		b.mu.Unlock()
	}
	b.mu.Unlock()
	out.Reset()
	b.show(homedir.Progress{Bytes: 50 << 20, Entries: 0})
	b.show(homedir.Progress{Bytes: 200 << 20, Entries: 1, Syncing: true})
	b.clear()
	want := "\r\x1b[K[############............]  50 % copying: 0 entries, 50.0 MiB, 3 s" +
		"\r\x1b[K[########################] 100 % writing to the disk: 1 entries, 200.0 MiB, 3 s\r\x1b[K"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// Called by the names of the programs that it can stand in for.
func TestOtherNames(t *testing.T) {
	r := newTree(t)
	for _, tt := range []struct {
		name, input string
		args        []string
		status      int
		errs        string
	}{
		{"/usr/sbin/mkhomedir_helper", "", nil, statusSession, "usage: mkhomedir_helper USER [UMASK [SKEL [HOME_MODE]]]\n"},
		{"/usr/sbin/mkhomedir_helper", "", []string{"no-such-user-here", "0077", "/etc/skel"}, statusUnknown, `mkhomedir_helper: look up "no-such-user-here": no such account` + "\n"},
		{"mkhomedir_helper", "", []string{"root", "99"}, statusSession, `mkhomedir_helper: umask "99": not an octal number from 0 to 0777` + "\n"},
		{"mkhomedir_helper", "", []string{"root", "0077", "/etc/skel", "700x"}, statusSession, `mkhomedir_helper: mode of the home "700x": not an octal number from 0 to 0777` + "\n"},
		{"mkhomedir_helper", "", []string{"root", "0077", "skel"}, statusSession, `mkhomedir_helper: home directory "/root": skeleton "skel": not an absolute path` + "\n"},
		{"mkhomedir_helper", "", []string{"root"}, 0, ""},
		{"mkhomedir", "no-such-user-here\n", []string{"-q"}, oddjobInvalid, `mkhomedir: look up "no-such-user-here": no such account` + "\n"},
		{"mkhomedir", "\n\n", nil, oddjobInvalid, "mkhomedir: no user's name on standard input\n"},
		{"mkhomedir", "root\n", []string{"-u", "0x3f"}, oddjobFailure, `mkhomedir: umask "0x3f": not an octal number from 0 to 0777` + "\n"},
		{"mkhomedir", "root\n", []string{"-x"}, oddjobFailure, "mkhomedir: no option -x\nusage: mkhomedir [-nq] [-s skel] [-u umask] <user\n"},
		{"mkhomedir", "root\n", []string{"-qu"}, oddjobFailure, "mkhomedir: option -u wants a value\nusage: mkhomedir [-nq] [-s skel] [-u umask] <user\n"},
		{"mkhomedir", "\nroot\nignored\n", []string{"-qnu0077"}, 0, ""},
	} {
		out, errs, status := r.as(tt.name, tt.input, tt.args...)
		if out != "" || errs != tt.errs || status != tt.status {
			t.Errorf("%s %q: %q, %q, %d; want %q, %d", tt.name, tt.args, out, errs, status, tt.errs, tt.status)
		}
	}
}
