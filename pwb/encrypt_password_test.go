package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// encrypt-password takes the first line of standard input; what it prints is client-secret's value, and nothing else.
func TestEncryptPasswordFromStandardInput(t *testing.T) {
	r := newTree(t)
	for _, tt := range []struct {
		in, errs, want string
		status         int
	}{
		{"Dq8Q~a#b;c$HOME=d\\e", "", `Dq8Q~a#b;c$HOME=d\e`, 0},
		{"carriage return\r\n", "", "carriage return", 0},
		{"one \ntwo\n", "pwb: the blanks around the secret are left out\n", "one", 0},
		{"", "pwb: read the secret: no answer: the input has ended\n", "", 1},
		{"\n", "pwb: read the secret: it is empty\n", "", 1},
	} {
		out, errs, status := r.pwb(tt.in, "encrypt-password")
		if errs != tt.errs || status != tt.status {
			t.Errorf("%q: %q, %d; want %q, %d", tt.in, errs, status, tt.errs, tt.status)
		}
		if tt.status != 0 {
			continue
		}
		if got := r.decrypted(t, strings.TrimSuffix(out, "\n")); got != tt.want || strings.Count(out, "\n") != 1 {
			t.Errorf("%q: printed %q, which is %q; want %q", tt.in, out, got, tt.want)
		}
	}
}

func TestPasted(t *testing.T) {
	const note, noText = "pwb: the blanks around the secret are left out\n", "it has control characters, or bytes that are no text; paste the secret alone"
	for _, tt := range []struct{ in, errs, want, wantErr string }{
		{"plain", "", "plain", ""},
		{`"quoted"`, "", `"quoted"`, ""},
		{" \tblanks\u00a0", note, "blanks", ""},
		{"6731de76-14a6-49ae-97bc-6eba6914391e", "pwb: warning: the secret " + likeID + "\n", "6731de76-14a6-49ae-97bc-6eba6914391e", ""},
		{" ", "", "", "it is empty"},
		{"\x1b[200~pasted\x1b[201~", "", "", noText}, // a terminal marks what is pasted
		{"two\tparts", "", "", noText},
		{"\xff", "", "", noText},
		{"pwb1:00000000:AAAA", "", "", "it is encrypted already; write it into openid-client-secret as it is"},
		{"BFA25145AAAABFA25145 ", "", "", "it is encrypted already; write it into openid-client-secret as it is"},
	} {
		var errs strings.Builder
		got, err := pasted(&errs, tt.in)
		if err != nil && err.Error() != tt.wantErr || err == nil && tt.wantErr != "" || got != tt.want || errs.String() != tt.errs {
			t.Errorf("pasted(%q) = %q, %v, %q; want %q, %q, %q", tt.in, got, err, errs.String(), tt.want, tt.wantErr, tt.errs)
		}
	}
}

// decrypted writes a value as the guide says and reads it back as pwb does.
func (r *tree) decrypted(t *testing.T, value string) string {
	t.Helper()
	r.write("/etc/rstudio/rserver.conf", "auth-openid=1\nauth-openid-issuer=https://idp.example.com\n", 0o644)
	r.write("/etc/rstudio/openid-client-secret", "client-id=x\nclient-secret="+value+"\n", 0o600)
	cfg, err := loadConfig(r.root())
	if err != nil {
		t.Fatal(err)
	}
	text, err := cfg.Secret()
	if err != nil {
		t.Error(err)
	}
	return text.Reveal()
}

func TestEncryptPasswordForWorkbench(t *testing.T) {
	r := newTree(t)
	r.write("/etc/rstudio/secure-cookie-key", "d3161166-e89b-4158-af3b-5980e3056cc6\n", 0o600)
	out, errs, status := r.pwb("success\n", "encrypt-password", "--posit-compat")
	if got := r.decrypted(t, strings.TrimSuffix(out, "\n")); status != 0 || errs != "" || got != "success" || !strings.HasPrefix(out, "BFA25145") {
		t.Errorf("%q, %q, %d; reads back as %q", out, errs, status, got)
	}
	if _, err := os.Stat(r.dir + "/etc/rstudio/pwb-secret.key"); err == nil {
		t.Error("a key of pwb's was made for nothing")
	}
	r.write("/etc/rstudio/secure-cookie-key", "d3161166-e89b-4158-af3b-5980e3056cc6\n", 0o644)
	const want = "pwb: read Workbench's key: /etc/rstudio/secure-cookie-key: key is readable by others (mode 0644); run: chmod 0600 /etc/rstudio/secure-cookie-key\n"
	if _, errs, status := r.pwb("success\n", "encrypt-password", "--posit-compat"); errs != want || status != 1 {
		t.Errorf("a key that others can read: %q, %d; want %q", errs, status, want)
	}
}

