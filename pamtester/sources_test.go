package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// Lines around what libpam 1.5 reads of one, by their arguments, blanks and continuations: the arguments arrive, and for
// pam_get_authtok as well.
func TestTraceOfLongLines(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, "secret\n")
	for _, length := range []int{980, 1000, 1022, 1023, 1024, 1100, 2100} {
		for _, format := range []string{
			"auth required pam_debug.so %s auth=auth_err\n", "auth [success=ok %s default=bad] pam_debug.so auth=auth_err\n", "auth include inc %s\n",
			"auth required pam_debug.so \\\n  %s \\\n\tauth=auth_err\n", "auth required pam_unix.so %s authtok_type=Odd\n",
		} {
			for _, filling := range []string{"x", " ", "yy "} {
				fill := strings.Repeat(filling, (length-len(format)+2)/len(filling))
				if strings.Contains(format, "success") {
					fill = strings.Repeat(" ", len(fill))
				}
				stack := fmt.Sprintf(format, fill) + "auth required pam_permit.so\n"
				dir := service(t, stack)
				write(t, filepath.Join(dir, "inc"), "auth required pam_debug.so auth=cred_err\n")
				args := []string{"--no-fail-delay", "--secret-file", secret, "--confdir", dir, "svc", "nobody", "authenticate"}
				same(t, stack, args...)
			}
		}
	}
}

// Where there is no folder of services, libpam reads one file.
func TestTraceOfPamConf(t *testing.T) {
	dir := t.TempDir()
	conf, inc := filepath.Join(dir, "pam.conf"), filepath.Join(dir, "inc")
	write(t, inc, "auth required pam_debug.so auth=user_unknown\naccount required pam_permit.so\n")
	write(t, conf, "# c\nSVC auth \\\n include "+inc+"\nx auth required pam_deny.so\n[svc] session include inc\ninc session required pam_permit.so\nsvc\nother account required pam_permit.so\n")
	for _, tt := range []struct {
		args   []string
		drawn  []string
		status int
	}{
		{[]string{"svc", "bob", "authenticate"}, []string{"pam.conf:2 include", "> user_unknown bad", inc + ":1 required", "perm_denied bad pam.conf:7", "decided by " + inc + ":1"}, 1},
		{[]string{"svc", "bob", "open_session"}, []string{"> perm_denied bad pam.conf:5 ", "= PAM_PERM_DENIED"}, 1},
		{[]string{"svc", "bob", "acct_mgmt"}, []string{"service other", "> success ok", " pam.conf:8 required pam_permit.so "}, 0},
		{[]string{"svc", "bob", "chauthtok"}, []string{"= PAM_PERM_DENIED"}, 1},
		{[]string{"other", "bob", "acct_mgmt"}, []string{"--trace: other in " + conf + " cannot be traced"}, 1},
	} {
		cmd := program(t, append([]string{"--trace"}, tt.args...)...)
		cmd.Env = append(cmd.Env, "PAMTESTER_CONF="+conf)
		_, drawn, status := streams(t, cmd, "")
		for _, want := range tt.drawn {
			if status != tt.status || !strings.Contains(inOneLine(drawn), want) {
				t.Errorf("%q: %d, no %q in %s", tt.args, status, want, drawn)
			}
		}
	}
}

// Debian's libpam knows of included files in the first folder alone; the copy must not give it others.
func TestIncludeOfVendorFile(t *testing.T) {
	folders := systemFolders()
	first := &serviceFile{path: folders[0] + "/a", copy: "/copy/a"}
	vendor := &serviceFile{path: folders[1] + "/b", copy: "/copy/b"}
	v := services{system: true, sources: folders, named: map[string]*serviceFile{"a": first, "b": vendor}}
	for name, want := range map[string]string{"a": "/copy/a", "b": "b", "c-is-not-there": folders[0] + "/c-is-not-there"} {
		if got := v.includable(name, v.named[name]); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
