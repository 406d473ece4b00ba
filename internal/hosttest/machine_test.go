package hosttest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/nstest"
	"github.com/pwb-project/pwb/internal/ticket/oidctest"
	pampwb "github.com/pwb-project/pwb/pam_pwb"
)

// This binary plays another process that asks the worker to publish, under the name "ask".
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "ask" {
		if err := pampwb.AskToPublish(context.Background(), "/run/pwb/worker.sock"); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("published")
		return
	}
	nstest.Main(m, "/mnt")
}

const user = "alice"

// builtFolder is where make puts things.
func builtFolder() string {
	if dir := os.Getenv("PWB_BUILD"); dir != "" {
		return dir
	}
	dir, _ := filepath.Abs("../../build")
	return dir
}

// libFolder is where the C library of this machine looks for NSS modules.
func libFolder() string { return filepath.Dir(pamFolder()) }

// pamFolder is where libpam of this machine looks for modules.
func pamFolder() string {
	out, err := exec.Command("cc", "-print-multiarch").Output()
	if arch := strings.TrimSpace(string(out)); err == nil && arch != "" {
		return "/usr/lib/" + arch + "/security"
	}
	return "/usr/lib64/security"
}

// prepared lays memory over the machine's folders, once, and installs.
var prepared = sync.OnceValue(func() error {
	for _, dir := range []string{"/etc", "/usr", "/var"} {
		upper, work := "/mnt"+dir+"/upper", "/mnt"+dir+"/work"
		if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
			return err
		}
		if err := syscall.Mount("overlay", dir, "overlay", 0, "lowerdir="+dir+",upperdir="+upper+",workdir="+work); err != nil {
			return fmt.Errorf("lay over %s: %w", dir, err)
		}
	}
	for _, dir := range []string{"/run", "/home"} {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
			return err
		}
	}
	for from, to := range map[string]string{"pwb": "/usr/bin/pwb", "pamtester": "/usr/bin/pamtester", "pam_pwb.so": pamFolder() + "/pam_pwb.so", "libnss_pwb.so.2": libFolder() + "/libnss_pwb.so.2"} {
		if out, err := exec.Command("install", "-m", "0755", filepath.Join(builtFolder(), from), to).CombinedOutput(); err != nil {
			return fmt.Errorf("install %s (run make first): %w: %s", from, err, out)
		}
	}
	if out, err := exec.Command("cc", "-O2", "-o", "/mnt/transaction", "testdata/transaction.c", "-lpam").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	for _, args := range [][]string{
		{"useradd", "--no-create-home", "--uid", "54321", "--shell", "/bin/sh", user},
		{"useradd", "--no-create-home", "--uid", "54322", "--shell", "/bin/sh", "bob"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", args, err, out)
		}
	}
	return nil
})

// machine is the private machine with a provider and, when it runs, a resident worker.
type machine struct {
	t      testing.TB
	idp    *oidctest.Issuer
	worker *exec.Cmd
	log    string
}

// newMachine configures pwb for a new provider. stack is the PAM service "rstudio", and those of the real hosts.
func newMachine(t testing.TB, settings string) *machine {
	t.Helper()
	nstest.Need(t)
	if err := prepared(); err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, idp: oidctest.New(t, ""), log: filepath.Join(t.TempDir(), "worker.log")}
	for _, dir := range []string{"/var/lib/pwb", "/var/lib/pwb-nss", "/var/log/pwb", "/var/cache/pwb", "/run/pwb", "/home/" + user, "/etc/rstudio"} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	stack := "auth required pam_pwb.so\naccount required pam_pwb.so\nsession required pam_pwb.so umask=0077\npassword required pam_pwb.so\n"
	for name, text := range map[string]string{
		"rstudio/rserver.conf":         "auth-openid=1\nauth-openid-issuer=" + m.idp.URL + "\n",
		"rstudio/openid-client-secret": "client-id=" + oidctest.ClientID + "\nclient-secret=none\n",
		"rstudio/pwb.conf":             "allow-loopback-http=1\n" + settings,
		"pam.d/rstudio":                stack, "pam.d/sshd": stack, "pam.d/su": stack, "pam.d/sudo": stack, "pam.d/cron": stack,
	} {
		m.write("/etc/"+name, text, 0o600)
	}
	return m
}

