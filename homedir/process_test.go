package homedir

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// child is this test binary making one home, as PWB_HOMEDIR_CHILD says: the folder of a place.
func child() int {
	dir := os.Getenv("PWB_HOMEDIR_CHILD")
	if refused := os.Getenv("PWB_HOMEDIR_WITHOUT"); refused != "" {
		if err := refuse(missing[refused]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
	}
	opts := Options{Skel: dir + "/skel", LockDir: dir + "/locks", Modes: WithUmask(0o022)}
	if _, err := Make(ctx, dir+"/home/alice", owner, opts); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (p *place) child(env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), "PWB_HOMEDIR_CHILD="+p.dir), env...)
	return cmd
}

// missing is what some machines do not have, or do not allow.
var missing = map[string][]call{
	// old kernels, NFS and the seccomp filters of containers
	"new calls": {
		{unix.SYS_RENAMEAT2, unix.EINVAL}, {unix.SYS_OPENAT2, unix.ENOSYS}, {unix.SYS_COPY_FILE_RANGE, unix.ENOSYS},
		{unix.SYS_UNSHARE, unix.EPERM}, {unix.SYS_SYNC_FILE_RANGE, unix.ENOSYS},
	},
	// NFS that makes root nobody
	"root": {{unix.SYS_FCHOWN, unix.EPERM}},
	// the folders of vboxsf and of 9p as Plan 9 has it
	"fsync": {{unix.SYS_FSYNC, unix.EINVAL}},
	// a disk that is broken
	"disk": {{unix.SYS_FSYNC, unix.EIO}},
	// NFSv4 has ACLs of its own, which its server inherits
	"ACLs": {{unix.SYS_FGETXATTR, unix.EOPNOTSUPP}},
}

type call struct {
	number uint32
	errno  syscall.Errno
}

// refuse has the kernel refuse calls to this process.
func refuse(calls []call) error {
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the number of the call
	for _, c := range calls {
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: c.number, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(c.errno)})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall6(uintptr(calls[0].number), ^uintptr(0), 0, 0, 0, 0, 0); errno != calls[0].errno {
		return fmt.Errorf("the filter does not work: %w", errno)
	}
	return nil
}

// Every fall-back at once, each of them from the kernel's own mouth.
func TestAnOldKernel(t *testing.T) {
	p := newPlace(t)
	for n := range 30 {
		p.skel(fmt.Sprintf("d%d/sub/file", n), "x", 0o640)
	}
	p.skel("large", strings.Repeat("0123456789abcdef", 40_000), 0o644)
	was := unix.Umask(0o777) // without a umask of its own, the thread has the process's
	out, err := p.child("PWB_HOMEDIR_WITHOUT=new calls").CombinedOutput()
	unix.Umask(was)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if mode, _ := stat(t, p.home()+"/d7/sub/file"); mode != 0o640 {
		t.Errorf("a file has %v", mode)
	}
	if mode, _ := stat(t, p.home()+"/d7/sub"); mode.Perm() != 0o755 {
		t.Errorf("a folder has %v", mode)
	}
	if b, _ := os.ReadFile(p.home() + "/large"); len(b) != 640_000 || string(b[639_984:]) != "0123456789abcdef" {
		t.Errorf("a large file has %d bytes", len(b))
	}
	if out, err := p.child("PWB_HOMEDIR_WITHOUT=new calls").CombinedOutput(); err != nil {
		t.Errorf("the second login: %v: %s", err, out)
	}
	if left, _ := os.ReadDir(p.dir + "/home"); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// Where root may not be root, the building site goes too.
func TestWithoutRoot(t *testing.T) {
	p := newPlace(t)
	p.must(os.Mkdir(p.dir+"/locks", 0o700))
	out, err := p.child("PWB_HOMEDIR_WITHOUT=root").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "operation not permitted") {
		t.Errorf("%v: %s", err, out)
	}
	p.nothing()
	p.must(os.Remove(p.dir + "/home")) // it would be made
	if out, err := p.child("PWB_HOMEDIR_WITHOUT=root").CombinedOutput(); err == nil || exists(p.dir+"/home") {
		t.Errorf("%v: %s; a folder above the home that cannot be given its owner is there: %v", err, out, exists(p.dir+"/home"))
	}
}

