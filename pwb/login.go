package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pwb-project/pwb/internal/ticket"
)

const (
	loginLimit  = 5 * time.Minute // for a person to sign in
	loginAnswer = 64 << 10
)

// loginCommand runs on a person's own computer, as that person. It reads nothing of a server's configuration.
func loginCommand() *cli.Command {
	return &cli.Command{
		Name:      "login",
		Usage:     "get a code from a server's sign-in page, with this computer's browser",
		ArgsUsage: "[https://SERVER]",
		Description: "The code is the only line of standard output. With SSH_ASKPASS set to this program, ssh gets one for each login;\n" +
			"the server is then PWB_SERVER, or the line server= of ~/.config/pwb/login.conf.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "no-browser", Usage: "print the address in place of opening a browser"},
			&cli.StringFlag{Name: "user", Usage: "the login `NAME` that the code must be for"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return cli.Exit("login: one server's address, such as https://workbench.example.com", 2)
			}
			return loginTo(c.Context, c.App.Writer, c.App.ErrWriter, c.Args().First(), c.String("user"), c.Bool("no-browser"))
		},
	}
}

// askpass is pwb as ssh's SSH_ASKPASS: the only argument is ssh's prompt. Questions that are not for a ticket, such as whether a
// host's key is right, get no answer: that is for a person. Nor do hosts that are not the server's: whoever asks gets a code that
// opens the person's account.
func askpass(prompt string) int {
	host, ticket := asksForTicket(prompt)
	if kind := os.Getenv("SSH_ASKPASS_PROMPT"); kind != "" || !ticket {
		fmt.Fprintf(os.Stderr, "pwb: not a question for a ticket: %q\n", prompt)
		return 1
	}
	base, err := loginServer("")
	if err == nil {
		err = mayHaveCode(base, host)
	}
	if err == nil {
		err = loginTo(context.Background(), os.Stdout, os.Stderr, base.String(), "", false)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "pwb: %v\n", err)
		return 1
	}
	return 0
}