func (m *machine) write(name, text string, mode os.FileMode) {
	m.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), mode)); err != nil {
		m.t.Fatal(err)
	}
}

// readOnly is ProtectSystem=full of the worker's unit.
const readOnly = "for dir in /usr /etc /boot; do mount --bind $dir $dir; mount -o remount,bind,ro $dir; done; "

// start starts the resident worker and waits for its socket.
func (m *machine) start() {
	m.t.Helper()
	log, err := os.Create(m.log)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	m.worker = exec.Command("unshare", "--mount", "sh", "-ec", readOnly+`exec setpriv --bounding-set "$1" /usr/bin/pwb worker`, "-", m.capabilities())
	m.worker.Stderr = log
	if err := m.worker.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(m.stop)
	m.until("the worker listens", func() bool {
		b, _ := os.ReadFile(m.log)
		return strings.Contains(string(b), "msg=listening")
	})
}

// freeze stops the worker where it holds up nobody else: not in the middle of a write (README, the risks).
func (m *machine) freeze() {
	m.t.Helper()
	m.until("the worker stands still between two writes", func() bool {
		m.worker.Process.Signal(syscall.SIGSTOP)
		stopped := unix.Waitid(unix.P_PID, m.worker.Process.Pid, nil, unix.WSTOPPED, nil)
		locks, err := os.ReadFile("/proc/locks")
		held := strings.Count(string(locks), fmt.Sprintf(" WRITE %d ", m.worker.Process.Pid))
		if err == nil && stopped == nil && held == 1 { // the lock beside its socket
			return true
		}
		m.worker.Process.Signal(syscall.SIGCONT)
		return false
	})
}

// capabilities are those that the worker's unit leaves it, for setpriv(1): what it cannot do there it must not do in a test.
func (m *machine) capabilities() string {
	m.t.Helper()
	text, err := os.ReadFile("../../pwb/systemd/pwb-worker.service")
	if err != nil {
		m.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\nCapabilityBoundingSet=")
	line, _, _ := strings.Cut(rest, "\n")
	return "-all,+" + strings.ReplaceAll(strings.ToLower(strings.ReplaceAll(line, "CAP_", "")), " ", ",+")
}

func (m *machine) stop() {
	if m.worker != nil {
		m.worker.Process.Signal(syscall.SIGCONT)
		m.worker.Process.Signal(syscall.SIGTERM)
		m.worker.Wait()
		m.worker = nil
	}
}

func (m *machine) until(what string, is func() bool) {
	m.t.Helper()
	for end := time.Now().Add(15 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			b, _ := os.ReadFile(m.log)
			m.t.Fatalf("not within 15 s: %s; the worker's log:\n%s", what, b)
		}
	}
}

// run runs a program with input and returns what it printed on both streams, and its status.
func (m *machine) run(input string, argv ...string) (string, int) {
	m.t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(input)
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatalf("%v: %v", argv, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// expect runs a program and demands its status and words in what it printed.
func (m *machine) expect(input string, status int, words string, argv ...string) {
	m.t.Helper()
	out, got := m.run(input, argv...)
	if got != status || !strings.Contains(out, words) {
		log, _ := os.ReadFile(m.log)
		m.t.Errorf("%v: status %d, want %d; printed, without %q:\n%s\nthe worker's log:\n%s", argv, got, status, words, out, log)
	}
}

func (m *machine) ticket() string { return m.idp.Mint(user + "@example.com") }

func (m *machine) logged(words string) {
	m.t.Helper()
	b, _ := os.ReadFile(m.log)
	if !strings.Contains(string(b), words) {
		m.t.Errorf("the worker's log does not say %q:\n%s", words, b)
	}
}
