package hosttest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// ownCgroup makes a control group that belongs to a person, as systemd does for what "systemd-run --user --scope" runs.
func ownCgroup(t *testing.T, uid int) string {
	t.Helper()
	for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(mount + "/cgroup.procs"); err != nil {
			continue
		}
		dir := filepath.Join(mount, fmt.Sprintf("pwb-test-%d", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skip("no control group can be made here: ", err)
		}
		t.Cleanup(func() { os.Remove(dir) })
		for _, name := range []string{"", "cgroup.procs", "cgroup.freeze"} {
			if err := os.Chown(filepath.Join(dir, name), uid, uid); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	t.Skip("no unified hierarchy of control groups")
	return ""
}

// A person can stop what is in a control group of his own, root's processes too. The worker that su starts there used to be
// among them, and what it stopped in may be the write for which every other login waits.
func TestAStartedWorkerIsNotInTheUsersCgroup(t *testing.T) {
	newMachine(t, "")
	dir := ownCgroup(t, 54322)
	su := exec.Command("sh", "-c", `echo 0 >"$1/cgroup.procs" && exec setpriv --reuid=54322 --regid=54322 --clear-groups su alice -c true`, "-", dir)
	su.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := su.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := su.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := su.Start(); err != nil {
		t.Fatal(err)
	}
	defer su.Wait()
	defer in.Close()
	if said, err := bufio.NewReader(out).ReadString(':'); !strings.HasSuffix(said, "Ticket:") { // the worker asks: it has begun
		t.Fatalf("su says %q, %v", said, err)
	}
	text, err := os.ReadFile(dir + "/cgroup.procs")
	if err != nil {
		t.Fatal(err)
	}
	inside, workers := strings.Fields(string(text)), 0
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range all {
		line, _ := os.ReadFile(name)
		status, _ := os.ReadFile(filepath.Dir(name) + "/status")
		_, rest, _ := strings.Cut(string(status), "PPid:\t")
		parent, _, _ := strings.Cut(rest, "\n") // the module's nanny, which stays with its host
		if !strings.HasPrefix(string(line), "pwb\x00worker\x00--call") || !slices.Contains(inside, parent) {
			continue
		}
		workers++
		if pid := filepath.Base(filepath.Dir(name)); slices.Contains(inside, pid) {
			t.Errorf("the worker %s is in the user's control group", pid)
		}
	}
	if workers != 1 {
		t.Errorf("%d workers of hosts in the user's control group %v; want 1", workers, inside)
	}
}