// fsync(2), EINVAL: "fd is bound to a special file which does not support synchronization."
func TestWithoutFsync(t *testing.T) {
	p := newPlace(t)
	p.skel("dir/file", "x", 0o644)
	if out, err := p.child("PWB_HOMEDIR_WITHOUT=fsync").CombinedOutput(); err != nil || !exists(p.home()+"/dir/file") {
		t.Errorf("%v: %s", err, out)
	}
}

// What is not on the disk is no home.
func TestADiskThatIsBroken(t *testing.T) {
	p := newPlace(t)
	p.skel("file", "x", 0o644)
	out, err := p.child("PWB_HOMEDIR_WITHOUT=disk").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "input/output error") {
		t.Errorf("%v: %s", err, out)
	}
	p.nothing()
}

// pam_limits may set RLIMIT_FSIZE before the home is made; SIGXFSZ ends a process that does not expect it.
func TestALimitOnFileSizesIsAnError(t *testing.T) {
	p := newPlace(t)
	p.skel("large", strings.Repeat("x", 100_000), 0o644)
	self, err := os.Executable()
	p.must(err)
	cmd := exec.Command("sh", "-c", `ulimit -f 16; exec "$0"`, self)
	cmd.Env = p.child().Env
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), `copy "large" of the skeleton: file too large`) {
		t.Errorf("%v: %s", err, out)
	}
	p.nothing()
}

// CVE-2020-10737 and its kin: four processes of the new user look for anything of the growing home that they can enter, and
// swap its folders for links to a folder of root's.
func TestNobodyGainsByRacing(t *testing.T) {
	p := newPlace(t)
	for n := range 60 {
		p.skel(fmt.Sprintf("d%d/sub/file", n), "x", 0o644)
	}
	p.must(os.Mkdir(p.dir+"/victim", 0o755), os.Mkdir(p.dir+"/old", 0o700), os.Mkdir(p.dir+"/notes", 0o700), os.Chown(p.dir+"/notes", int(owner.UID), -1))
	_, before := stat(t, p.dir+"/victim")
	for range 4 {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{"PWB_HOMEDIR_ATTACKER=" + p.dir}
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.UID, Gid: owner.GID}} // no Pdeathsig: Make ends threads
		p.must(cmd.Start())
		defer func() { cmd.Process.Kill(); cmd.Wait() }()
	}
	const saw, entered = "/notes/saw", "/notes/entered"
	round, patience := 0, time.Now().Add(time.Minute) // on a busy machine the attackers come late
	for ; round < 40 || !exists(p.dir+saw) && time.Now().Before(patience); round++ {
		if _, err := Make(ctx, p.home(), owner, p.opts); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if _, now := stat(t, p.dir+"/victim"); now.Uid != 0 || now.Mode != before.Mode || now.Mtim != before.Mtim {
			t.Fatalf("round %d: root's folder has changed: %+v", round, now)
		}
		if _, st := stat(t, p.home()); st.Uid != owner.UID {
			t.Fatalf("round %d: the home belongs to uid %d", round, st.Uid)
		}
		if exists(p.dir + entered) {
			t.Fatalf("round %d: an attacker was in the building site", round)
		}
		p.must(os.Rename(p.home(), fmt.Sprintf("%s/old/%d", p.dir, round))) // they are still in it: it cannot be removed
	}
	t.Logf("%d rounds", round)
	if !exists(p.dir + saw) {
		t.Errorf("in %d rounds no attacker saw a building site: this has proved nothing", round)
	}
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// attack is a process of the new user, until it is killed or its parent is. What it finds out it notes.
func attack(dir string) {
	for parent := os.Getppid(); os.Getppid() == parent; {
		sites, _ := filepath.Glob(dir + "/home/.pwb-mk.*")
		for _, site := range append(sites, dir+"/home/alice") {
			if st, err := os.Lstat(site); err == nil && st.Sys().(*syscall.Stat_t).Uid == 0 {
				os.WriteFile(dir+"/notes/saw", nil, 0o600)
			}
			if f, err := os.Open(site); err == nil {
				// It is handed over when it is whole; to be inside while it is root's is the hole.
				if st, err := f.Stat(); err == nil && st.Sys().(*syscall.Stat_t).Uid == 0 {
					os.WriteFile(dir+"/notes/entered", nil, 0o600)
				}
				f.Close()
			}
			for n := range 60 {
				sub := fmt.Sprintf("%s/d%d", site, n)
				if os.Rename(sub, sub+".x") != nil && n == 0 {
					break
				}
				os.Symlink(dir+"/victim", sub)
			}
		}
	}
}
