package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/ticket/oidctest"
)

// served is a "pwb serve" of a tree, until the test ends.
type served struct {
	t   *testing.T
	cmd *exec.Cmd
	url string
	log chan string // its lines
}

func (r *tree) serve(args ...string) *served {
	r.t.Helper()
	s := &served{t: r.t, log: make(chan string, 1000)}
	s.cmd = exec.Command("/proc/self/exe", append([]string{"--root", r.dir, "serve"}, args...)...)
	s.cmd.Env = append(os.Environ(), "PWB_CHILD=pwb", "GORACE=atexit_sleep_ms=0")
	errs, err := s.cmd.StderrPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(errs); lines.Scan(); {
			s.log <- lines.Text()
		}
		close(s.log)
	}()
	r.t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	})
	line := s.says("msg=serving")
	_, rest, _ := strings.Cut(line, "address=")
	s.url = "http://" + strings.Fields(rest)[0]
	return s
}

// says waits for a line of the log.
func (s *served) says(words string) string {
	s.t.Helper()
	var seen []string
	for late := time.After(20 * time.Second); ; {
		select {
		case line, open := <-s.log:
			if !open {
				s.t.Fatalf("it ended without %q:\n%s", words, strings.Join(seen, "\n"))
			}
			if seen = append(seen, line); strings.Contains(line, words) {
				return line
			}
		case <-late:
			s.t.Fatalf("not within 20 s: %q:\n%s", words, strings.Join(seen, "\n"))
		}
	}
}

func (s *served) get(path string) (int, string) {
	s.t.Helper()
	resp, err := http.Get(s.url + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// freePort is a port that nobody had a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestServe(t *testing.T) {
	r := newTree(t)
	port, metricsPort := freePort(t), freePort(t)
	conf := fmt.Sprintf("www-address=127.0.0.1\nwww-port=%d\nmetrics-enabled=1\nmetrics-port=%d\nwww-root-path=/pwb\n", port, metricsPort)
	r.write("/etc/rstudio/rserver.conf", conf, 0o644)
	s := r.serve()
	for _, path := range []string{"/health-check", "/pwb/health-check"} {
		if status, body := s.get(path); status != http.StatusOK || body != "ok\n" {
			t.Errorf("%s: %d, %q", path, status, body)
		}
	}
	if resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", metricsPort)); err != nil {
		t.Error(err)
	} else if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), "process_resident_memory_bytes") {
		t.Errorf("metrics: %q", body)
	}
	r.write("/etc/rstudio/rserver.conf", conf+"www-root-path=/pwb\n", 0o644)
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.says("what was in force stays")
	if status, _ := s.get("/pwb/health-check"); status != http.StatusOK {
		t.Errorf("after a reload of a file that is wrong: %d", status)
	}
	r.write("/etc/rstudio/rserver.conf", strings.Replace(conf, "/pwb", "/elsewhere", 1), 0o644)
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.says("msg=reloaded")
	if status, _ := s.get("/pwb/health-check"); status != http.StatusNotFound {
		t.Errorf("the path before the reload: %d", status)
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("at a stop: %v", err)
	}
}

func TestServeRefuses(t *testing.T) {
	for _, tt := range []struct{ conf, want string }{
		{"www-address=0.0.0.0\n", "plain HTTP on 0.0.0.0:8787 would show tokens and cookies to everybody on the way"},
		{"ssl-enabled=1\nssl-certificate=/none.pem\nssl-certificate-key=/none.pem\n", "certificate: stat /none.pem: no such file or directory"},
		{"www-port=none\n", "www-port=none: not a port, 1 to 65535"},
	} {
		r := newTree(t)
		r.write("/etc/rstudio/rserver.conf", tt.conf, 0o644)
		if _, errs, status := r.pwb("", "serve"); status != 1 || !strings.Contains(errs, tt.want) {
			t.Errorf("%q: status %d, %q; want %q", tt.conf, status, errs, tt.want)
		}
	}
	if os.Geteuid() == 0 {
		r := newTree(t)
		if _, errs, status := r.as("pwb", "", "serve"); status != 1 || !strings.Contains(errs, "does not run as root") {
			t.Errorf("as root: status %d, %q", status, errs)
		}
	}
}

