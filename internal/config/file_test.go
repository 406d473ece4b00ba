package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// An operator's error ends in the next step.
func TestFilesThatAreNotTrusted(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(r Root) error
		want  string
	}{
		{"secret readable by the group", chmod(SecretFile, 0o640), "openid-client-secret: client secret is readable by others (mode 0640); run: chmod 0600 ROOT/etc/rstudio/openid-client-secret"},
		{"secret writable by others", chmod(SecretFile, 0o602), "(mode 0602); run: chmod 0600 ROOT/etc/rstudio/openid-client-secret"},
		{"rserver.conf writable by others", chmod(ServerFile, 0o666), "rserver.conf: can be written by others (mode 0666); run: chmod 0644 ROOT/etc/rstudio/rserver.conf"},
		{"pwb.conf writable by the group", chmod(OwnFile, 0o664), "pwb.conf: can be written by others (mode 0664); run: chmod 0644 ROOT/etc/rstudio/pwb.conf"},
		{"login.defs writable by others", chmod(loginDefs, 0o666), "login.defs: can be written by others (mode 0666)"},
		{"pwb.conf a FIFO", func(r Root) error {
			return errors.Join(os.Remove(r.Join(OwnFile)), syscall.Mkfifo(r.Join(OwnFile), 0o600))
		}, "pwb.conf: not a regular file"},
		{"pwb.conf a folder", func(r Root) error {
			return errors.Join(os.Remove(r.Join(OwnFile)), os.Mkdir(r.Join(OwnFile), 0o700))
		}, "pwb.conf: not a regular file"},
		{"pwb.conf a loop", func(r Root) error {
			return errors.Join(os.Remove(r.Join(OwnFile)), os.Symlink("pwb.conf", r.Join(OwnFile)))
		}, "pwb.conf: too many levels of symbolic links"},
		{"pwb.conf huge", func(r Root) error { return os.Truncate(r.Join(OwnFile), maxFile+1) }, "pwb.conf: over 1048576 bytes"},
		{"no secret", func(r Root) error { return os.Remove(r.Join(SecretFile)) }, "openid-client-secret: does not exist; write client-id"},
	} {
		files := guide("", "")
		files[loginDefs] = "UID_MIN 500\n"
		l := tree(t, files)
		if err := tt.spoil(l.Root); err != nil {
			t.Fatal(err)
		}
		_, err := l.Load()
		want := strings.ReplaceAll(tt.want, "ROOT", string(l.Root))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("%s: %v, want %q alone", tt.name, err, want)
		}
	}
}

func chmod(name string, mode os.FileMode) func(Root) error {
	return func(r Root) error { return os.Chmod(r.Join(name), mode) }
}

// stat is what a look at a file gives: somebody's, with a mode.
type stat struct {
	os.FileInfo
	uid  int
	mode os.FileMode
}

func (s stat) Mode() os.FileMode { return s.mode }
func (s stat) Sys() any          { return &syscall.Stat_t{Uid: uint32(s.uid)} }

