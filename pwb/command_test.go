package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pwb-project/pwb/internal/nstest"
	"github.com/pwb-project/pwb/internal/ticket/oidctest"
)

// This binary plays pwb when it is told to.
func TestMain(m *testing.M) {
	if name := os.Getenv("PWB_CHILD"); name != "" {
		os.Args[0] = name
		main()
		os.Exit(0)
	}
	nstest.Main(m, "/run")
}

// tree is a root of its own for pwb --root.
type tree struct {
	t   *testing.T
	dir string
}

func newTree(t *testing.T) *tree { return &tree{t, t.TempDir()} }

func (r *tree) write(name, text string, mode os.FileMode) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
		r.t.Fatal(err)
	}
}

// pwb runs the command and returns its streams, with the root's path taken out, and its status.
func (r *tree) pwb(input string, args ...string) (out, errs string, status int) {
	r.t.Helper()
	return r.as("pwb", input, append([]string{"--root", r.dir}, args...)...)
}

func (r *tree) as(name, input string, args ...string) (out, errs string, status int) {
	r.t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), "PWB_CHILD="+name, "GORACE=atexit_sleep_ms=0") // the race detector sleeps a second at exit
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	return strings.ReplaceAll(stdout.String(), r.dir, ""), strings.ReplaceAll(stderr.String(), r.dir, ""), cmd.ProcessState.ExitCode()
}

// The guide's way: encrypt, write the files, check.
func TestTheGuidesSteps(t *testing.T) {
	r := newTree(t)
	idp := oidctest.New(t, "")
	value, errs, status := r.pwb("the client secret\nnot this\n", "encrypt-password")
	if status != 0 || errs != "" || !strings.HasPrefix(value, "pwb1:") || strings.Count(value, "\n") != 1 {
		t.Fatalf("encrypt-password: %q, %q, %d", value, errs, status)
	}
	if st, err := os.Stat(r.dir + "/etc/rstudio/pwb-secret.key"); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", st, err)
	}
	r.write("/etc/rstudio/rserver.conf", "auth-openid=1\nauth-openid-issuer="+idp.URL+"\nserver-user=rstudio-server\n", 0o644)
	r.write("/etc/rstudio/openid-client-secret", "client-id="+oidctest.ClientID+"\nclient-secret="+value, 0o600)
	r.write("/etc/rstudio/pwb.conf", "allow-loopback-http=1\n", 0o644)
	out, errs, status := r.pwb("", "config", "check")
	if status != 0 || errs != "" {
		t.Errorf("config check: %q, %q, %d", out, errs, status)
	}
	for _, want := range []string{"/etc/rstudio/rserver.conf:2", "[encrypted by pwb]", "/etc/rstudio/openid-client-secret:2", `key "1" for ES256`, "other keys of rserver.conf, not pwb's: server-user"} {
		if !strings.Contains(out, want) {
			t.Errorf("config check does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "the client secret") {
		t.Error("config check shows the secret")
	}
	out, _, status = r.pwb("", "config", "check", "--json")
	var report struct {
		Settings []struct{ Key, Value, File string }
		Problems []problem
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || status != 0 || len(report.Settings) < 20 || len(report.Problems) != 0 {
		t.Errorf("--json: %v, %d, %+v", err, status, report)
	}
	idp.Stop()
	if out, errs, status = r.pwb("", "config", "check"); status != 1 || !strings.Contains(errs, "connection refused") {
		t.Errorf("with the provider down: %q, %q, %d", out, errs, status)
	}
	if _, errs, status = r.pwb("", "config", "check", "--offline"); status != 0 {
		t.Errorf("--offline: %q, %d", errs, status)
	}
	os.Remove(r.dir + "/etc/rstudio/pwb-secret.key")
	if _, errs, status = r.pwb("", "config", "check", "--offline"); status != 1 || !strings.Contains(errs, "decrypt client-secret") {
		t.Errorf("without the key: %q, %d", errs, status)
	}
}

func TestEncryptPassword(t *testing.T) {
	r := newTree(t)
	if _, errs, status := r.pwb("\n", "encrypt-password"); status != 1 || errs != "pwb: read the secret: it is empty\n" {
		t.Errorf("empty: %q, %d", errs, status)
	}
	if _, errs, status := r.pwb("", "encrypt-password", "on-the-command-line"); status != 2 || !strings.Contains(errs, "can be seen by others") {
		t.Errorf("an argument: %q, %d", errs, status)
	}
	if _, errs, status := r.pwb("x\n", "encrypt-password", "--posit-compat"); status != 1 || !strings.Contains(errs, "read Workbench's key") {
		t.Errorf("--posit-compat without its key: %q, %d", errs, status)
	}
	r.write("/etc/rstudio/secure-cookie-key", "d3161166-e89b-4158-af3b-5980e3056cc6\n", 0o600)
	if out, errs, status := r.pwb("x\n", "encrypt-password", "--posit-compat"); status != 0 || !strings.HasPrefix(out, "BFA25145") || !strings.HasSuffix(out, "BFA25145\n") {
		t.Errorf("--posit-compat: %q, %q, %d", out, errs, status)
	}
	r.pwb("one\n", "encrypt-password")
	os.Chmod(r.dir+"/etc/rstudio/pwb-secret.key", 0o644)
	if _, errs, status := r.pwb("two\n", "encrypt-password"); status != 1 || !strings.Contains(errs, "run: chmod 0600 /etc/rstudio/pwb-secret.key") {
		t.Errorf("a key that others can read: %q, %d", errs, status)
	}
}

func TestProblemsAndStatuses(t *testing.T) {
	r := newTree(t)
	if _, errs, status := r.pwb("", "config", "check"); status != 1 || errs != "pwb: OpenID Connect is not configured: /etc/rstudio/rserver.conf does not say auth-openid=1\n" {
		t.Errorf("nothing there: %q, %d", errs, status)
	}
	r.write("/etc/rstudio/rserver.conf", "auth-openid=1\nauth-openid-issuer=https://login.microsoftonline.com/organizations/v2.0\n", 0o644)
	r.write("/etc/rstudio/openid-client-secret", "client-id=x\n", 0o644)
	_, errs, status := r.pwb("", "config", "check")
	for _, want := range []string{"write your own tenant's GUID", "client secret is readable by others (mode 0644); run: chmod 0600 /etc/rstudio/openid-client-secret"} {
		if status != 1 || !strings.Contains(errs, want) {
			t.Errorf("config check: %d, not %q in %q", status, want, errs)
		}
	}
	for _, args := range [][]string{{"dance"}, {"session"}, {"mkhomedir"}, {"lock-user"}} {
		if _, errs, status := r.pwb("", args...); status != 2 || errs == "" {
			t.Errorf("%v: %q, %d", args, errs, status)
		}
	}
	if _, errs, status := r.pwb("", "lock-user", "nobody-here"); status != 1 || !strings.Contains(errs, "no such account in the store") {
		t.Errorf("lock-user: %q, %d", errs, status)
	}
	if out, errs, status := r.pwb("", "list-users", "--json"); status != 0 || out != "[]\n" {
		t.Errorf("list-users: %q, %q, %d", out, errs, status)
	}
}
