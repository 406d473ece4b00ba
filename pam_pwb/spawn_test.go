package pampwb

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// playWorker is this test binary as the program that the module starts: what it does is written beside it.
func playWorker() {
	role, err := os.ReadFile(filepath.Dir(testWorker) + "/role")
	if err != nil {
		os.Exit(3)
	}
	switch strings.TrimSpace(string(role)) {
	case "marks":
		os.WriteFile(filepath.Dir(testWorker)+"/started", nil, 0o600)
		answerSpawned()
	case "welcomes":
		os.WriteFile(filepath.Dir(testWorker)+"/started", nil, 0o600)
		welcomeSpawned()
	case "silent":
		time.Sleep(time.Minute)
	case "dies":
		os.Exit(1)
	case "lingers":
		answerSpawned()
		time.Sleep(time.Minute)
	case "stops":
		answerSpawned()
		syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "answers":
		answerSpawned()
	}
	os.Exit(0)
}

func answerSpawned() {
	lines := surroundings()
	conn, err := FileConn(os.NewFile(3, "call"))
	if err != nil {
		os.Exit(4)
	}
	ctx, _, err := conn.Accept(context.Background())
	if err != nil {
		os.Exit(5)
	}
	ticket, _ := conn.Authtok(ctx, "Ticket: ")
	for _, line := range lines {
		conn.Log(LogInfo, line)
	}
	if string(ticket) == "good" {
		conn.Result(Success)
	} else {
		conn.Result(AuthErr)
	}
}

func welcomeSpawned() {
	conn, err := FileConn(os.NewFile(3, "call"))
	if err != nil {
		os.Exit(4)
	}
	if _, _, err := conn.Accept(context.Background()); err != nil {
		os.Exit(5)
	}
	conn.Result(Success)
}

// surroundings is what a started worker finds itself in. The Go runtime's own descriptors are not the module's doing.
func surroundings() []string {
	fds, _ := filepath.Glob("/proc/self/fd/*")
	open := ""
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to, "/sys/fs/cgroup/") {
			open += " " + filepath.Base(fd) + ":" + strings.SplitN(to, ":", 2)[0]
		}
	}
	wd, _ := os.Getwd()
	var core syscall.Rlimit
	syscall.Getrlimit(syscall.RLIMIT_CORE, &core)
	status, _ := os.ReadFile("/proc/self/status")
	lines := []string{"argv: " + strings.Join(os.Args, " "), "open:" + open, "cwd: " + wd,
		fmt.Sprintf("core: %d", core.Max), "env: " + strings.Join(os.Environ(), " "),
		fmt.Sprintf("session leader: %v", sessionID() == os.Getpid()), scheduling()}
	for line := range strings.SplitSeq(string(status), "\n") {
		if strings.HasPrefix(line, "Uid") || strings.HasPrefix(line, "Gid") || strings.HasPrefix(line, "Groups") || strings.HasPrefix(line, "Umask") {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
	}
	return lines
}

func scheduling() string {
	policy, _, _ := syscall.RawSyscall(syscall.SYS_SCHED_GETSCHEDULER, 0, 0, 0)
	nice, _ := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	return fmt.Sprintf("policy %d, nice %d", policy, 20-nice) // as the kernel has it, which knows no negative results
}

func sessionID() int {
	sid, _, _ := syscall.RawSyscall(syscall.SYS_GETSID, 0, 0, 0)
	return int(sid)
}

// asNobody does something with the ids of nobody, on a thread that is thrown away.
func asNobody(do func() error) error {
	runtime.LockOSThread()
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), 65534, ^uintptr(0)); errno != 0 {
		return errno
	}
	return do()
}

