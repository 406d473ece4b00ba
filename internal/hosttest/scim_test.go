package hosttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// directory is an identity provider's side of SCIM.
type directory struct {
	t     testing.TB
	url   string
	token string
}

// directory makes a token as the operator does, on the machine of a served front.
func (m *machine) directory(url string) *directory {
	m.t.Helper()
	out, err := exec.Command("/usr/bin/pwb", "user-service", "generate-token", "Entra").Output()
	if err != nil {
		m.t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return &directory{m.t, url + "/scim/v2", lines[len(lines)-1]}
}

// impatient is a provider's client, which does not wait for ever.
var impatient = &http.Client{Timeout: 10 * time.Second}

func (d *directory) send(method, path, body string, want int) map[string]any {
	d.t.Helper()
	r, err := http.NewRequest(method, d.url+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+d.token)
	r.Header.Set("Content-Type", "application/scim+json; charset=utf-8")
	resp, err := impatient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		d.t.Fatalf("%s %s %s = %d %s, %v; want %d", method, path, body, resp.StatusCode, text, err, want)
	}
	out := map[string]any{}
	if len(bytes.TrimSpace(text)) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			d.t.Fatal(err)
		}
	}
	return out
}

func (d *directory) setActive(id, active string) {
	d.t.Helper()
	d.send("PATCH", "/Users/"+id, `{"Operations":[{"op":"Replace","path":"active","value":"`+active+`"}]}`, http.StatusOK)
}

// The provider makes an account before anybody has logged in; what its answer promises every program sees; and when it takes the
// account away nothing of it opens any door, whichever way one comes.
func TestTheProviderManagesAccounts(t *testing.T) {
	m := registering(t, "on-deactivate=kill-now\nscim-external-id=subject\n")
	m.withServiceUser()
	m.start()
	front := m.serve()
	go front.listened()
	d := m.directory(front.url)
	erin := d.send("POST", "/Users", `{"userName":"erin@example.com","displayName":"Erin: Example","externalId":"`+subjectOf("erin")+`"}`, http.StatusCreated)
	id := erin["id"].(string)
	m.expect("", 0, "erin:x:30000:30000:Erin Example:/home/people/erin:/bin/bash\n", "getent", "passwd", "erin")
	group := d.send("POST", "/Groups", `{"displayName":"Scientists","externalId":"g1"}`, http.StatusCreated)
	d.send("PATCH", "/Groups/"+group["id"].(string), `{"Operations":[{"op":"Add","path":"members","value":[{"$ref":null,"value":"`+id+`"}]}]}`, http.StatusNoContent)
	m.expect("", 0, "groups=30000(erin),30001(scientists)\n", "id", "erin")

	m.expect(m.ticketOf("erin", "somewhere-else")+"\n", 0, "session has successfully been closed.", pamtester("erin", whole...)...)
	m.expect("", 0, "groups=30000(erin),30001(scientists)\n", "id", "erin") // a ticket's groups do not count
	m.expect("", 0, "", pamtester("erin", "acct_mgmt")...)

	session := exec.Command("setpriv", "--reuid", "30000", "--regid", "30000", "--clear-groups", "sleep", "1000")
	if err := session.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { session.Wait(); close(ended) }()
	d.setActive(id, "False")
	answered := time.Now()
	for _, service := range []string{"rstudio", "sshd", "su", "cron"} { // ssh keys and cron come by the account phase alone
		m.expect("", 1, "", "/usr/bin/pamtester", service, "erin", "acct_mgmt")
	}
	if took := time.Since(answered); took > time.Second {
		t.Errorf("the account phase refused after %v", took)
	}
	m.expect(m.ticketOf("erin")+"\n", 1, "", pamtester("erin", whole...)...)
	m.expect("", 0, "erin:x:30000:", "getent", "passwd", "erin") // files keep a name
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("the session goes on")
	}
	m.until("the eviction is over", func() bool {
		out, _ := m.run("", "pwb", "users", "status", "erin")
		return strings.Contains(out, "deactivated") && !strings.Contains(out, "kill-now")
	})
	d.setActive(id, "True")
	m.expect(m.ticketOf("erin")+"\n", 0, "", pamtester("erin", whole...)...)

	d.send("DELETE", "/Users/"+id, "", http.StatusNoContent)
	m.expect("", 2, "", "getent", "passwd", "erin")
	m.expect("", 0, "scientists:x:30001:\n", "getent", "group", "scientists")
	if st, err := os.Stat("/home/people/erin"); err != nil || !st.IsDir() {
		t.Errorf("home: %v, %v", st, err)
	}
	d.send("POST", "/Users", `{"userName":"erin.new@example.com","externalId":"`+subjectOf("erin")+`"}`, http.StatusCreated)
	m.expect("", 0, "erin:x:30000:", "getent", "passwd", "erin")
	m.expect(m.ticketOf("erin")+"\n", 0, "", pamtester("erin", whole...)...)
}

