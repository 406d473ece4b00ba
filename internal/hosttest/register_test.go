package hosttest

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// registering is a machine that makes accounts, set up as the guide says.
func registering(t *testing.T, settings string) *machine {
	t.Helper()
	m := newMachine(t, settings)
	m.write("/etc/rstudio/rserver.conf", "auth-openid=1\nauth-openid-issuer="+m.idp.URL+"\nauth-openid-groups-claim=groups\n"+
		"user-provisioning-enabled=1\nuser-provisioning-register-on-first-login=1\nuser-provisioning-start-uid=30000\n"+
		"group-provisioning-start-gid=30000\nuser-homedir-path=/home/people\n", 0o644)
	m.write("/etc/nsswitch.conf", "passwd: files systemd pwb\ngroup: files systemd pwb\nshadow: files pwb\nhosts: files\n", 0o644)
	t.Cleanup(func() {
		os.WriteFile("/etc/nsswitch.conf", []byte("passwd: files\ngroup: files\nshadow: files\nhosts: files\n"), 0o644)
	})
	os.RemoveAll("/home/people")
	return m
}

func (m *machine) ticketOf(username string, groups ...string) string {
	m.t.Helper()
	claims := map[string]any{"name": strings.ToUpper(username[:1]) + username[1:] + " Example"}
	if groups != nil {
		claims["groups"] = groups
	}
	return m.idp.Mint(username+"@example.com", claims)
}

func bothRegistering(t *testing.T, test func(t *testing.T, m *machine)) {
	t.Run("resident", func(t *testing.T) { m := registering(t, ""); m.start(); test(t, m) })
	t.Run("spawned", func(t *testing.T) { test(t, registering(t, "")) })
}

// The guide's JIT path, literally: a person whom nobody has made an account for signs in, and is there for every program.
func TestAFirstTicketMakesTheAccount(t *testing.T) {
	bothRegistering(t, func(t *testing.T, m *machine) {
		m.expect("", 2, "", "getent", "passwd", "carol")
		m.expect(m.ticketOf("carol", "1a2b3c4d-1111-2222-3333-444444444444", "scientists", "sudo")+"\n", 0, "session has successfully been closed.",
			pamtester("carol", whole...)...)
		m.expect("", 0, "carol:x:30000:30000:Carol Example:/home/people/carol:/bin/bash\n", "getent", "passwd", "carol")
		m.expect("", 0, "carol:x:30000:30000:Carol Example:", "getent", "passwd", "30000")
		m.expect("", 0, "carol:*:::::::\n", "getent", "shadow", "carol")
		m.expect("", 0, "uid=30000(carol) gid=30000(carol) groups=30000(carol),30001(g-1a2b3c4d),30002(scientists),30003(g-sudo)\n", "id", "carol")
		m.expect("", 0, "scientists:x:30002:carol\n", "getent", "group", "scientists")
		m.expect("", 0, "carol:x:30000:\n", "getent", "group", "carol")
		m.expect("", 0, "\ncarol:x:30000:", "getent", "passwd")
		m.expect("", 0, "sudo:x:27:\n", "getent", "group", "sudo")
		st, err := os.Stat("/home/people/carol")
		if err != nil || st.Mode().Perm() != 0o700 || st.Sys().(*syscall.Stat_t).Uid != 30000 || st.Sys().(*syscall.Stat_t).Gid != 30000 {
			t.Errorf("home: %v, %v", st, err)
		}
		m.expect(m.ticketOf("dave", "scientists")+"\n", 0, "", pamtester("dave", whole...)...)
		m.expect("", 0, "uid=30004(dave) gid=30004(dave) groups=30004(dave),30002(scientists)\n", "id", "dave")
		m.expect("", 0, "scientists:x:30002:carol,dave\n", "getent", "group", "scientists")
		m.expect("", 0, "carol", "/usr/bin/pwb", "list-users")
		m.expect(m.ticketOf("carol")+"\n", 0, "uid=30000(carol) gid=30000(carol) groups=30000(carol)\n", // in no group any more
			"/usr/bin/pwb", "session", "carol", "--", "id")
		m.expect(m.ticketOf("erin")+"\n", 0, "/home/people/erin\nErin Example\n", // never here before
			"/usr/bin/pwb", "session", "erin", "--", "sh", "-c", "cd && pwd && getent passwd erin | cut -d: -f5")
	})
}

func TestALockedAccountOfOursStaysKnown(t *testing.T) {
	bothRegistering(t, func(t *testing.T, m *machine) {
		m.expect(m.ticketOf("carol")+"\n", 0, "", pamtester("carol", whole...)...)
		m.expect("", 0, "", "/usr/bin/pwb", "lock-user", "carol")
		m.expect("", 0, "carol:x:30000:", "getent", "passwd", "carol")
		m.expect(m.ticketOf("carol")+"\n", 1, "Authentication failure", pamtester("carol", "authenticate")...)
		m.expect("", 1, "User account has expired", pamtester("carol", "acct_mgmt")...)
		m.expect("", 0, "", "/usr/bin/pwb", "unlock-user", "carol")
		m.expect(m.ticketOf("carol")+"\n", 0, "", pamtester("carol", whole...)...)
	})
}

