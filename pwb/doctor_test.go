package main

import (
	"strings"
	"testing"
)

const shipped = "auth [success=done ignore=ignore user_unknown=ignore authinfo_unavail=ignore default=die] pam_pwb.so\n" +
	"auth required pam_unix.so\naccount [success=ok new_authtok_reqd=ok user_unknown=ignore default=bad] pam_pwb.so\n" +
	"account required pam_unix.so\nsession required pam_pwb.so umask=0077\n"

func says(all []finding) (out []string) {
	for _, f := range all {
		out = append(out, f.level.String()+": "+f.says)
	}
	return out
}

// The traps that others have shipped: a denial that is ignored, and one that nobody hears.
func TestCheckService(t *testing.T) {
	for _, tt := range []struct{ name, stack, want string }{
		{"as in the manual", shipped, "ok: x: account, auth, session"},
		{"authd's account line", strings.Replace(shipped, "[success=ok new_authtok_reqd=ok user_unknown=ignore default=bad]", "[default=ignore success=ok]", 1),
			`PROBLEM: /etc/pam.d/x:3: account [default=ignore success=ok]: PAM_ACCT_EXPIRED becomes "ignore", so who is refused gets in`},
		{"sufficient", "account sufficient pam_pwb.so\nauth required pam_pwb.so\nsession required pam_pwb.so\n",
			`PROBLEM: /etc/pam.d/x:1: account sufficient: PAM_ACCT_EXPIRED becomes "ignore"`},
		{"optional", "account optional pam_pwb.so\nauth required pam_pwb.so\nsession required pam_pwb.so\n", `PROBLEM: /etc/pam.d/x:1: account optional`},
		{"only one denial is heard", "account [acct_expired=die default=ignore] pam_pwb.so\n", `PROBLEM: /etc/pam.d/x:1: account [acct_expired=die default=ignore]: PAM_PERM_DENIED becomes "ignore"`},
		{"somebody before says yes", "account sufficient pam_unix.so\n" + shipped, "PROBLEM: /etc/pam.d/x:1: account sufficient pam_unix.so comes first"},
		{"somebody before jumps", "account [success=1 default=ignore] pam_localuser.so\n" + shipped, "PROBLEM: /etc/pam.d/x:1: account [success=1 default=ignore] pam_localuser.so comes first"},
		{"no account line", "auth required pam_pwb.so\nsession required pam_pwb.so\n", "PROBLEM: x has pam_pwb.so for auth, and not for account"},
		{"an optional ticket", "auth optional pam_pwb.so\naccount required pam_pwb.so\nsession required pam_pwb.so\n", "PROBLEM: /etc/pam.d/x:1: auth optional"},
		{"strict", "auth required pam_pwb.so\naccount required pam_pwb.so\nsession required pam_pwb.so\n", "warning: /etc/pam.d/x:2: account required refuses everybody who is not pwb's"},
		{"no homes", strings.Replace(shipped, "session", "#session", 1), "warning: x does not make homes"},
		{"two home makers", shipped + "session optional pam_mkhomedir.so\n", "warning: x has pam_mkhomedir.so too"},
		{"a line in two", strings.Replace(shipped, "account [", "account \\\n[", 1), "ok: x: account, auth, session"},
		{"included", "@include base\naccount include more\n", "ok: x: account, auth, session"},
		{"a dash and capitals", "-AUTH required pam_pwb.so\nAccount [user_unknown=ignore default=bad] /lib/security/pam_pwb.so\nsession required pam_pwb.so\n", "ok: x: account, auth, session"},
		{"not ours", "auth required pam_unix.so # pam_pwb.so\n", "PROBLEM: x does not name pam_pwb.so"},
		{"in a ring", "@include x\n", "PROBLEM: x: includes itself"},
	} {
		r := newTree(t)
		r.write("/etc/pam.d/x", tt.stack, 0o644)
		r.write("/etc/pam.d/base", strings.ReplaceAll(shipped, "account", "#account"), 0o644)
		r.write("/etc/pam.d/more", shipped, 0o644)
		got := strings.ReplaceAll(strings.Join(says(checkService(root0(r), "x")), "\n"), r.dir, "")
		if !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

func TestCheckDatabase(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"files pwb systemd", "ok: passwd: files pwb systemd"},
		{"files systemd pwb", "warning: passwd asks systemd before pwb"},
		{"files sss", "PROBLEM: passwd does not ask pwb"},
		{"files sss pwb", "PROBLEM: passwd asks sss before pwb"},
		{"pwb files", "PROBLEM: passwd asks pwb before files"},
		{"files [NOTFOUND=return] pwb", "PROBLEM: passwd stops before pwb"},
		{"files [!SUCCESS=return] pwb", "PROBLEM: passwd stops before pwb"},
		{"files [success=merge] pwb", "ok: passwd"},
		{"", "PROBLEM: passwd does not ask pwb"},
	} {
		got := says([]finding{checkDatabase("/etc/nsswitch.conf", "passwd", switchLine("# x\npasswd: "+tt.line+" # y\n", "passwd"))})[0]
		if !strings.HasPrefix(got, tt.want) {
			t.Errorf("%q: %s; want %s", tt.line, got, tt.want)
		}
	}
}