var (
	passwordPrompt = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[^()]+@([^@()]+)'s [Pp]assword: *$`) })
	hostsPrompt    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?s)^\([^()]+@([^@()]+)\) (.*)$`) }) // before each prompt of a host's own, since OpenSSH 8.5
)

// asksForTicket knows the prompts of pam_pwb and of sshd's password method, and says which host asks, in ssh's own words. A private
// key's passphrase is none of pwb's business.
func asksForTicket(prompt string) (host string, ok bool) {
	if m := passwordPrompt().FindStringSubmatch(prompt); m != nil {
		return m[1], true
	}
	m := hostsPrompt().FindStringSubmatch(prompt)
	if m == nil {
		return "", false
	}
	text := strings.ToLower(strings.TrimSpace(m[2]))
	return m[1], strings.HasSuffix(text, "ticket:") || strings.HasSuffix(text, "sign in at another device:") || strings.HasSuffix(text, "password:")
}

// mayHaveCode refuses hosts other than the server and those that the person has named.
func mayHaveCode(base *url.URL, host string) error {
	for _, name := range append(strings.Split(ofFile("hosts"), ","), base.Hostname()) {
		if strings.EqualFold(strings.TrimSpace(name), host) {
			return nil
		}
	}
	return fmt.Errorf("a code of %s is not for host %q; if that takes them too, write hosts=%s into ~/.config/pwb/login.conf", base.Host, host, host)
}

func loginTo(ctx context.Context, out, errout io.Writer, server, user string, noBrowser bool) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, loginLimit)
	defer cancel()
	base, err := loginServer(server)
	if err != nil {
		return cli.Exit(fmt.Sprintf("login: %v", err), 2)
	}
	open := openBrowser
	if noBrowser {
		open = func(string) error { return errors.New("not asked to") }
	}
	l := &loopback{base: base, user: user, show: func(address string) {
		if open(address) != nil {
			fmt.Fprintf(errout, "pwb: open this address in a browser on this computer:\n%s\n", address)
			return
		}
		fmt.Fprintln(errout, "pwb: a browser is opened; sign in there")
	}}
	code, name, err := l.login(ctx)
	if err != nil {
		return fmt.Errorf("log in to %s: %w", base.Host, err)
	}
	fmt.Fprintf(errout, "pwb: a code of %s\n", name)
	_, err = fmt.Fprintln(out, code)
	return err
}

// loginServer finds out which server's sign-in page is meant: the argument, PWB_SERVER, or the person's own file.
func loginServer(argument string) (*url.URL, error) {
	for _, text := range []string{argument, os.Getenv("PWB_SERVER"), ofFile("server")} {
		if text != "" {
			return parseServer(text)
		}
	}
	return nil, errors.New("no server; give its address, set PWB_SERVER, or write server=https://SERVER into ~/.config/pwb/login.conf")
}

// ofFile returns what the person's own file says of a name.
func ofFile(setting string) string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	f, err := os.Open(filepath.Join(dir, "pwb", "login.conf"))
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(io.LimitReader(f, loginAnswer)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "=")
		if strings.TrimSpace(name) == setting {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// parseServer takes https, or http to this computer.
func parseServer(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%.200q is no server's address, such as https://workbench.example.com", text)
	}
	addr, _ := netip.ParseAddr(u.Hostname())
	if u.Scheme != "https" && (u.Scheme != "http" || !addr.IsLoopback() && u.Hostname() != "localhost") {
		return nil, fmt.Errorf("%.200q is not https; over plain http anybody on the way could take the code", text)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// openBrowser hands an address to the desktop. Where there is none, or only a browser in a terminal, which would take the
// terminal that ssh is at, the person opens it.
func openBrowser(address string) error {
	name := "xdg-open"
	if browser := os.Getenv("BROWSER"); browser != "" {
		name = browser
	} else if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		return errors.New("no display")
	}
	cmd := exec.Command(name, address)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait()
	return nil
}

// loopback is one sign-in by a browser on this computer (RFC 8252 7.3): the page sends the browser to a port of 127.0.0.1 with
// a grant, which is worth a code to whoever knows the verifier. Another program that sees the redirect does not.
type loopback struct {
	base *url.URL
	user string // "" is whoever signs in
	show func(address string)

	http *http.Client // nil is one of package ticket's
}

// back is what the browser brought.
type back struct{ grant, err string }

func (l *loopback) login(ctx context.Context) (code, name string, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	state, verifier := random32(), random32()
	came := make(chan back, 1)
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.callback(w, r, state, came) }),
		ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	go server.Serve(listener)
	defer func() { // the page that says so gets to the browser first
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		server.Shutdown(last)
	}()
	sum := sha256.Sum256([]byte(verifier))
	query := url.Values{
		"port": {strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)}, "state": {state}, "challenge": {base64.RawURLEncoding.EncodeToString(sum[:])},
	}
	if l.user != "" {
		query.Set("user", l.user)
	}
	l.show(l.base.String() + "/login/cli?" + query.Encode())
	select {
	case b := <-came:
		if b.err != "" {
			return "", "", errors.New("declined in the browser")
		}
		return l.exchange(ctx, b.grant, verifier)
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return "", "", fmt.Errorf("nobody has signed in within %v", loginLimit)
		}
		return "", "", errors.New("interrupted")
	}
}

// random32 returns 32 random bytes in base64url: 43 characters.
func random32() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// callback takes the browser's first visit that knows the state. Others learn nothing and end nothing: any page can make a
// browser call a port of its own computer.
func (l *loopback) callback(w http.ResponseWriter, r *http.Request, state string, came chan<- back) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	host, _, _ := net.SplitHostPort(r.Host)
	q := r.URL.Query()
	if r.Method != http.MethodGet || r.URL.Path != "/callback" || host != "127.0.0.1" || // a name would be another's (DNS rebinding)
		subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1 || (q.Get("grant") == "") == (q.Get("error") == "") {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintln(w, "This is not a page.")
		return
	}
	select {
	case came <- back{q.Get("grant"), q.Get("error")}:
	default: // a reload
	}
	if q.Get("error") != "" {
		fmt.Fprintln(w, "Nothing was given out. You can close this window.")
		return
	}
	fmt.Fprintln(w, "You can close this window and go back to the terminal.")
}

// exchange gives the grant for a code.
func (l *loopback) exchange(ctx context.Context, grant, verifier string) (code, name string, err error) {
	client := l.http
	if client == nil {
		client = ticket.NewClient(nil)
	}
	form := url.Values{"grant": {grant}, "verifier": {verifier}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.base.String()+"/login/cli/code", strings.NewReader(form.Encode()))
	if err != nil {
		return "", "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return "", "", fmt.Errorf("exchange the grant: %w", ticket.Plain(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, loginAnswer))
	if err != nil || resp.StatusCode != http.StatusOK {
		return "", "", fmt.Errorf("exchange the grant: the server answers with status %d", resp.StatusCode)
	}
	return parseLoginAnswer(body, l.user)
}

// parseLoginAnswer reads the server's answer. What is printed is a code and nothing else: it goes to ssh, or to a terminal.
func parseLoginAnswer(body []byte, user string) (code, name string, err error) {
	var answer struct{ Code, User string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", "", errors.New("exchange the grant: the server's answer is none")
	}
	if !plainCode(answer.Code) || !plainName(answer.User) {
		return "", "", errors.New("exchange the grant: the server's answer has no code")
	}
	if user != "" && answer.User != user {
		return "", "", fmt.Errorf("the code is %q's, not %q's", answer.User, user)
	}
	return answer.Code, answer.User, nil
}

func plainCode(text string) bool {
	_, err := ticket.ParseCode([]byte(text))
	return err == nil && len(text) <= 64 && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

func plainName(text string) bool {
	return text != "" && len(text) <= 64 && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}
