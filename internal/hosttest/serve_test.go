package hosttest

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	pampwb "github.com/pwb-project/pwb/pam_pwb"
)

// withServiceUser makes the user who faces the network, and the folders that systemd-tmpfiles gives that user.
func (m *machine) withServiceUser() {
	m.t.Helper()
	if exec.Command("id", "rstudio-server").Run() != nil {
		m.expect("", 0, "", "useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "rstudio-server")
	}
	for _, step := range [][]string{
		{"install", "-d", "-m", "0700", "-o", "rstudio-server", "-g", "rstudio-server", "/var/lib/pwb"},
		{"install", "-d", "-m", "0711", "/var/log/pwb"},
		{"install", "-d", "-m", "0700", "-o", "rstudio-server", "-g", "rstudio-server", "/var/log/pwb/serve"},
		{"chown", "rstudio-server", "/etc/rstudio/openid-client-secret"},
		{"chmod", "0644", "/etc/rstudio/rserver.conf", "/etc/rstudio/pwb.conf"},
	} {
		m.expect("", 0, "", step...)
	}
}

// supervised is a service whose port systemd holds: its socket is descriptor 3.
type supervised struct {
	m      *machine
	cmd    *exec.Cmd
	notify *net.UnixConn
	url    string
	log    string
}

// serve starts "pwb serve" as the service user, with systemd's side played by the test (sd_listen_fds(3), sd_notify(3)).
func (m *machine) serve() *supervised {
	m.t.Helper()
	s := &supervised{m: m, log: m.log + ".serve"}
	var err error
	if s.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "/mnt/notify-serve", Net: "unixgram"}); err != nil {
		m.t.Fatal(err)
	}
	os.Chmod("/mnt/notify-serve", 0o666)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		m.t.Fatal(err)
	}
	defer file.Close()
	log, err := os.Create(s.log)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command("sh", "-c", "LISTEN_PID=$$ WATCHDOG_PID=$$ exec setpriv --reuid rstudio-server --regid rstudio-server --clear-groups /usr/bin/pwb serve")
	s.cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "NOTIFY_SOCKET=/mnt/notify-serve", "WATCHDOG_USEC=200000")
	s.cmd.ExtraFiles, s.cmd.Stderr, s.cmd.Dir = []*os.File{file}, log, "/"
	if err := s.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(s.stop)
	s.url = "http://" + l.Addr().String()
	s.said("READY=1")
	return s
}

func (s *supervised) stop() {
	if s.cmd != nil {
		s.cmd.Process.Signal(syscall.SIGTERM)
		if err := s.cmd.Wait(); err != nil {
			s.m.t.Errorf("pwb serve ended: %v\n%s", err, s.logged())
		}
		s.ended()
	}
}

func (s *supervised) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
	s.ended()
}

func (s *supervised) ended() {
	s.notify.Close()
	os.Remove("/mnt/notify-serve")
	s.cmd = nil
}

func (s *supervised) said(want string) {
	s.m.t.Helper()
	s.notify.SetReadDeadline(time.Now().Add(15 * time.Second))
	for buf := make([]byte, 256); ; {
		n, err := s.notify.Read(buf)
		if err != nil {
			s.m.t.Fatalf("pwb serve did not say %s: %v\n%s", want, err, s.logged())
		}
		if strings.Contains(string(buf[:n]), want) {
			return
		}
	}
}

func (s *supervised) logged() string {
	b, _ := os.ReadFile(s.log)
	return string(b)
}

func (s *supervised) get(path string) (int, string) {
	s.m.t.Helper()
	resp, err := http.Get(s.url + path)
	if err != nil {
		s.m.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.m.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// What faces the network is an ordinary user's, and root's part does what only root can.
func TestServeUnderASupervisor(t *testing.T) {
	m := registering(t, "")
	m.withServiceUser()
	m.start()
	s := m.serve()
	s.said("WATCHDOG=1")
	if status, body := s.get("/health-check"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("health: %d, %q", status, body)
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(s.cmd.Process.Pid) + "/status")
	if err != nil || strings.Contains(string(status), "Uid:\t0") || !strings.Contains(string(status), "CapEff:\t0000000000000000") {
		t.Errorf("its process is not an ordinary user's: %v\n%s", err, status)
	}
	m.expect(m.ticketOf("carol")+"\n", 0, "", pamtester("carol", whole...)...) // the worker writes in the same store
	m.expect("", 0, "carol:x:30000:", "getent", "passwd", "carol")
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.said("WATCHDOG=1")
	if status, _ := s.get("/health-check"); status != http.StatusOK {
		t.Errorf("after a reload: %d", status)
	}
	for _, name := range []string{"/var/lib/pwb/pwb.db", "/var/lib/pwb/pwb.db-wal", "/var/lib/pwb/pwb.db-shm"} {
		if out, _ := m.run("", "stat", "-c", "%U %a", name); out != "rstudio-server 600\n" {
			t.Errorf("%s: %q", name, out)
		}
	}
	s.stop()
}

// Who may not write the snapshot asks the worker; anybody else who asks is told nothing.
func TestTheServiceUserAsksToPublish(t *testing.T) {
	m := registering(t, "")
	m.withServiceUser()
	m.start()
	m.expect("", 0, "", "install", "-m", "0755", "/proc/"+strconv.Itoa(os.Getpid())+"/exe", "/mnt/ask")
	if err := pampwb.AskToPublish(context.Background(), "/run/pwb/worker.sock"); err != nil {
		t.Errorf("root: %v", err)
	}
	m.expect("", 0, "published", "setpriv", "--reuid", "rstudio-server", "--regid", "rstudio-server", "--clear-groups", "/mnt/ask")
	m.expect("", 1, "PAM_PERM_DENIED", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "/mnt/ask")
}
