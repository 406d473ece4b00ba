package hosttest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var whole = []string{"authenticate", "acct_mgmt", "setcred", "open_session", "close_session"}

func pamtester(user string, ops ...string) []string {
	return append([]string{"/usr/bin/pamtester", "rstudio", user}, ops...)
}

// both runs a test with a resident worker and with one that is started for each call.
func both(t *testing.T, test func(t *testing.T, m *machine)) {
	t.Run("resident", func(t *testing.T) { m := newMachine(t, ""); m.start(); test(t, m) })
	t.Run("spawned", func(t *testing.T) { test(t, newMachine(t, "")) })
}

func TestATicketOpensASession(t *testing.T) {
	both(t, func(t *testing.T, m *machine) {
		m.expect(m.ticket()+"\n", 0, "session has successfully been closed.", pamtester(user, whole...)...)
		// A host that has named nobody is told whose ticket it was.
		m.expect(m.ticket()+"\n", 0, "user=alice\n", pamtester("", "authenticate", "getitem(user)")...)
		st, err := os.Stat("/home/" + user)
		if err != nil || st.Mode().Perm() != 0o700 || st.Sys().(*syscall.Stat_t).Uid != 54321 {
			t.Errorf("home: %v, %v", st, err)
		}
		if _, err := os.Stat("/home/" + user + "/.bashrc"); err != nil {
			t.Errorf("skeleton: %v", err)
		}
	})
}

func TestRefusals(t *testing.T) {
	both(t, func(t *testing.T, m *machine) {
		spent := m.ticket()
		m.expect(spent+"\n", 0, "", pamtester(user, "authenticate")...)
		for _, tt := range []struct{ name, user, ticket, want string }{
			{"spent", user, spent, "Authentication failure"},
			{"somebody else's", "bob", m.ticket(), "Authentication failure"},
			{"an impostor's", user, m.idp.Mint("alice", map[string]any{"sub": "mallory"}), "Authentication failure"},
			{"expired", user, m.idp.Mint("alice", map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}), "Your sign-in has expired"},
			{"a password", user, "correct horse battery staple", "Authentication failure"},
			{"empty", user, "", "Authentication failure"},
			{"cut", user, (m.idp.Mint("alice", map[string]any{"pad": strings.Repeat("x", 2000)}))[:1023], "arrived incomplete"},
			{"for root", "root", m.idp.Mint("root"), "User not known"},
			{"for a system user", "daemon", m.idp.Mint("daemon"), "User not known"},
			{"for nobody's account", "nosuch", m.idp.Mint("nosuch"), "Authentication failure"},
		} {
			m.expect(tt.ticket+"\n", 1, tt.want, pamtester(tt.user, "authenticate")...)
		}
		m.expect("", 1, "User not known", pamtester("bob", "acct_mgmt")...) // nobody has signed in as bob
		m.expect("", 0, "", pamtester(user, "acct_mgmt")...)
		m.expect("", 0, "", "/usr/bin/pwb", "lock-user", user)
		m.expect("", 1, "User account has expired", pamtester(user, "acct_mgmt")...)
		m.expect(m.ticket()+"\n", 1, "Authentication failure", pamtester(user, "authenticate")...)
		m.expect("", 0, "", "/usr/bin/pwb", "unlock-user", user)
		m.expect(m.ticket()+"\n", 0, "", pamtester(user, whole...)...)
		m.idp.Stop()
		m.expect(m.ticket()+"\n", 0, "", pamtester(user, "authenticate")...)
		m.expect("", 1, "your organisation, not by this machine", pamtester(user, "chauthtok")...)
	})
}

func TestTheProviderIsDownAndNoKeysAreKnown(t *testing.T) {
	both(t, func(t *testing.T, m *machine) {
		m.idp.Stop()
		if m.worker == nil {
			m.expect(m.ticket()+"\n", 1, "cannot retrieve authentication info", pamtester(user, "authenticate")...)
			return
		}
		os.RemoveAll("/var/cache/pwb")
		m.stop()
		m.start()
		m.expect(m.ticket()+"\n", 1, "cannot retrieve authentication info", pamtester(user, "authenticate")...)
		m.logged("connection refused")
	})
}

