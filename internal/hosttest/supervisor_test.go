package hosttest

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// systemd's side of the service: the socket on descriptor 3, readiness, the watchdog, reload and stop (sd_listen_fds(3),
// sd_notify(3)).
func TestUnderASupervisor(t *testing.T) {
	m := newMachine(t, "")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "/mnt/notify", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { notify.Close(); os.Remove("/mnt/notify") }()
	if err := os.MkdirAll("/run/pwb", 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: "/run/pwb/worker.sock", Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(m.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("sh", "-c", "LISTEN_PID=$$ WATCHDOG_PID=$$ exec /usr/bin/pwb worker")
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "NOTIFY_SOCKET=/mnt/notify", "WATCHDOG_USEC=200000")
	cmd.ExtraFiles, cmd.Stderr = []*os.File{file}, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m.worker = cmd
	t.Cleanup(m.stop)
	said := func(want string) {
		t.Helper()
		notify.SetReadDeadline(time.Now().Add(5 * time.Second))
		for buf := make([]byte, 256); ; {
			n, err := notify.Read(buf)
			if err != nil {
				t.Fatalf("the worker did not say %s: %v", want, err)
			}
			if strings.Contains(string(buf[:n]), want) {
				return
			}
		}
	}
	said("READY=1")
	said("WATCHDOG=1")
	m.expect(m.ticket()+"\n", 0, "", pamtester(user, "authenticate")...)
	m.write("/etc/rstudio/pwb.conf", "allow-loopback-http=1\nusername-domain=example.org\n", 0o644)
	cmd.Process.Signal(syscall.SIGHUP)
	m.until("it has reloaded", func() bool {
		b, _ := os.ReadFile(m.log)
		return strings.Contains(string(b), "msg=reloaded")
	})
	m.expect(m.idp.Mint("bob@example.com")+"\n", 1, "", pamtester("bob", "authenticate")...)
	m.logged("is of no domain that username-domain allows")
	m.write("/etc/rstudio/pwb.conf", "no such key\n", 0o644)
	cmd.Process.Signal(syscall.SIGHUP)
	m.until("it has complained", func() bool {
		b, _ := os.ReadFile(m.log)
		return strings.Contains(string(b), "what was in force stays")
	})
	m.expect(m.idp.Mint("bob@example.org")+"\n", 0, "", pamtester("bob", "authenticate")...)
	cmd.Process.Signal(syscall.SIGTERM)
	said("STOPPING=1")
}