func TestDoctor(t *testing.T) {
	r := newTree(t)
	r.write("/etc/rstudio/rserver.conf", "auth-openid=1\nauth-openid-issuer="+entra+"\nuser-provisioning-enabled=1\nuser-provisioning-register-on-first-login=1\n", 0o644)
	r.write("/etc/rstudio/openid-client-secret", "client-id=a\nclient-secret=b\n", 0o600)
	r.write("/etc/nsswitch.conf", "passwd: files pwb\ngroup: files pwb\nshadow: files pwb\n", 0o644)
	r.write("/etc/pam.d/rstudio", shipped, 0o644)
	r.write("/etc/ssh/sshd_config", "UsePAM yes\n", 0o644)
	r.write("/usr/lib64/security/pam_pwb.so", "", 0o644)
	r.write("/usr/lib64/libnss_pwb.so.2", "", 0o644)
	r.write("/bin/bash", "", 0o755)
	r.write("/etc/shells", "/bin/bash\n", 0o644)
	out, errs, status := r.pwb("", "doctor", "--offline")
	if status != 0 || strings.Contains(out, "PROBLEM") || errs != "" {
		t.Errorf("a machine in order: %d\n%s%s", status, out, errs)
	}
	for _, bad := range []struct{ file, text, want string }{
		{"/etc/nsswitch.conf", "passwd: files sss pwb\ngroup: files pwb\nshadow: files pwb\n", "asks sss before pwb"},
		{"/etc/ssh/sshd_config", "#UsePAM yes\n", "keys of locked people keep working"},
		{"/etc/pam.d/rstudio", "auth required pam_pwb.so\n", "and not for account"},
		{"/etc/shells", "/bin/sh\n", "/bin/bash is not in /etc/shells"},
		{"/run/nscd/socket", "", "nscd"},
		{"/etc/pam.d/cron", "account required pam_unix.so\n", "cron: the account phase does not ask pwb"},
		{"/etc/pam.d/sshd", "auth required pam_unix.so\naccount required pam_unix.so\n", "sshd, cron: the account phase does not ask pwb"},
		{"/etc/rstudio/rserver.conf", "auth-openid=1\n", "auth-openid-issuer is missing"},
	} {
		r.write(bad.file, bad.text, 0o644)
		if out, _, _ := r.pwb("", "doctor", "--offline"); !strings.Contains(out, bad.want) {
			t.Errorf("%s: %q is not in\n%s", bad.file, bad.want, out)
		}
	}
	out, _, status = r.pwb("", "doctor", "--offline", "--json")
	if status != 1 || !strings.Contains(out, `"level": "problem"`) {
		t.Errorf("as JSON: %d\n%s", status, out)
	}
}
