package hosttest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
)

// code has root give out a code.
func (m *machine) code(user string, more ...string) string {
	m.t.Helper()
	out, status := m.run("", append([]string{"sh", "-c", `/usr/bin/pwb users issue-code "$@" 2>/dev/null`, "-", user, "--reason", "test"}, more...)...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if status != 0 || !strings.HasPrefix(lines[len(lines)-1], "pwb-") {
		m.t.Fatalf("issue-code: %d %q", status, out)
	}
	return lines[len(lines)-1]
}

// bound has alice signed in once, so that the account is hers.
func (m *machine) bound() {
	m.t.Helper()
	m.expect(m.ticket()+"\n", 0, "", pamtester(user, "authenticate")...)
}

// noSecrets reads everything that is kept of what happened, and finds none of the tickets in it.
func (m *machine) noSecrets(tickets ...string) {
	m.t.Helper()
	names := []string{m.log}
	if m.worker != nil {
		names = append(names, fmt.Sprintf("/proc/%d/environ", m.worker.Process.Pid), fmt.Sprintf("/proc/%d/cmdline", m.worker.Process.Pid))
	}
	for _, dir := range []string{"/mnt/etc/upper", "/mnt/var/upper", "/run", "/home"} { // all that this machine has besides the real one's
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				names = append(names, name)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			m.t.Error(err)
		}
	}
	for _, name := range names {
		text, _ := os.ReadFile(name)
		for _, one := range tickets {
			for _, part := range []string{one, strings.ReplaceAll(one, "-", ""), one[len(one)-20:]} {
				if strings.Contains(strings.ToLower(string(text)), strings.ToLower(part)) {
					m.t.Errorf("a ticket is in %s", name)
				}
			}
		}
	}
	if !slices.Contains(names, "/mnt/var/upper/lib/pwb/pwb.db") || !slices.Contains(names, "/mnt/var/upper/log/pwb/audit.log") {
		m.t.Errorf("looked into %q alone", names)
	}
}

func TestACodeOpensASession(t *testing.T) {
	both(t, func(t *testing.T, m *machine) {
		m.bound()
		m.idp.Stop() // a code needs no provider
		os.RemoveAll("/var/cache/pwb")
		code := m.code(user)
		m.expect(code+"\n", 0, "session has successfully been closed.", pamtester(user, whole...)...)
		m.expect(code+"\n", 1, "Authentication failure", pamtester(user, "authenticate")...)
		m.expect("  "+strings.ToUpper(strings.ReplaceAll(m.code(user), "-", " "))+" \r\n", 0, "", pamtester(user, "authenticate")...)
		m.expect(m.code(user)+"\n", 0, "user=alice\n", pamtester("", "authenticate", "getitem(user)")...)
		m.expect(m.code(user)+"\n", 0, "54321", "/usr/bin/pwb", "session", user, "--", "id", "-u")
		// For somebody else, or somewhere else, it is refused and stays good.
		kept := m.code(user)
		m.expect(kept+"\n", 1, "Authentication failure", pamtester("bob", "authenticate")...)
		m.expect(kept+"\n", 1, "", pamtester("root", "authenticate")...)
		m.expect("", 0, "", "/usr/bin/pwb", "lock-user", user)
		m.expect(kept+"\n", 1, "Authentication failure", pamtester(user, "authenticate")...)
		m.expect("", 0, "", "/usr/bin/pwb", "unlock-user", user)
		m.expect(kept+"\n", 0, "", pamtester(user, "authenticate")...)
		other := m.code(user, "--service", "sshd")
		m.expect(other+"\n", 1, "Authentication failure", pamtester(user, "authenticate")...)
		m.expect(other+"\n", 0, "", "/usr/bin/pamtester", "sshd", user, "authenticate")
		m.expect(m.code(user, "--host", "elsewhere")+"\n", 1, "Authentication failure", pamtester(user, "authenticate")...)
		here, _ := os.Hostname()
		m.expect(m.code(user, "--host", strings.ToUpper(here))+"\n", 0, "", pamtester(user, "authenticate")...)
		m.expect(ticket.NewCode()+"\n", 1, "Authentication failure", pamtester(user, "authenticate")...)
		m.expect("pwb-not-a-code\n", 1, "Authentication failure", pamtester(user, "authenticate")...)
		token := m.ticket()
		m.expect(token+"\n", 1, "", pamtester("bob", "authenticate")...)
		m.noSecrets(code, kept, other, token)
		if m.worker != nil {
			for _, want := range []string{"this ticket has been spent", "the code is for somewhere else", "the account is locked", "no such code was given out", "ticket=code"} {
				m.logged(want)
			}
		}
	})
}