// sshd with a key and cron ask nobody for a ticket: the account phase alone keeps somebody out whom the provider has deactivated.
func TestADeactivatedAccountHasNoWayIn(t *testing.T) {
	m := registering(t, "on-deactivate=let-finish\nscim-external-id=subject\n")
	m.withServiceUser()
	m.start()
	front := m.serve()
	go front.listened()
	d := m.directory(front.url)
	id := d.send("POST", "/Users", `{"userName":"erin@example.com","externalId":"`+subjectOf("erin")+`"}`, http.StatusCreated)["id"].(string)
	m.expect(m.ticketOf("erin")+"\n", 0, "", pamtester("erin", whole...)...)
	m.write("/etc/pam.d/cron", "account [success=ok new_authtok_reqd=ok user_unknown=ignore default=bad] pam_pwb.so\naccount required pam_unix.so\nsession required pam_pwb.so\n", 0o644)
	login := m.sshd()("", "-o", "PreferredAuthentications=publickey", "-i", "/mnt/ssh/id")
	login[len(login)-3] = "erin@127.0.0.1"
	for _, active := range []bool{true, false, true} {
		d.setActive(id, fmt.Sprint(active))
		status, said := 0, "30000\n"
		if !active {
			status, said = 255, ""
		}
		m.expect("", status, said, login...)
		if jobs := m.jobs("erin", 30000); jobs != active {
			t.Errorf("active: %v; cron ran erin's job: %v", active, jobs)
		}
	}
}

// TestKitSCIM runs the black-box kit against a served tree, as its users would.
func TestKitSCIM(t *testing.T) {
	kits := os.Getenv("PWB_KITS")
	if kits == "" {
		t.Skip("PWB_KITS names no kits")
	}
	f := serveTree(t)
	args := []string{"run", ".", "--quiet", "--base-url", f.url + "/scim/v2", "--token", f.token("write"),
		"--readonly-token", f.token("read", "--scope", "scim:read"), "--revoked-token", f.token("revoked")}
	f.pwb("user-service", "revoke-token", "revoked")
	cmd := exec.Command("go", args...)
	cmd.Dir = filepath.Join(kits, "scim")
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v", err)
	}
	t.Logf("%s", out)
}

// fronted is "pwb --root DIR serve" on a free port of loopback.
type fronted struct {
	t   testing.TB
	dir string
	url string
}

func serveTree(t testing.TB) *fronted {
	t.Helper()
	f := &fronted{t: t, dir: t.TempDir()}
	port := freePort(t)
	if err := os.MkdirAll(f.dir+"/etc/rstudio", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.dir+"/etc/rstudio/rserver.conf", []byte(fmt.Sprintf("www-port=%d\n", port)), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(builtFolder(), "pwb"), "--root", f.dir, "serve")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	f.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(f.url + "/health-check"); err == nil {
			resp.Body.Close()
			return f
		}
		if time.Now().After(end) {
			t.Fatal("pwb serve does not listen")
		}
	}
}

func (f *fronted) pwb(args ...string) string {
	f.t.Helper()
	out, err := exec.Command(filepath.Join(builtFolder(), "pwb"), append([]string{"--root", f.dir}, args...)...).Output()
	if err != nil {
		f.t.Fatalf("%v: %v", args, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

func (f *fronted) token(name string, args ...string) string {
	f.t.Helper()
	return f.pwb(append(append([]string{"user-service", "generate-token"}, args...), name)...)
}

// listened reads what the service says, as systemd does: who is not read waits.
func (s *supervised) listened() {
	s.notify.SetReadDeadline(time.Time{})
	for buf := make([]byte, 256); ; {
		if _, err := s.notify.Read(buf); err != nil {
			return
		}
	}
}

// subjectOf is the sub claim of the tickets that ticketOf makes.
func subjectOf(name string) string { return "s-" + name + "@example.com" }