func TestNamesOfTheMachineAreNotTaken(t *testing.T) {
	bothRegistering(t, func(t *testing.T, m *machine) {
		m.expect(m.ticketOf(user)+"\n", 1, "Authentication failure", pamtester(user, "authenticate")...) // a local account
		if m.worker != nil {
			m.logged("pwb users link alice")
		}
		m.expect(m.ticketOf("root")+"\n", 1, "", pamtester("", "authenticate")...)
		m.expect(m.ticketOf("daemon")+"\n", 1, "", pamtester("", "authenticate")...)
		m.expect("", 2, "", "getent", "passwd", "30000")
	})
}

// su looks the account up before and after, cron and sshd with a key never see a ticket.
func TestHostsKnowAnAccountOfOurs(t *testing.T) {
	bothRegistering(t, func(t *testing.T, m *machine) {
		m.expect(m.ticketOf("carol")+"\n", 0, "", pamtester("carol", "authenticate")...)
		m.expect(m.ticketOf("carol")+"\n", 0, "carol\n/home/people/carol\n",
			"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "su", "-", "carol", "-c", "id -un; pwd")
		m.expect(m.ticketOf("dave")+"\n", 1, "does not exist", // su looks before it asks: a person comes here after the first sign-in
			"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "su", "dave", "-c", "id")
	})
}

// sshd knows an account of ours from the first sign-in on, by ticket and by key; locking ends both, unlocking restores both.
func TestSSHDAndAnAccountOfOurs(t *testing.T) {
	bothRegistering(t, func(t *testing.T, m *machine) {
		ssh := m.sshd()
		as := func(argv []string) []string {
			argv[len(argv)-3] = "carol@127.0.0.1"
			return argv
		}
		key := []string{"-o", "PreferredAuthentications=publickey", "-i", "/mnt/ssh/id"}
		m.expect("", 255, "Permission denied", as(ssh(m.ticketOf("carol"), "-o", "PreferredAuthentications=password"))...) // sshd looks first
		m.expect(m.ticketOf("carol")+"\n", 0, "", pamtester("carol", "authenticate")...)
		for _, locked := range []bool{false, true, false} {
			status, said, verb := 0, "30000\n", "unlock-user"
			if locked {
				status, said, verb = 255, "", "lock-user"
			}
			m.expect("", 0, "", "/usr/bin/pwb", verb, "carol")
			m.expect("", status, said, as(ssh(m.ticketOf("carol"), "-o", "PreferredAuthentications=password"))...)
			m.expect("", status, said, as(ssh("", key...))...)
		}
	})
}

// An account that was there before is opened when an operator has said whose it is, and not before.
func TestALinkedAccount(t *testing.T) {
	bothRegistering(t, func(t *testing.T, m *machine) {
		m.expect(m.ticketOf(user)+"\n", 1, "", pamtester(user, "authenticate")...)
		m.expect("", 0, "", "/usr/bin/pwb", "users", "link", user, "s-"+user+"@example.com")
		m.expect(m.ticketOf(user)+"\n", 0, "", pamtester(user, whole...)...)
		m.expect("", 0, "local", "/usr/bin/pwb", "list-users")
		m.expect(m.idp.Mint(user+"@example.com", map[string]any{"sub": "mallory"})+"\n", 1, "", pamtester(user, "authenticate")...)
	})
}

func TestGroupMap(t *testing.T) {
	const object = "1a2b3c4d-1111-2222-3333-444444444444"
	m := registering(t, "group-map="+object+":gpu\n")
	m.expect("", 0, "", "groupadd", "--force", "--gid", "20001", "gpu")
	m.expect(m.ticketOf("carol", object)+"\n", 0, "", pamtester("carol", "authenticate")...)
	m.expect("", 0, ",20001(gpu)", "id", "carol")
	m.expect(m.ticketOf("carol", "another")+"\n", 0, "", pamtester("carol", "authenticate")...)
	if out, _ := m.run("", "id", "carol"); strings.Contains(out, "gpu") {
		t.Errorf("out of the provider's group, and still in the machine's: %s", out)
	}
}

// Groups that the provider has left out: files keep theirs, doors stay shut.
func TestAnOverage(t *testing.T) {
	bothRegistering(t, func(t *testing.T, m *machine) {
		conf, _ := os.ReadFile("/etc/rstudio/rserver.conf")
		m.write("/etc/rstudio/rserver.conf", string(conf)+"auth-required-user-group=staffers\n", 0o644)
		if m.worker != nil {
			m.stop()
			m.start()
		}
		m.expect(m.ticketOf("carol", "staffers")+"\n", 0, "", pamtester("carol", "authenticate", "acct_mgmt")...)
		overage := m.idp.Mint("carol@example.com", map[string]any{"_claim_names": map[string]any{"groups": "src1"},
			"_claim_sources": map[string]any{"src1": map[string]any{"endpoint": "https://evil.example"}}})
		m.expect(overage+"\n", 1, "Permission denied", pamtester("carol", "authenticate", "acct_mgmt")...)
		m.expect("", 0, "30001(staffers)", "id", "carol")
		m.expect("", 1, "auth-required-user-group", "/usr/bin/pwb", "explain-login", "carol")
		m.expect(m.ticketOf("carol", "staffers")+"\n", 0, "", pamtester("carol", "authenticate", "acct_mgmt")...)
	})
}

// Another process changes the store; the resident worker shows it.
func TestTheWorkerFollowsTheStore(t *testing.T) {
	m := registering(t, "")
	m.expect(m.ticketOf("carol")+"\n", 0, "", pamtester("carol", "authenticate")...)
	os.Remove("/var/lib/pwb-nss/users.snap")
	m.start()
	m.until("the account is shown", func() bool { return exec.Command("getent", "passwd", "carol").Run() == nil })
}

func TestTheAuditFileHoldsEveryDecision(t *testing.T) {
	bothRegistering(t, func(t *testing.T, m *machine) {
		ticket := m.ticketOf("carol")
		m.expect(ticket+"\n", 0, "", pamtester("carol", "authenticate", "acct_mgmt")...)
		m.expect(ticket+"\n", 1, "", pamtester("carol", "authenticate")...)
		m.expect("", 0, "", "/usr/bin/pwb", "lock-user", "carol")
		m.expect("", 1, "", pamtester("carol", "acct_mgmt")...)
		m.expect("", 0, "", "/usr/bin/pwb", "audit", "verify")
		text, err := os.ReadFile("/var/log/pwb/audit.log")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"code":"PAM_SUCCESS"`, "this ticket has been spent", `"event":"lock-user"`, "PAM_ACCT_EXPIRED", "the account is locked"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("the audit file has no %s:\n%s", want, text)
			}
		}
		if strings.Contains(string(text), ticket[len(ticket)-40:]) {
			t.Error("a ticket is in the audit file")
		}
	})
}

// Locking ends what needs no ticket too: cron's jobs, and root's own su. Unlocking restores all of it. Keys of ssh are above.
func TestALockedAccountHasNoWayIn(t *testing.T) {
	bothRegistering(t, func(t *testing.T, m *machine) {
		shipped := "account [success=ok new_authtok_reqd=ok user_unknown=ignore default=bad] pam_pwb.so\naccount required pam_unix.so\nsession required pam_pwb.so\n"
		m.write("/etc/pam.d/cron", shipped, 0o644)
		m.write("/etc/pam.d/su", "auth sufficient pam_rootok.so\nauth required pam_pwb.so\n"+shipped, 0o644)
		m.expect(m.ticketOf("carol")+"\n", 0, "", pamtester("carol", "authenticate")...)
		for _, locked := range []bool{false, true, false} {
			status, said, verb := 0, "30000\n", "unlock-user"
			if locked {
				status, said, verb = 1, "", "lock-user"
			}
			m.expect("", 0, "", "/usr/bin/pwb", verb, "carol")
			m.expect("", 0, "carol:x:30000:", "getent", "passwd", "carol")
			m.expect(m.ticketOf("carol")+"\n", status, said, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "su", "carol", "-c", "id -u")
			m.expect("", status, said, "su", "carol", "-c", "id -u")
			m.expect("", 0, "0\n", "su", "root", "-c", "id -u")
			if jobs := m.jobs("carol", 30000); jobs != !locked {
				t.Errorf("locked: %v; cron ran carol's job: %v", locked, jobs)
			}
		}
	})
}

// jobs says whether cron runs somebody's job; root's, which it does run, comes after.
func (m *machine) jobs(name string, uid int) bool {
	m.t.Helper()
	out, err := os.MkdirTemp("/home", "jobs")
	if err != nil {
		m.t.Fatal(err)
	}
	os.Chmod(out, 0o777)
	os.RemoveAll("/var/spool/cron/crontabs")
	os.RemoveAll("/etc/cron.d")
	os.RemoveAll("/run/crond.reboot")
	m.write("/var/spool/cron/crontabs/"+name, "@reboot id -u >"+out+"/theirs\n", 0o600)
	os.Chown("/var/spool/cron/crontabs/"+name, uid, uid)
	m.write("/var/spool/cron/crontabs/root", "@reboot sleep 1; touch "+out+"/roots\n", 0o600)
	cron := exec.Command("/usr/sbin/cron", "-f")
	if err := cron.Start(); err != nil {
		m.t.Fatal(err)
	}
	defer func() { cron.Process.Kill(); cron.Wait() }()
	m.until("root's job ran", func() bool { _, err := os.Stat(out + "/roots"); return err == nil })
	text, _ := os.ReadFile(out + "/theirs")
	return strings.TrimSpace(string(text)) == strconv.Itoa(uid)
}