// A process that is stopped while it shows accounts to other programs keeps what that needs. Logins which must wait for it end
// within what a host gives them, those which need not go on, and a worker has places left for both.
func TestALockThatAStoppedProcessKeeps(t *testing.T) {
	m := newMachine(t, "")
	m.start()
	m.bound()
	stopped := exec.Command("flock", "/var/lib/pwb-nss/.lock", "sleep", "600")
	stopped.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := stopped.Start(); err != nil {
		t.Fatal(err)
	}
	free := sync.OnceFunc(func() { syscall.Kill(-stopped.Process.Pid, syscall.SIGKILL); stopped.Wait() })
	defer free()
	m.until("the lock is kept", func() bool { return exec.Command("flock", "-n", "/var/lib/pwb-nss/.lock", "true").Run() != nil })
	m.expect(m.code(user)+"\n", 0, "", pamtester(user, "authenticate", "acct_mgmt")...)
	s, tickets := m.counter("/var/lib/pwb/pwb.db")
	if err := errors.Join(s.SetActive(t.Context(), user, false), s.SetActive(t.Context(), user, true)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var wg sync.WaitGroup
	for range 3 {
		code, err := tickets.Code(t.Context(), user, provision.CodeFor{})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			m.expect(code.Text+"\n", 1, "cannot retrieve authentication info", pamtester(user, "authenticate")...)
		})
	}
	wg.Wait()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("three logins took %v", took)
	}
	m.until("the worker says so", func() bool { b, _ := os.ReadFile(m.log); return strings.Contains(string(b), "another process keeps") })
	free()
	m.expect(m.code(user)+"\n", 0, "", pamtester(user, "authenticate", "acct_mgmt")...)
}

// The admission rules stand in the account phase, whatever the ticket was.
func TestACodeAndTheRules(t *testing.T) {
	m := newMachine(t, "")
	m.bound()
	code := m.code(user)
	m.write("/etc/rstudio/pwb.conf", "allow-loopback-http=1\ndeny-users=alice\n", 0o644)
	m.expect(code+"\n", 1, "Permission denied", pamtester(user, "authenticate", "acct_mgmt")...)
}

func TestSSHDAndACode(t *testing.T) {
	both(t, func(t *testing.T, m *machine) {
		m.bound()
		ssh := m.sshd()
		for _, method := range []string{"password", "keyboard-interactive"} {
			code := m.code(user)
			m.expect("", 0, "54321", ssh(code, "-o", "PreferredAuthentications="+method)...)
			m.expect("", 255, "Permission denied", ssh(code, "-o", "PreferredAuthentications="+method)...)
			m.expect("", 255, "Permission denied", ssh(ticket.NewCode(), "-o", "PreferredAuthentications="+method)...)
			m.noSecrets(code)
		}
	})
}

// counter opens the machine's store as pwb serve would, and gives out tickets.
func (m *machine) counter(path string) (*store.Store, *provision.Tickets) {
	m.t.Helper()
	s, err := store.Open(context.Background(), store.Config{Path: path})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { s.Close() })
	here, _ := os.Hostname()
	return s, &provision.Tickets{Store: s, CodeLifetime: time.Minute, SessionLifetime: 5 * time.Minute, Audience: here}
}

func (m *machine) session(tickets *provision.Tickets, name account.Name, audience string) string {
	m.t.Helper()
	out, err := tickets.Session(context.Background(), name, audience)
	if err != nil {
		m.t.Fatal(err)
	}
	return out.Text
}

// sudo cuts a password at 511 bytes: an ID token is often longer, a session ticket never is.
func TestSudoSuAndSSHDWithSessionTickets(t *testing.T) {
	both(t, func(t *testing.T, m *machine) {
		m.bound()
		m.idp.Stop()
		_, tickets := m.counter("/var/lib/pwb/pwb.db")
		m.write("/etc/sudoers", "Defaults !syslog\nroot ALL=(ALL:ALL) ALL\nalice ALL=(ALL:ALL) ALL\n", 0o440)
		sudo := []string{"setpriv", "--reuid=54321", "--regid=54321", "--init-groups", "sudo", "-S", "-k", "-p", "", "id", "-u"}
		one := m.session(tickets, user, "")
		if len(one) > 511 {
			t.Errorf("a session ticket has %d bytes", len(one))
		}
		m.expect(one+"\n", 0, "0\n", sudo...)
		m.expect(one+"\n", 1, "", sudo...)
		m.expect(m.session(tickets, user, "another-host")+"\n", 1, "", sudo...)
		m.expect(m.session(tickets, user, "")+"\n", 0, "54321", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "su", user, "-c", "id -u")
		m.expect(m.session(tickets, user, "")+"\n", 1, "Authentication failure", pamtester("bob", "authenticate")...)
		m.expect(m.session(tickets, user, "")+"\n", 0, "user=alice\n", pamtester("", "authenticate", "getitem(user)")...)
		ssh := m.sshd()
		for _, method := range []string{"password", "keyboard-interactive"} {
			m.expect("", 0, "54321", ssh(m.session(tickets, user, ""), "-o", "PreferredAuthentications="+method)...)
		}
		last := m.session(tickets, user, "")
		m.expect("", 0, "", "/usr/bin/pwb", "lock-user", user)
		m.expect(last+"\n", 1, "Authentication failure", pamtester(user, "authenticate")...)
		m.expect("", 0, "", "/usr/bin/pwb", "unlock-user", user)
		m.expect(last+"\n", 0, "", pamtester(user, "authenticate")...)
		m.noSecrets(one, last)
	})
}