// Questions that come while one is asked share the next: what was written before it is answered by it.
func TestManyAskToPublishAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var asked atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			time.Sleep(50 * time.Millisecond)
			c.Close() // no answer: everybody who shared the question hears it
		}
	}()
	a := &asker{path: path}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if err := a.publish(t.Context()); err == nil || errors.Is(err, context.Canceled) {
				t.Errorf("publish = %v", err)
			}
		})
	}
	wg.Wait()
	if n := asked.Load(); n < 1 || n > 3 {
		t.Errorf("asked %d times for 100", n)
	}
}

// Whoever asks for help gives the reference; whoever helps finds it in the log.
func TestEveryErrorPageIsInTheLog(t *testing.T) {
	r := newTree(t)
	idp := oidctest.New(t, "")
	r.write("/etc/rstudio/rserver.conf", fmt.Sprintf("auth-openid=1\nauth-openid-issuer=%s\nwww-port=%d\n", idp.URL, freePort(t)), 0o644)
	r.write("/etc/rstudio/openid-client-secret", "client-id="+oidctest.ClientID+"\nclient-secret=b\n", 0o600)
	r.write("/etc/rstudio/pwb.conf", "allow-loopback-http=1\n", 0o644)
	s := r.serve()
	idp.Stop()
	for _, path := range []string{"/nothing", "/openid/callback?code=x&state=y", "/openid/callback?error=%3Cb%3E&state=%0d%0aSet-Cookie:x", "/sign-in"} {
		status, body := s.get(path)
		m := regexp.MustCompile(`<dt>Reference</dt><dd><code>([A-Z0-9]{20,})<`).FindStringSubmatch(body)
		if m == nil || status < 400 {
			t.Errorf("%s: %d, no reference in\n%s", path, status, body)
			continue
		}
		s.says("request=" + m[1])
	}
}

// What a browser comes to first: the page, and from it the provider.
func TestServeSignsPeopleIn(t *testing.T) {
	r := newTree(t)
	idp := oidctest.New(t, "")
	port := freePort(t)
	r.write("/etc/rstudio/rserver.conf", fmt.Sprintf("auth-openid=1\nauth-openid-issuer=%s\nwww-port=%d\nwww-root-path=/pwb\n", idp.URL, port), 0o644)
	r.write("/etc/rstudio/openid-client-secret", "client-id="+oidctest.ClientID+"\nclient-secret=x\n", 0o600)
	r.write("/etc/rstudio/pwb.conf", "allow-loopback-http=1\nsupport-contact=the help desk, room 5\n", 0o644)
	s := r.serve()
	if status, body := s.get("/pwb/"); status != http.StatusOK || !strings.Contains(body, "<h1>Sign in</h1>") || !strings.Contains(body, "the help desk, room 5") || !strings.Contains(body, fmt.Sprintf(`href="http://127.0.0.1:%d/pwb/sign-in`, port)) {
		t.Errorf("the first page: %d\n%s", status, body)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(s.url + "/pwb/sign-in")
	if err != nil {
		t.Fatal(err)
	}
	to, err := resp.Location()
	if err != nil || !strings.HasPrefix(to.String(), idp.URL+"/authorize?") || to.Query().Get("redirect_uri") != fmt.Sprintf("http://127.0.0.1:%d/pwb/openid/callback", port) {
		t.Errorf("to %v, %v", to, err)
	}
	resp, err = client.Get(s.url + "/pwb") // as people type it
	if err != nil || resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/pwb/" {
		t.Errorf("/pwb: %v, %v", resp, err)
	}
	for _, method := range []string{"OPTIONS", "TRACE", "PUT"} {
		req, _ := http.NewRequest(method, s.url+"/pwb/", strings.NewReader("token=x"))
		req.Header.Set("Cookie", "pwb-session=secret")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.Body.Close(); resp.StatusCode != http.StatusNotFound || strings.Contains(string(body), "secret") || resp.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %d\n%s", method, resp.StatusCode, body)
		}
	}
	if status, body := s.get("/health-check"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("health: %d, %q", status, body)
	}
}
