package evict

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/account"
)

// This binary also plays processes that are hard to end: EVICT_TEST says which.
func init() {
	switch os.Getenv("EVICT_TEST") {
	case "headless": // its first thread ends, and the others go on
		runtime.LockOSThread()
		go func() {
			fmt.Println("ready")
			select {}
		}()
		go func() {
			for {
				time.Sleep(time.Hour)
			}
		}()
		unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	case "count": // what a worker sees with this process's capabilities
		n, err := Machine{}.Running(54418)
		fmt.Println(n, err)
		os.Exit(0)
	}
}

// self starts this binary as a player, with the account's ids.
func (b *bench) self(role string) {
	b.t.Helper()
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		b.t.Fatal(err)
	}
	defer exe.Close()
	if err := exe.Chmod(0o755); err != nil { // built under the caller's umask
		b.t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: "/proc/self/fd/3", Args: []string{role}, Env: []string{"EVICT_TEST=" + role}, Dir: "/", ExtraFiles: []*os.File{exe}}
	b.play(cmd)
}

// play starts a command with the account's ids and waits for its first line.
func (b *bench) play(cmd *exec.Cmd) {
	b.t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(b.uid), Gid: uint32(b.uid)}}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		cmd.Process.Kill()
		go cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		b.t.Fatal(line, err)
	}
}

// The first thread of a process can end and the others go on: it is then shown as dead, and used to be left alone.
func TestAProcessWhoseFirstThreadHasEnded(t *testing.T) {
	needRoot(t)
	b := newBench(t, "kill-now", 54416)
	b.self("headless")
	b.running(1)
	b.after(0).said("evict-kill")
	b.running(0)
}

// Whoever starts processes as fast as they are killed is ended all the same.
func TestAForkBomb(t *testing.T) {
	needRoot(t)
	b := newBench(t, "kill-now", 54417)
	b.play(exec.Command("prlimit", "--nproc=25:25", "perl", "-e", `$| = 1; print "ready\n"; 1 while defined fork || 1`))
	for n := 0; n < 15; {
		var err error
		if n, err = b.Processes.Running(b.uid); err != nil {
			t.Fatal(err)
		}
	}
	b.after(0).said("evict-kill")
	b.running(0)
}

// While somebody else starts new ones for the account all the time, those that are there are killed, not only stopped.
func TestProcessesThatOthersStart(t *testing.T) {
	needRoot(t)
	const uid = 54421
	begin := func() *exec.Cmd {
		cmd := exec.Command("/bin/sleep", "600")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if err := cmd.Start(); err != nil {
			t.Error(err)
		}
		return cmd
	}
	first := begin()
	defer first.Process.Kill()
	done := make(chan struct{})
	var others [4][]*exec.Cmd
	var starting sync.WaitGroup
	for lane := range others {
		starting.Go(func() {
			for last := first; ; {
				select {
				case <-done:
					return
				default:
				}
				if state, ours, _ := (Machine{}).of(last.Process.Pid, uid); !ours || state == 'T' { // Kill has seen it
					last = begin()
					others[lane] = append(others[lane], last)
				}
			}
		})
	}
	Machine{}.Kill(uid) // those who come last are not its fault
	close(done)
	starting.Wait()
	defer func() {
		for _, o := range slices.Concat(others[:]...) {
			o.Process.Kill()
			o.Wait()
		}
	}()
	if state, ours, err := (Machine{}).of(first.Process.Pid, uid); err != nil || ours {
		t.Errorf("the first is there yet, in state %c; %v", state, err)
	}
	first.Process.Kill()
	first.Wait()
}

// Where /proc hides other people's processes from this one, nobody is to be called ended.
func TestProcessesThatAreHidden(t *testing.T) {
	needRoot(t)
	b := newBench(t, "kill-now", 54418)
	b.session(false)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ options, want string }{
		{"hidepid=0", "2 <nil>"},
		{"hidepid=2", "2 <nil>"}, // who is in root's group sees all, when no other is named
		{"hidepid=1,gid=12345", "0 /proc hides processes (hidepid=noaccess); run: systemctl edit pwb-worker, and add there, below [Service], SupplementaryGroups=12345"},
		{"hidepid=2,gid=12345", "0 /proc hides processes (hidepid=invisible); run: systemctl edit pwb-worker, and add there, below [Service], SupplementaryGroups=12345"},
	} {
		cmd := exec.Command("unshare", "--mount", "sh", "-c", `mount -t proc -o "$1" proc /proc && exec setpriv --bounding-set=-all,+chown,+dac_override,+fowner,+kill "$2"`,
			"-", tt.options, self)
		cmd.Env = append(os.Environ(), "EVICT_TEST=count")
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != tt.want {
			t.Errorf("%s: %v\n%s, want\n%s", tt.options, err, got, tt.want)
		}
	}
}

// unkillable are processes that wait for a disk.
type unkillable struct{ Machine }

func (unkillable) Running(account.UID) (int, error) { return 1, nil }
func (unkillable) Kill(account.UID) error {
	return errors.New("1 processes are still there after SIGKILL")
}

// What cannot be ended is said, tried again ever more seldom, and never called ended.
func TestAProcessThatDoesNotEnd(t *testing.T) {
	b := newBench(t, "kill-now", 54419)
	b.Processes, b.Report = unkillable{}, func(error) {}
	b.after(0).said("evict-kill evict-failed")
	b.after(again - time.Second).said("evict-kill evict-failed")
	for range 600 { // five minutes, as the worker works
		b.after(500 * time.Millisecond)
	}
	if n := len(b.log); n < 4 || n > 10 || strings.Contains(strings.Join(b.log, " "), "evicted") {
		t.Errorf("in five minutes: %v", b.log)
	}
	all, err := b.store.Evictions(t.Context())
	if err != nil || len(all) != 1 || all[0].Problem != "1 processes are still there after SIGKILL" {
		t.Errorf("Evictions = %+v, %v", all, err)
	}
}