func TestRequiredGroups(t *testing.T) {
	m := newMachine(t, "")
	m.write("/etc/rstudio/rserver.conf", "auth-openid=1\nauth-openid-issuer="+m.idp.URL+"\nauth-required-user-group=analysts,nosuchgroup\n", 0o644)
	m.expect(m.ticket()+"\n", 1, "Permission denied", pamtester(user, "authenticate", "acct_mgmt")...)
	m.expect("", 0, "", "groupadd", "--force", "analysts")
	m.expect("", 0, "", "gpasswd", "-a", user, "analysts")
	m.expect(m.ticket()+"\n", 0, "", pamtester(user, "authenticate", "acct_mgmt")...)
	m.expect("", 0, "", "gpasswd", "-d", user, "analysts")
}

// use_first_pass and try_first_pass as in pam_unix(8): the first never asks.
func TestTicketsOfAnEarlierModule(t *testing.T) {
	both(t, func(t *testing.T, m *machine) {
		m.write("/etc/pam.d/rstudio", "auth required pam_pwb.so use_first_pass\n", 0o644)
		out, status := m.run(m.ticket()+"\n", pamtester(user, "authenticate")...)
		if status == 0 || strings.Contains(out, "Ticket:") {
			t.Errorf("with nothing to use it asked: %d %q", status, out)
		}
		for _, how := range []string{"use_first_pass", "try_first_pass", ""} {
			m.write("/etc/pam.d/rstudio", "auth optional pam_unix.so nodelay\nauth required pam_pwb.so "+how+"\n", 0o644)
			out, status := m.run(m.ticket()+"\n", pamtester(user, "authenticate")...)
			if status != 0 || !strings.Contains(out, "Password: ") || strings.Contains(out, "Ticket: ") {
				t.Errorf("%q behind a module that has asked: %d %q", how, status, out)
			}
		}
		m.write("/etc/pam.d/rstudio", "auth required pam_pwb.so nullok\n", 0o644)
		m.expect("\n", 1, "Authentication failure", pamtester(user, "authenticate")...)
		m.expect("\n", 1, "Authentication failure", pamtester(user, "authenticate(PAM_DISALLOW_NULL_AUTHTOK)")...)
	})
}

// A worker that is stopped still takes connections; one that dies in the middle of a call says nothing more.
func TestAWorkerInTrouble(t *testing.T) {
	m := newMachine(t, "")
	m.start()
	m.freeze()
	began := time.Now()
	m.expect(m.ticket()+"\n", 0, "", pamtester(user, "authenticate")...) // by a worker of its own
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("with the resident worker stopped: %v", took)
	}
	m.worker.Process.Signal(syscall.SIGCONT)
	cmd := exec.Command("/usr/bin/pamtester", "rstudio", user, "authenticate")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	prompted := &promptWatch{seen: make(chan struct{})}
	cmd.Stderr = prompted
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	prompted.wait(t)
	m.worker.Process.Kill()
	m.worker.Wait()
	m.worker = nil
	fmt.Fprintln(in, m.ticket())
	if err := cmd.Wait(); err == nil || !strings.Contains(prompted.text(), "cannot retrieve authentication info") {
		t.Errorf("with the worker killed: %v %q", err, prompted.text())
	}
	m.start() // what it left behind stops nobody
	m.expect(m.ticket()+"\n", 0, "", pamtester(user, whole...)...)
}