// install puts this binary where the module looks for its worker, every folder root's alone.
func install(t *testing.T, role string) {
	t.Helper()
	os.Remove(testSocket)
	os.RemoveAll(stage + "/safe")
	os.RemoveAll(stage + "/elsewhere")
	if err := os.MkdirAll(filepath.Dir(testWorker), 0o755); err != nil {
		t.Fatal(err)
	}
	copyFile(t, "/proc/self/exe", testWorker)
	if err := os.WriteFile(filepath.Dir(testWorker)+"/role", []byte(role), 0o644); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAWorkerIsStartedWhenNobodyListens(t *testing.T) {
	need(t)
	install(t, "answers")
	cmd := hostCommand("nobody", "good", "authenticate")
	cmd.Env = append(cmd.Env, "GODEBUG=inittrace=1", "HTTPS_PROXY=http://evil.example", "LC_ALL=xx")
	cmd.Dir = "/tmp"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	contains(t, string(out), "authenticate: 0\n", "argv: pwb worker --call\n", "open: 0:/dev/null 1:/dev/null 2:/dev/null 3:socket\n",
		"cwd: /\n", "core: 0\n", "env: GOMAXPROCS=1 GOTRACEBACK=none\n", "session leader: true\n",
		"Uid: 0 0 0 0\n", "Gid: 0 0 0 0\n", "Groups:\n", "Umask: 0077\n", "descriptors left: 0\n")
	contains(t, runHost(t, "nobody", "bad", "authenticate"), "authenticate: 7\n")
}

// A person runs su when nobody else leaves it the processor (chrt --idle), and the worker then holds up everybody's logins.
func TestAStartedWorkerIsNotAsSlowAsItsHost(t *testing.T) {
	need(t)
	install(t, "answers")
	host := hostCommand("nobody", "good", "authenticate")
	cmd := exec.Command("chrt", append([]string{"--idle", "0", "nice", "-n", "19"}, host.Args...)...)
	cmd.Env = host.Env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	contains(t, string(out), "authenticate: 0\n", "policy 0, nice 0\n")
}

func TestAStartedWorkerThatMisbehaves(t *testing.T) {
	need(t)
	for _, tt := range []struct {
		role, want string
		limit      time.Duration
	}{
		{"dies", "authenticate: 9\n", 8 * time.Second},
		{"silent", "authenticate: 9\n", 8 * time.Second},
		{"lingers", "authenticate: 0\n", 8 * time.Second},
		{"stops", "authenticate: 0\n", 8 * time.Second},
	} {
		t.Run(tt.role, func(t *testing.T) {
			install(t, tt.role)
			began := time.Now()
			contains(t, runHost(t, "nobody", "good", "authenticate"), tt.want, "descriptors left: 0\n")
			if took := time.Since(began); took > tt.limit {
				t.Errorf("the host waited %v, want at most %v", took, tt.limit)
			}
			nobodyRuns(t, testWorker)
		})
	}
}

// nobodyRuns waits until no process runs the program.
func nobodyRuns(t *testing.T, program string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		left := ""
		exes, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, exe := range exes {
			if to, err := os.Readlink(exe); err == nil && to == program {
				left += " " + exe
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("still running:%s", left)
		}
	}
}

// The program that root's hosts run must be root's to write, and so must every folder above it.
func TestAWorkerThatOthersCouldHaveChangedIsNotRun(t *testing.T) {
	need(t)
	const nobody = 65534
	folder := filepath.Dir(testWorker)
	above := filepath.Dir(folder)
	for _, tt := range []struct {
		name string
		do   func() error
		want string
	}{
		{"not there", func() error { return os.Remove(testWorker) }, "No such file or directory"},
		{"writable by its group", func() error { return os.Chmod(testWorker, 0o775) }, "Operation not permitted"},
		{"writable by others", func() error { return os.Chmod(testWorker, 0o757) }, "Operation not permitted"},
		{"somebody's", func() error { return os.Chown(testWorker, nobody, 0) }, "Operation not permitted"},
		{"not executable", func() error { return os.Chmod(testWorker, 0o644) }, "Permission denied"},
		{"a link", func() error { return moveAndLink(testWorker) }, "Too many levels of symbolic links"},
		{"a folder", func() error { os.Remove(testWorker); return os.Mkdir(testWorker, 0o755) }, "Operation not permitted"},
		{"a FIFO", func() error { os.Remove(testWorker); return syscall.Mkfifo(testWorker, 0o755) }, "Operation not permitted"},
		{"a script", func() error { os.Remove(testWorker); return os.WriteFile(testWorker, []byte("#!/bin/sh\n"), 0o755) }, "No such file or directory"},
		{"in a folder that is somebody's", func() error { return os.Chown(folder, nobody, 0) }, "Operation not permitted"},
		{"in a folder writable by its group", func() error { return os.Chmod(folder, 0o775) }, "Operation not permitted"},
		{"in a folder like /tmp", func() error { return os.Chmod(folder, 0o777|os.ModeSticky) }, "Operation not permitted"},
		{"in a folder that is a link", func() error { return moveAndLink(folder) }, "Not a directory"},
		{"below a folder that is somebody's", func() error { return os.Chown(above, nobody, 0) }, "Operation not permitted"},
		{"below a folder that is a link", func() error { return moveAndLink(above) }, "Not a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			install(t, "answers")
			contains(t, runHost(t, "nobody", "good", "authenticate"), "authenticate: 0\n")
			if err := tt.do(); err != nil {
				t.Fatal(err)
			}
			contains(t, runHost(t, "nobody", "good", "authenticate"), "authenticate: 9\n",
				"start "+testWorker+" for this call: "+tt.want, "descriptors left: 0\n")
		})
	}
}

func moveAndLink(name string) error {
	if err := os.Rename(name, stage+"/elsewhere"); err != nil {
		return err
	}
	return os.Symlink(stage+"/elsewhere", name)
}

func TestAHostWithoutRootStartsNothing(t *testing.T) {
	need(t)
	install(t, "answers")
	cmd := hostCommand("nobody", "good", "authenticate")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	contains(t, string(out), "authenticate: 9\n", "only root can do without")
}

// A resident worker makes homes where it is. A host in a mount namespace of its own was once told of success, and had no home.
func TestAHomeIsMadeWhereTheHostIs(t *testing.T) {
	need(t)
	for _, tt := range []struct {
		where  string
		flags  uintptr
		starts bool
	}{
		{"where the worker is", 0, false},
		{"in a namespace", syscall.CLONE_NEWNS, true},
	} {
		install(t, "welcomes")
		serveCalls(t, func(_ context.Context, c *Conn, _ *Call) { c.Result(Success) }) // nobody's home is not there after that
		cmd := hostCommand("nobody", "", "open_session")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: tt.flags}
		out, err := cmd.CombinedOutput()
		contains(t, string(out), "open_session: 0\n", "descriptors left: 0\n")
		_, started := os.Stat(filepath.Dir(testWorker) + "/started")
		if err != nil || (started == nil) != tt.starts {
			t.Errorf("%s: %v; a worker was started: %v, want %v", tt.where, err, started == nil, tt.starts)
		}
	}
}