// A result that went nowhere is no success.
func TestEncryptPasswordToAFullDisk(t *testing.T) {
	r := newTree(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	var errs bytes.Buffer
	cmd := exec.Command("/proc/self/exe", "--root", r.dir, "encrypt-password")
	cmd.Env = append(os.Environ(), "PWB_CHILD=pwb")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("x\n"), full, &errs
	if err := cmd.Run(); err == nil || !strings.Contains(errs.String(), "no space left on device") {
		t.Errorf("%v, %q", err, errs.String())
	}
}

// Two that make the key at once end with one key, and both values can be read.
func TestEncryptPasswordAtOnce(t *testing.T) {
	r := newTree(t)
	values := make(chan string)
	for i := range 4 {
		go func() {
			out, _, _ := r.pwb(fmt.Sprintln("secret", i), "encrypt-password")
			values <- strings.TrimSuffix(out, "\n")
		}()
	}
	for range 4 {
		if got := r.decrypted(t, <-values); !strings.HasPrefix(got, "secret ") {
			t.Errorf("reads back as %q", got)
		}
	}
}

// At a terminal the secret is asked for and not shown, and the value alone goes to standard output.
func TestEncryptPasswordAtATerminal(t *testing.T) {
	r := newTree(t)
	p := r.atTerminal(t, "encrypt-password")
	p.expect("Client secret: ")
	if p.echo() {
		t.Error("what is typed would be seen")
	}
	p.enter("typed by hand\n")
	out, status := p.wait()
	if got := r.decrypted(t, strings.TrimSuffix(out, "\n")); status != 0 || got != "typed by hand" {
		t.Errorf("%q, %d: reads back as %q", out, status, got)
	}
	if seen := p.seen(); strings.Contains(seen, "typed") || !p.echo() {
		t.Errorf("the terminal shows %q, echo %v", seen, p.echo())
	}
}

func TestEncryptPasswordInterrupted(t *testing.T) {
	r := newTree(t)
	for _, tt := range []struct {
		name string
		stop func(p *terminal)
	}{
		{"control-C", func(p *terminal) { p.enter("half of it\x03") }},
		{"SIGTERM", func(p *terminal) { p.cmd.Process.Signal(syscall.SIGTERM) }},
		{"SIGHUP", func(p *terminal) { p.cmd.Process.Signal(syscall.SIGHUP) }},
	} {
		p := r.atTerminal(t, "encrypt-password")
		p.expect("Client secret: ")
		tt.stop(p)
		out, status := p.wait()
		if seen := p.seen(); status != 1 || out != "" || !p.echo() || !strings.Contains(seen, "pwb: read the secret: interrupted") {
			t.Errorf("%s: %q, %d, echo %v, seen %q", tt.name, out, status, p.echo(), seen)
		}
	}
}

// terminal is a pwb that runs at a terminal of its own; its standard output goes to a pipe, as in VALUE=$(pwb …).
type terminal struct {
	t      *testing.T
	person *os.File // the side where a person types and looks
	ctx    context.Context
	cmd    *exec.Cmd
	out    bytes.Buffer
	screen bytes.Buffer
}

func (r *tree) atTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { person.Close() })
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.SetNonblock(int(person.Fd()), true) // Fd has made it wait
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { tty.Close() }) // stays open: the screen can be read when pwb is gone
	p := &terminal{t: t, person: person}
	var stop context.CancelFunc
	p.ctx, stop = context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(stop)
	p.cmd = exec.CommandContext(p.ctx, "/proc/self/exe", append([]string{"--root", r.dir}, args...)...)
	p.cmd.Env = append(os.Environ(), "PWB_CHILD=pwb")
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = tty, &p.out, tty
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// look reads what is on the screen by now.
func (p *terminal) look() {
	poll := []unix.PollFd{{Fd: int32(p.person.Fd()), Events: unix.POLLIN}}
	for buf := make([]byte, 4096); ; {
		if n, err := unix.Poll(poll, 10); n < 1 || err != nil {
			return
		}
		n, err := unix.Read(int(p.person.Fd()), buf)
		if n < 1 || err != nil {
			return
		}
		p.screen.Write(buf[:n])
	}
}

func (p *terminal) seen() string {
	p.look()
	return p.screen.String()
}

func (p *terminal) expect(text string) {
	p.t.Helper()
	for !strings.Contains(p.seen(), text) {
		if p.ctx.Err() != nil {
			p.t.Fatalf("%q does not appear: %q", text, p.screen.String())
		}
	}
}

func (p *terminal) enter(text string) {
	if _, err := unix.Write(int(p.person.Fd()), []byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *terminal) echo() bool {
	mode, err := unix.IoctlGetTermios(int(p.person.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return mode.Lflag&unix.ECHO != 0
}

func (p *terminal) wait() (out string, status int) {
	p.cmd.Wait()
	return p.out.String(), p.cmd.ProcessState.ExitCode()
}

// report is what config check --json prints.
type report struct {
	Settings []struct {
		Key, Value, File string
		Line             int
	}
	Foreign, Provider []string
	Problems          []problem
}

func parseReport(t *testing.T, out string) (rep report) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&rep); err != nil {
		t.Errorf("--json: %v in %q", err, out)
	}
	return rep
}