func TestPwbSession(t *testing.T) {
	both(t, func(t *testing.T, m *machine) {
		m.write("/etc/pam.d/rstudio", "auth required pam_pwb.so\naccount required pam_pwb.so\nsession required pam_limits.so conf=/etc/pwb-limits\nsession required pam_env.so conffile=/etc/pwb-env readenv=0\nsession required pam_pwb.so umask=0077\n", 0o644)
		m.write("/etc/pwb-limits", "alice soft nofile 77\nalice hard nofile 99\nalice soft core 0\n", 0o644)
		m.write("/etc/pwb-env", "FROM_STACK DEFAULT=yes\n", 0o644)
		session := func(ticket string, status int, words string, argv ...string) {
			t.Helper()
			m.expect(ticket+"\nrest of the input\n", status, words, append([]string{"/usr/bin/env", "SECRET=1", "PATH=/usr/bin", "/usr/bin/pwb", "session", user, "--"}, argv...)...)
		}
		session(m.ticket(), 0, "uid=54321(alice) gid=54321(alice) groups=54321(alice)", "id")
		session(m.ticket(), 0, "/home/alice", "pwd")
		session(m.ticket(), 0, "77 99", "sh", "-c", "echo $(ulimit -Sn) $(ulimit -Hn)")
		session(m.ticket(), 0, "rest of the input", "cat")
		session(m.ticket(), 0, "FROM_STACK=yes\nHOME=/home/alice\nLOGNAME=alice\nPATH=/usr/local/bin:/usr/bin:/bin\n", "sh", "-c", "env | grep -v '^_\\|^PWD\\|^OLDPWD\\|^SHLVL' | sort")
		m.expect(m.ticket()+"\n", 0, "0\n1\n2\n3\n", "sh", "-c", "exec 9</dev/null; exec /usr/bin/pwb session alice -- ls -1 /proc/self/fd") // 3 is ls's own
		session(m.ticket(), 42, "", "sh", "-c", "exit 42")
		session(m.ticket(), 128+9, "", "sh", "-c", "kill -9 $$")
		session(m.ticket(), 127, "no such file", "no-such-command")
		session(m.ticket(), 126, "permission denied", "/etc/passwd")
		session("wrong", 125, "authenticate: Authentication failure", "id")
		session(m.idp.Mint("bob"), 125, "authenticate: Authentication failure", "id")
		file := filepath.Join(t.TempDir(), "ticket")
		m.write(file, m.ticket()+"\n", 0o600)
		m.expect("", 0, "alice", "/usr/bin/pwb", "session", "--ticket-file", file, user, "--", "whoami")
		m.expect("", 0, "alice", "sh", "-c", "exec /usr/bin/pwb session --ticket-fd 7 alice -- whoami 7<<EOF\n"+m.ticket()+"\nEOF")
		m.expect("", 125, "no terminal to ask at", "setsid", "/usr/bin/pwb", "session", user, "--", "id")
	})
}

func TestSignalsReachTheCommand(t *testing.T) {
	m := newMachine(t, "")
	m.start()
	mark := filepath.Join("/mnt", "mark")
	os.Remove(mark)
	cmd := exec.Command("/usr/bin/pwb", "session", user, "--", "sh", "-c", "trap 'exit 17' TERM; echo ready; while :; do sleep 0.05; done")
	cmd.Stdin = strings.NewReader(m.ticket() + "\n")
	out := &promptWatch{seen: make(chan struct{}), want: "ready"}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.wait(t)
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 17 {
		t.Errorf("status %d, want the command's 17", got)
	}
}

// The real programs, each with a ticket of its own.
func TestSu(t *testing.T) {
	both(t, func(t *testing.T, m *machine) {
		m.expect(m.ticket()+"\n", 0, "54321", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "su", user, "-c", "id -u")
		m.expect("wrong\n", 1, "Authentication failure", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "su", user, "-c", "id -u")
	})
}

func TestSudo(t *testing.T) {
	both(t, func(t *testing.T, m *machine) {
		m.write("/etc/sudoers", "Defaults !syslog\nroot ALL=(ALL:ALL) ALL\nalice ALL=(ALL:ALL) ALL\n", 0o440)
		as := []string{"setpriv", "--reuid=54321", "--regid=54321", "--init-groups", "sudo", "-S", "-k", "-p", "", "id", "-u"}
		m.expect(m.ticket()+"\n", 0, "0\n", as...)
		m.expect("wrong\n", 1, "", as...)
	})
}