// A node without the common store: no provider, no client's secret; a file of public keys and the machine's own accounts.
func TestANodeWithoutTheStore(t *testing.T) {
	for _, how := range []string{"resident", "spawned"} {
		t.Run(how, func(t *testing.T) {
			m := newMachine(t, "")
			front, tickets := m.counter(filepath.Join(t.TempDir(), "front", "pwb.db"))
			for n, name := range []account.Name{"alice", "bob", "carol"} {
				key := sha256.Sum256([]byte(name))
				id := account.Identity{Issuer: "https://idp.example.com", Subject: "s-" + string(name), Username: string(name)}
				if err := front.Redeem(context.Background(), store.Redemption{Key: key, Expires: time.Now(), Identity: id, Name: name}); err != nil {
					t.Fatal(n, err)
				}
			}
			keys, err := tickets.PublicKeys(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			os.RemoveAll("/etc/rstudio")
			m.write("/etc/rstudio/session-keys.json", string(keys), 0o644)
			m.write("/etc/rstudio/pwb.conf", "session-ticket-keys=/etc/rstudio/session-keys.json\nsession-ticket-audience=the-cluster\n", 0o644)
			if how == "resident" {
				m.start()
			}
			first := m.session(tickets, "alice", "the-cluster")
			m.expect("", 0, "this ticket binds it", "sh", "-c", "echo '"+first+"' | /usr/bin/pwb ticket inspect")
			m.expect(first+"\n", 0, "session has successfully been closed.", pamtester("alice", whole...)...)
			m.expect(first+"\n", 1, "Authentication failure", pamtester("alice", "authenticate")...)
			m.expect(m.session(tickets, "alice", "")+"\n", 0, "user=alice\n", pamtester("", "authenticate", "getitem(user)")...)
			m.expect(m.session(tickets, "bob", "")+"\n", 1, "Authentication failure", pamtester("alice", "authenticate")...)
			m.expect(m.session(tickets, "carol", "")+"\n", 1, "Authentication failure", pamtester("carol", "authenticate")...) // no account
			m.expect(m.ticket()+"\n", 1, "Authentication failure", pamtester("alice", "authenticate")...)
			m.expect(ticket.NewCode()+"\n", 1, "Authentication failure", pamtester("alice", "authenticate")...)
			// Another store's alice is another person, and another store's key is no key.
			_, other := m.counter(filepath.Join(t.TempDir(), "other", "pwb.db"))
			otherStore := other.Store.(*store.Store)
			id := account.Identity{Issuer: "https://idp.example.com", Subject: "mallory", Username: "alice"}
			if err := otherStore.Redeem(context.Background(), store.Redemption{Expires: time.Now(), Identity: id, Name: "alice"}); err != nil {
				t.Fatal(err)
			}
			m.expect(m.session(other, "alice", "")+"\n", 1, "Authentication failure", pamtester("alice", "authenticate")...)
			mixed := ticket.SessionKeys{}
			for _, s := range []*provision.Tickets{tickets, other} {
				rows, err := s.Store.TicketKeys(context.Background())
				if err != nil || mixed.AddPublic(rows[0].ID, rows[0].Public) != nil {
					t.Fatal(err)
				}
			}
			text, _ := mixed.JSON()
			m.write("/etc/rstudio/session-keys.json", string(text), 0o644)
			m.expect(m.session(other, "alice", "")+"\n", 1, "Authentication failure", pamtester("alice", "authenticate")...)
			if how == "resident" {
				m.logged("the session ticket is for another identity")
			}
			m.expect(m.session(tickets, "alice", "")+"\n", 0, "", pamtester("alice", "authenticate", "acct_mgmt")...)
			m.expect("", 0, "", "/usr/bin/pwb", "lock-user", "alice") // the node's own word
			m.expect("", 1, "User account has expired", pamtester("alice", "acct_mgmt")...)
			m.write("/etc/rstudio/session-keys.json", "{}", 0o644)
			m.expect(m.session(tickets, "bob", "")+"\n", 1, "cannot retrieve authentication info", pamtester("bob", "authenticate")...)
		})
	}
}

var shownCode = regexp.MustCompile(`type there the code ([A-Z0-9]{4}-[A-Z0-9]{4})`)

// A person at a prompt signs in with a browser elsewhere: over sshd, where messages come with the next prompt, and at a terminal.
func TestASignInAtAnotherDevice(t *testing.T) {
	for _, how := range []string{"resident", "spawned"} {
		t.Run(how, func(t *testing.T) {
			m := newMachine(t, "device-flow=1\n")
			if how == "resident" {
				m.start()
			}
			person, cmd := terminal(t, pamtester(user, "authenticate", "acct_mgmt")...)
			until(t, person, "Ticket, or Enter to sign in at another device: ")
			fmt.Fprintln(person)
			shown := until(t, person, "Press Enter when you have signed in there: ")
			if !strings.Contains(shown, m.idp.URL+"/enter") || !strings.Contains(shown, "Go on only if you have begun this sign-in yourself") {
				t.Fatalf("shown: %q", shown)
			}
			m.idp.Enter(shownCode.FindStringSubmatch(shown)[1], "alice@example.com")
			fmt.Fprintln(person)
			until(t, person, "account management done")
			if cmd.Wait(); cmd.ProcessState.ExitCode() != 0 {
				t.Errorf("status %v", cmd.ProcessState)
			}
			argv := m.sshd()("", "-o", "PreferredAuthentications=keyboard-interactive")
			asked, entered := "/mnt/ssh/asked", "/mnt/ssh/entered"
			m.write("/mnt/ssh/askpass", "#!/bin/sh\nprintf '%s' \"$1\" >>"+asked+"\ncase \"$1\" in *'Press Enter'*) while [ ! -e "+entered+" ]; do sleep 0.05; done;; esac\necho\n", 0o755)
			client := exec.Command(argv[0], argv[1:]...)
			var out strings.Builder
			client.Stdout, client.Stderr = &out, &out
			if err := client.Start(); err != nil {
				t.Fatal(err)
			}
			m.until("ssh shows the code", func() bool { b, _ := os.ReadFile(asked); return shownCode.Match(b) })
			b, _ := os.ReadFile(asked)
			m.idp.Enter(shownCode.FindStringSubmatch(string(b))[1], "alice@example.com")
			m.write(entered, "", 0o600)
			if err := client.Wait(); err != nil || !strings.Contains(out.String(), "54321") {
				t.Errorf("ssh: %v, %s", err, out.String())
			}
			// Somebody else's sign-in opens nothing of alice's, and a declined one nothing at all.
			for _, who := range []string{"bob@example.com", ""} {
				person, cmd := terminal(t, pamtester(user, "authenticate")...)
				until(t, person, "another device: ")
				fmt.Fprintln(person)
				m.idp.Enter(shownCode.FindStringSubmatch(until(t, person, "signed in there: "))[1], who)
				fmt.Fprintln(person)
				until(t, person, "Authentication failure")
				if cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
					t.Errorf("%q: status %v", who, cmd.ProcessState)
				}
			}
			m.idp.Stop()
			m.expect("\n", 1, "cannot retrieve authentication info", pamtester(user, "authenticate")...)
		})
	}
}

// One code, many hosts at once, with the worker killed in between: it opens one session at most.
func TestACodeInAStorm(t *testing.T) {
	m := newMachine(t, "")
	m.start()
	m.bound()
	for round := range 6 {
		code := m.code(user)
		var won atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				cmd := exec.Command("/usr/bin/pamtester", "rstudio", user, "authenticate")
				cmd.Stdin = strings.NewReader(code + "\n")
				if cmd.Run() == nil {
					won.Add(1)
				}
			})
		}
		if round%2 == 1 {
			time.Sleep(time.Duration(round) * 4 * time.Millisecond)
			m.worker.Process.Signal(syscall.SIGKILL)
			m.worker.Wait()
			m.worker = nil
		}
		wg.Wait()
		if n := won.Load(); n > 1 || n == 0 && round%2 == 0 {
			t.Errorf("round %d: %d sessions for one code", round, n)
		}
		if m.worker == nil {
			m.start()
		}
		m.expect(m.code(user)+"\n", 0, "", pamtester(user, "authenticate")...)
	}
}
