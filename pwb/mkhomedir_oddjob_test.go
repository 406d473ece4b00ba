package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/nstest"
)

// pam_oddjob_mkhomedir, D-Bus and oddjobd are the real ones, and know nothing of us but our file in oddjobd.conf.d.
func TestOddjob(t *testing.T) {
	m := newOddjob(t)
	m.start("dbus-daemon", "--system", "--nofork", "--nopidfile")
	m.until("D-Bus", func() bool {
		return exec.Command("dbus-send", "--system", "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.Peer.Ping").Run() == nil
	})
	m.start("oddjobd", "-n")
	m.until("oddjobd", func() bool {
		out, _ := exec.Command("dbus-send", "--system", "--print-reply", "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.NameHasOwner", "string:com.redhat.oddjob_mkhomedir").Output()
		return bytes.Contains(out, []byte("true"))
	})
	home := m.dir + "/home/alice"
	out, err := exec.Command("pamtester", "homes", "alice", "open_session").CombinedOutput()
	if want := "Creating home directory for alice.\n"; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("open_session: %v, %q; want %q", err, out, want)
	}
	st, err := os.Stat(home)
	if err != nil {
		t.Fatal(err)
	}
	if uid := st.Sys().(*syscall.Stat_t).Uid; uid != 4711 || st.Mode().Perm() != 0o700 {
		t.Errorf("the home: uid %d, %v", uid, st.Mode())
	}
	if b, err := os.ReadFile(home + "/.profile"); err != nil || string(b) != "hello" {
		t.Errorf("the profile: %q, %v", b, err)
	}
	if left, _ := os.ReadDir(m.dir + "/home"); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if out, err := exec.Command("pamtester", "homes", "alice", "open_session").CombinedOutput(); err != nil || strings.Contains(string(out), "Creating") {
		t.Errorf("the second session: %v, %q", err, out)
	}
	request := []string{"-s", "com.redhat.oddjob_mkhomedir", "-o", "/", "-i", "com.redhat.oddjob_mkhomedir", "mkhomedirfor", "nobody-here"}
	if out, err := exec.Command("oddjob_request", request...).CombinedOutput(); err == nil || !strings.Contains(string(out), `look up "nobody-here": no such account`) {
		t.Errorf("a request for nobody: %v, %q", err, out)
	}
}

// oddjob is a machine with oddjobd, as far as this process sees.
type oddjob struct {
	t   *testing.T
	dir string
}

func newOddjob(t *testing.T) *oddjob {
	nstest.Need(t)
	for _, name := range []string{"oddjobd", "oddjob_request", "dbus-daemon", "dbus-send", "pamtester"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%v; run: make deps", err)
		}
	}
	m := &oddjob{t, "/mnt"}
	m.mount("tmpfs", m.dir, "tmpfs", 0)
	m.mount("tmpfs", "/run", "tmpfs", 0)
	m.mount("tmpfs", "/usr/libexec", "tmpfs", 0)
	m.do(os.MkdirAll("/usr/libexec/pwb", 0o755), os.MkdirAll("/run/dbus", 0o755))
	// What oddjobd runs, and what that becomes one after the other: no worker is resident here.
	for _, build := range [][]string{
		{"cc", "-o", "/usr/libexec/pwb/mkhomedir", "../mkhomedir/front/mkhomedir.c", "../pam_pwb/shim/reach.c", "../pam_pwb/shim/frame.c"},
		{"env", "CGO_ENABLED=0", "go", "build", "-ldflags", "-X main.pwbPath=/usr/libexec/pwb/pwb", "-o", "/usr/libexec/pwb/homemaker", "../mkhomedir"},
		{"go", "build", "-o", "/usr/libexec/pwb/pwb", "."},
	} {
		if out, err := exec.Command(build[0], build[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", build, err, out)
		}
	}
	m.replace("/etc/oddjobd.conf.d", map[string]string{"oddjobd-mkhomedir.conf": read(t, "../homedir/oddjob/oddjobd-mkhomedir.conf")})
	m.replace("/etc/skel", map[string]string{".profile": "hello"})
	m.replace("/etc/pam.d", map[string]string{"homes": "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\nsession optional pam_oddjob_mkhomedir.so\n"})
	m.replaceFile("/etc/passwd", read(t, "/etc/passwd")+"alice:x:4711:4712::"+m.dir+"/home/alice:/bin/sh\n")
	m.replaceFile("/etc/login.defs", "UMASK 077\n")
	return m
}

func (m *oddjob) do(errs ...error) {
	m.t.Helper()
	if err := errors.Join(errs...); err != nil {
		m.t.Fatal(err)
	}
}

// mount is undone with the test, so that other tests find the machine as it was.
func (m *oddjob) mount(source, target, kind string, flags uintptr) {
	m.t.Helper()
	data := ""
	if kind == "tmpfs" {
		data = "mode=0755"
	}
	m.do(unix.Mount(source, target, kind, flags, data))
	m.t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
}

func (m *oddjob) replace(dir string, files map[string]string) {
	m.t.Helper()
	m.mount("tmpfs", dir, "tmpfs", 0)
	for name, text := range files {
		m.do(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
}

func (m *oddjob) replaceFile(name, text string) {
	m.t.Helper()
	copied := filepath.Join(m.dir, filepath.Base(name))
	m.do(os.WriteFile(copied, []byte(text), 0o644))
	m.mount(copied, name, "", unix.MS_BIND)
}

// start runs a daemon until the test ends.
func (m *oddjob) start(name string, args ...string) {
	m.t.Helper()
	var out bytes.Buffer
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	m.do(cmd.Start())
	m.t.Cleanup(func() {
		stop()
		cmd.Wait()
		if m.t.Failed() {
			m.t.Logf("%s %s: %s", name, slices.Concat(args), out.String())
		}
	})
}

func (m *oddjob) until(what string, is func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("%s does not answer", what)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