func TestOwners(t *testing.T) {
	const service, somebody = 4242, 4243
	l := Loader{ServiceUID: func() int { return service }}
	for _, tt := range []struct {
		check trust
		uid   int
		want  string
	}{
		{l.private("key"), 0, ""},
		{l.private("key"), service, ""},
		{l.private("key"), os.Geteuid(), ""},
		{l.private("key"), somebody, "belongs to uid 4243; run: chown rstudio-server:rstudio-server /f"},
		{l.public, somebody, "belongs to uid 4243; run: chown root /f"},
		{Loader{}.public, service, "belongs to uid 4242; run: chown root /f"}, // the zero Loader trusts less
	} {
		if err := tt.check("/f", stat{uid: tt.uid, mode: 0o600}); message(err) != tt.want {
			t.Errorf("uid %d: %v, want %q", tt.uid, err, tt.want)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Who is not root is told so. The reader is another process, an ordinary user's.
func TestFilesThatOnlyRootReads(t *testing.T) {
	if dir := os.Getenv("PWB_CONFIG_ROOT"); dir != "" {
		_, err := Loader{Root: Root(dir)}.Load()
		fmt.Println(err)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	l := tree(t, guide("", ""))
	openUp(t, string(l.Root))
	if err := os.Chmod("/proc/self/exe", 0o755); err != nil { // built under the caller's umask
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestFilesThatOnlyRootReads$")
	cmd.Env = append(os.Environ(), "PWB_CONFIG_ROOT="+string(l.Root))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if want := l.Root.Join(SecretFile) + ": permission denied; run as root\n"; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("somebody else: %v, %s; want %q", err, out, want)
	}
}

// openUp lets everybody through the folders of a test.
func openUp(t *testing.T, dir string) {
	t.Helper()
	for ; dir != os.TempDir() && dir != "/"; dir = parent(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func parent(dir string) string { return dir[:max(strings.LastIndexByte(dir, '/'), 1)] }

func TestKeysOfSecrets(t *testing.T) {
	l := tree(t, map[string]string{KeyFile: strings.Repeat("ab", 32) + "\n", CookieKey: "0123"})
	if _, err := l.Key(); err != nil {
		t.Errorf("Key: %v", err)
	}
	if key, err := l.WorkbenchKey(); err != nil || string(key) != "0123" {
		t.Errorf("WorkbenchKey: %q, %v", key, err)
	}
	os.Chmod(l.Root.Join(KeyFile), 0o644)
	os.Chmod(l.Root.Join(CookieKey), 0o640)
	_, err := l.Key()
	if want := fmt.Sprintf("%[1]s: key is readable by others (mode 0644); run: chmod 0600 %[1]s", l.Root.Join(KeyFile)); message(err) != want {
		t.Errorf("Key: %v, want %q", err, want)
	}
	_, err = l.WorkbenchKey()
	if want := fmt.Sprintf("%[1]s: key is readable by others (mode 0640); run: chmod 0600 %[1]s", l.Root.Join(CookieKey)); message(err) != want {
		t.Errorf("WorkbenchKey: %v, want %q", err, want)
	}
	if _, err := tree(t, nil).Key(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no key: %v, want %v", err, fs.ErrNotExist)
	}
}

// workbench.md 1: "default auto = UID_MIN of login.defs, else 1000".
func TestMinimumUserID(t *testing.T) {
	for _, tt := range []struct {
		defs, server string
		want         uint32
		line         int // of login.defs
	}{
		{"", "", 1000, 0},
		{"# UID_MIN 1\n\nUID_MIN\t\t  500\n", "", 500, 3},
		{"UID_MIN 500\n", "auth-minimum-user-id=auto\n", 500, 1},
		{"UID_MIN 500\n", "auth-minimum-user-id=100\n", 100, 0},
		{"UID_MIN 0x200\nUID_MIN 01000\n", "", 512, 2},
		{"UID_MIN 0\nUID_MIN many\nSYS_UID_MIN 101\nUID_MIN\n", "", 1000, 0},
	} {
		files := guide(tt.server, "")
		if tt.defs != "" {
			files[loginDefs] = tt.defs
		}
		l := tree(t, files)
		c, err := l.Load()
		if err != nil {
			t.Fatal(err)
		}
		if c.MinUID != tt.want {
			t.Errorf("%q with %q: %d, want %d", tt.defs, tt.server, c.MinUID, tt.want)
		}
		from := inForce(t, c, "auth-minimum-user-id")
		if tt.line > 0 && (from.File != l.Root.Join(loginDefs) || from.Line != tt.line) {
			t.Errorf("%q with %q comes from %+v, want line %d of login.defs", tt.defs, tt.server, from, tt.line)
		}
	}
}

func inForce(t *testing.T, c *Config, key string) InForce {
	t.Helper()
	for _, s := range c.InForce {
		if s.Key == key {
			return s
		}
	}
	t.Errorf("%s is not in force", key)
	return InForce{}
}