func TestSSHD(t *testing.T) {
	both(t, func(t *testing.T, m *machine) {
		ssh := m.sshd()
		for _, method := range []string{"password", "keyboard-interactive"} {
			m.expect("", 0, "54321", ssh(m.ticket(), "-o", "PreferredAuthentications="+method)...)
			m.expect("", 255, "Permission denied", ssh("wrong", "-o", "PreferredAuthentications="+method)...)
		}
		// A key skips authentication; the account still has to be open.
		key := []string{"-o", "PreferredAuthentications=publickey", "-i", "/mnt/ssh/id"}
		m.expect("", 0, "54321", ssh("", key...)...)
		m.expect("", 0, "", "/usr/bin/pwb", "lock-user", user)
		out, status := m.run("", ssh("", key...)...)
		if status == 0 || strings.Contains(out, "54321") {
			t.Errorf("a locked account got in by its key:\n%s", out)
		}
	})
}

// sshd starts a server on loopback and returns what makes a client's command line.
func (m *machine) sshd() func(ticket string, more ...string) []string {
	m.t.Helper()
	dir := "/mnt/ssh"
	os.RemoveAll(dir)
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		m.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	m.write(dir+"/config", fmt.Sprintf("ListenAddress 127.0.0.1\nPort %d\nHostKey %s/host\nPidFile none\nUsePAM yes\nStrictModes no\nAuthorizedKeysFile %s/id.pub\nLogLevel ERROR\nUseDNS no\n", port, dir, dir), 0o600)
	for _, key := range []string{"host", "id"} {
		m.expect("", 0, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir+"/"+key)
	}
	// The client asks this program in place of a terminal.
	m.write(dir+"/askpass", "#!/bin/sh\ncat "+dir+"/ticket\n", 0o755)
	server := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", dir+"/config")
	if err := server.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { server.Process.Kill(); server.Wait() })
	m.until("sshd listens", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return func(ticket string, more ...string) []string {
		m.write(dir+"/ticket", ticket+"\n", 0o600)
		argv := []string{"env", "SSH_ASKPASS=" + dir + "/askpass", "SSH_ASKPASS_REQUIRE=force", "ssh", "-F", "none", "-p", fmt.Sprint(port),
			"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "NumberOfPasswordPrompts=1", "-o", "ConnectTimeout=5"}
		return append(append(argv, more...), user+"@127.0.0.1", "id", "-u")
	}
}

func TestCron(t *testing.T) {
	both(t, func(t *testing.T, m *machine) {
		m.expect(m.ticket()+"\n", 0, "", pamtester(user, "authenticate")...) // an account that was never signed in to has no jobs
		out := t.TempDir()
		os.Chmod(out, 0o777)
		os.Chmod(filepath.Dir(out), 0o755)
		os.RemoveAll("/var/spool/cron/crontabs")
		m.write("/var/spool/cron/crontabs/"+user, "@reboot id -u >"+out+"/uid\n", 0o600)
		os.Chown("/var/spool/cron/crontabs/"+user, 54321, 54321)
		os.RemoveAll("/etc/cron.d")
		os.RemoveAll("/run/crond.reboot")
		cron := exec.Command("/usr/sbin/cron", "-f")
		if err := cron.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { cron.Process.Kill(); cron.Wait() }()
		m.until("the job ran", func() bool {
			b, _ := os.ReadFile(out + "/uid")
			return strings.TrimSpace(string(b)) == "54321"
		})
	})
}

// promptWatch collects what a program prints, and says when something is in it.
type promptWatch struct {
	seen chan struct{}
	want string // "" is the prompt
	said []byte
	done bool
}

func (p *promptWatch) Write(b []byte) (int, error) {
	p.said = append(p.said, b...)
	want := p.want
	if want == "" {
		want = "Ticket: "
	}
	if !p.done && strings.Contains(string(p.said), want) {
		p.done = true
		close(p.seen)
	}
	return len(b), nil
}

func (p *promptWatch) wait(t *testing.T) {
	t.Helper()
	select {
	case <-p.seen:
	case <-time.After(time.Minute):
		t.Fatal("the program does not come to its question, or to its word")
	}
}

func (p *promptWatch) text() string { return string(p.said) }
