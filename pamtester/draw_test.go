package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// answered is what the module of a line said and answered.
type answered struct {
	where string
	code  string // in the words of controls
	took  time.Duration
	said  []event
	why   string // it could not be called
}

func gives(where, code string, µs int, said ...event) answered {
	return answered{where: where, code: code, took: time.Duration(µs) * time.Microsecond, said: said}
}

func asks(text string) event { return event{kind: promptEvent, a: hiddenStyle, b: 1, text: text} }
func says(text string) event { return event{kind: messageEvent, text: text} }

// events are the records of these answers. Lines are found by file and number.
func events(t *testing.T, v *services, answers []answered) (all []event) {
	t.Helper()
	now := uint64(1)
	for _, a := range answers {
		id := slices.IndexFunc(v.lines, func(l *line) bool { return l.where() == a.where })
		answer := slices.Index(strings.Fields(returnWords), a.code)
		if id < 0 || answer < 0 {
			t.Fatalf("%s answers %s", a.where, a.code)
		}
		all = append(append(all, event{kind: enterEvent, a: int32(id), nanos: now}), a.said...)
		now += uint64(a.took)
		all = append(all, event{kind: leaveEvent, a: int32(id), b: int32(answer), nanos: now, text: a.why})
	}
	return all
}

// drawn is how authenticate is drawn when the modules of service svc answer so, and libpam rc.
func drawn(t *testing.T, files map[string]string, width int, rc code, answers []answered) string {
	t.Helper()
	v := &services{lib: old, named: map[string]*serviceFile{}}
	for name, text := range files {
		v.named[name] = v.parse("/etc/pam.d/"+name, name, text)
	}
	for _, l := range v.lines {
		l.into = v.named[l.target.value]
	}
	s := &sequence{options: &options{user: "bob"}, talk: newConversation(), tracer: &tracer{services: v, service: "svc", frozen: map[moduleType][]code{}}}
	defer s.talk.free()
	r := result{op: "authenticate", code: rc, took: 2186550 * time.Microsecond}
	r.passes = s.tracer.after(r.op, rc, events(t, v, answers))
	return strings.ReplaceAll(s.drawing(r, width), "uid "+strconv.Itoa(os.Geteuid()), "uid N")
}

const (
	debianAuth = "auth\t[success=1 default=ignore]\tpam_unix.so nullok\n# here's the fallback if no module succeeds\n" +
		"auth\trequisite\t\t\tpam_deny.so\nauth\trequired\t\t\tpam_permit.so\nauth\toptional\t\t\tpam_cap.so \n"
	// In the manner of authselect's profile sssd.
	fedoraAuth = `auth        required                                     pam_env.so
auth        required                                     pam_faildelay.so delay=2000000
auth        [default=1 ignore=ignore success=ok]         pam_usertype.so isregular
auth        [default=1 ignore=ignore success=ok]         pam_localuser.so
auth        sufficient                                   pam_unix.so nullok
auth        [default=1 ignore=ignore success=ok]         pam_usertype.so isregular
auth        sufficient                                   pam_sss.so forward_pass
auth        required                                     pam_deny.so
`
	smartcardAuth = `auth        [default=2 ignore=ignore success=ok]         pam_usertype.so isregular
auth        [success=done authinfo_unavail=ignore user_unknown=ignore ignore=ignore default=die] pam_sss.so allow_missing_name require_cert_auth
auth        required                                     pam_deny.so
`
	readmeAuth = "auth     [success=done user_unknown=ignore authinfo_unavail=ignore default=die]  pam_pwb.so\nauth     required  pam_unix.so\n"
)

// What a person sees of the stacks that people have: in 80 columns no terminal breaks a line.
func TestDrawings(t *testing.T) {
	for _, tt := range []struct {
		name    string
		files   map[string]string
		width   int
		rc      code
		answers []answered
		want    string
	}{
		{"Debian refuses", map[string]string{"svc": "@include common-auth\n", "common-auth": debianAuth}, 80, 7, []answered{
			gives("common-auth:1", "auth_err", 326, asks("Password: ")),
			gives("common-auth:3", "auth_err", 1),
		}, `
trace: authenticate, service svc, user "bob", uid N
  answer    effect     ms  line
                           svc:1  @include common-auth
  auth_err  ignore  0.326    common-auth:1  [success=1 default=ignore]
                                 pam_unix.so nullok
                               asks "Password: "
> auth_err  die     0.001    common-auth:3  requisite pam_deny.so
                               die: ends the stack
  not run                    common-auth:4  required pam_permit.so
  not run                    common-auth:5  optional pam_cap.so
  = PAM_AUTH_ERR in 2186.550 ms, decided by common-auth:3, pam_deny.so
`},
		{"Debian lets in, on a wide terminal", map[string]string{"svc": "@include common-auth\n", "common-auth": debianAuth}, 120, 0, []answered{
			gives("common-auth:1", "success", 326, asks("Password: ")),
			gives("common-auth:4", "success", 1),
			gives("common-auth:5", "ignore", 2),
		}, `
trace: authenticate, service svc, user "bob", uid N
  answer   effect     ms  line
                          svc:1  @include common-auth
  success  jumps   0.326    common-auth:1  [success=1 default=ignore] pam_unix.so nullok
                              asks "Password: "
  not run                   common-auth:3  requisite pam_deny.so
> success  ok      0.001    common-auth:4  required pam_permit.so
  ignore   ignore  0.002    common-auth:5  optional pam_cap.so
  = PAM_SUCCESS in 2186.550 ms, decided by common-auth:4, pam_permit.so
`},
		{"Fedora, sssd does not answer", map[string]string{"svc": "auth substack password-auth\nauth include postlogin\n", "password-auth": fedoraAuth, "postlogin": "session optional pam_umask.so silent\n"}, 80, 7, []answered{
			gives("password-auth:1", "success", 41),
			gives("password-auth:2", "ignore", 19),
			gives("password-auth:3", "success", 211),
			gives("password-auth:4", "perm_denied", 30),
			gives("password-auth:6", "success", 63),
			gives("password-auth:7", "authinfo_unavail", 3012345, asks("Password: ")),
			gives("password-auth:8", "auth_err", 9),
		}, `
trace: authenticate, service svc, user "bob", uid N
  answer            effect        ms  line
                                      svc:1  substack password-auth
  success           ok         0.041    password-auth:1  required pam_env.so
  ignore            ignore     0.019    password-auth:2  required
                                            pam_faildelay.so delay=2000000
  success           ok         0.211    password-auth:3  [default=1
                                            ignore=ignore success=ok]
                                            pam_usertype.so isregular
  perm_denied       jumps      0.030    password-auth:4  [default=1
                                            ignore=ignore success=ok]
                                            pam_localuser.so
  not run                               password-auth:5  sufficient pam_unix.so
                                            nullok
  success           ok         0.063    password-auth:6  [default=1
                                            ignore=ignore success=ok]
                                            pam_usertype.so isregular
  authinfo_unavail  ignore  3012.345    password-auth:7  sufficient pam_sss.so
                                            forward_pass
                                          asks "Password: "
> auth_err          bad        0.009    password-auth:8  required pam_deny.so
                                      svc:2  include postlogin
  = PAM_AUTH_ERR in 2186.550 ms, decided by password-auth:8, pam_deny.so
`},
		{"a smart card: done in a substack ends that alone", map[string]string{"svc": "auth [success=done ignore=ignore default=bad] pam_selinux_permit.so\nauth substack smartcard-auth\nauth optional pam_gnome_keyring.so\n", "smartcard-auth": smartcardAuth}, 80, 0, []answered{
			gives("svc:1", "ignore", 63),
			gives("smartcard-auth:1", "success", 532),
			gives("smartcard-auth:2", "success", 2200, says("Please insert smart card"), asks("PIN for Bob's card: ")),
			gives("svc:3", "service_err", 22),
		}, `
trace: authenticate, service svc, user "bob", uid N
  answer       effect     ms  line
  ignore       ignore  0.063  svc:1  [success=done ignore=ignore default=bad]
                                  pam_selinux_permit.so
                              svc:2  substack smartcard-auth
  success      ok      0.532    smartcard-auth:1  [default=2 ignore=ignore
                                    success=ok] pam_usertype.so isregular
> success      done    2.200    smartcard-auth:2  [success=done
                                    authinfo_unavail=ignore user_unknown=ignore
                                    ignore=ignore default=die] pam_sss.so
                                    allow_missing_name require_cert_auth
                                  says "Please insert smart card"
                                  asks "PIN for Bob's card: "
                                  done: ends the substack
  not run                       smartcard-auth:3  required pam_deny.so
  service_err  ignore  0.022  svc:3  optional pam_gnome_keyring.so
  = PAM_SUCCESS in 2186.550 ms, decided by smartcard-auth:2, pam_sss.so
`},
		{"the README's, no provider and no local account", map[string]string{"svc": readmeAuth}, 80, 10, []answered{
			gives("svc:1", "authinfo_unavail", 201, event{kind: messageEvent, a: errorStyle, text: "the identity provider does not answer"}),
			gives("svc:2", "user_unknown", 481, event{kind: promptEvent, text: "Password: "}),
		}, `
trace: authenticate, service svc, user "bob", uid N
  answer            effect     ms  line
  authinfo_unavail  ignore  0.201  svc:1  [success=done user_unknown=ignore
                                       authinfo_unavail=ignore default=die]
                                       pam_pwb.so
                                     error "the identity provider does not
                                         answer"
> user_unknown      bad     0.481  svc:2  required pam_unix.so
                                     asks "Password: " and gets no answer
  = PAM_USER_UNKNOWN in 2186.550 ms, decided by svc:2, pam_unix.so
`},
		{"the README's, a ticket that has expired", map[string]string{"svc": readmeAuth}, 80, 7, []answered{
			gives("svc:1", "auth_err", 71, says("your sign-in has expired; sign in again at https://workbench.example.com/openid/login")),
		}, `
trace: authenticate, service svc, user "bob", uid N
  answer    effect     ms  line
> auth_err  die     0.071  svc:1  [success=done user_unknown=ignore
                               authinfo_unavail=ignore default=die] pam_pwb.so
                             says "your sign-in has expired; sign in again at
                                 https://workbench.example.com/openid/login"
                             die: ends the stack
  not run                  svc:2  required pam_unix.so
  = PAM_AUTH_ERR in 2186.550 ms, decided by svc:1, pam_pwb.so
`},
		{"what libpam cannot read, words that are longer than their room, a jump off the end", map[string]string{"svc": "auth include nosuch\nbogus required pam_permit.so\nauth required /opt/vendor/lib64/security/pam_vendor.so authfile=/etc/opt/vendor/of/the/far/future/mappings.conf\nauth [default=5] pam_permit.so\n"}, 80, 6, []answered{
			{"svc:3", "module_unknown", 1000, nil, "/opt/vendor/lib64/security/pam_vendor.so: cannot open shared object file: No such file or directory"},
			gives("svc:4", "success", 1),
		}, `
trace: authenticate, service svc, user "bob", uid N
  answer          effect     ms  line
  perm_denied     bad            svc:1  include nosuch
                                   bad (libpam cannot read this file)
  perm_denied     bad            svc:2  bogus required pam_permit.so
                                   bad (libpam cannot read this line)
  module_unknown  bad     0.001  svc:3  required
                                     /opt/vendor/lib64/security/pam_vendor.so
                        authfile=/etc/opt/vendor/of/the/far/future/mappings.conf
                                   cannot be called:
                                       /opt/vendor/lib64/security/pam_vendor.so:
                                       cannot open shared object file: No such
                                       file or directory
> success         jumps   0.001  svc:4  [default=5] pam_permit.so
                                   jumps off the end: refused
  = PAM_PERM_DENIED in 2186.550 ms, decided by svc:4, pam_permit.so
`},
		{"a file with a long name", map[string]string{"svc": "@include /etc/authselect/custom/a-company-of-note/password-auth\n", "/etc/authselect/custom/a-company-of-note/password-auth": "auth requisite pam_deny.so\n"}, 80, 7, []answered{
			gives("/etc/authselect/custom/a-company-of-note/password-auth:1", "auth_err", 1),
		}, `
trace: authenticate, service svc, user "bob", uid N
  answer    effect     ms  line
                           svc:1  @include
                          /etc/authselect/custom/a-company-of-note/password-auth
> auth_err  die     0.001
                        /etc/authselect/custom/a-company-of-note/password-auth:1
                                  requisite pam_deny.so
                               die: ends the stack
  = PAM_AUTH_ERR in 2186.550 ms, decided by
      /etc/authselect/custom/a-company-of-note/password-auth:1, pam_deny.so
`},
		{"control characters and those that turn the order, in files and messages", map[string]string{"svc": "auth include \x1b[7minc\nauth required pam_echo.so a\u202eb \x9b7m \x07\n", "\x1b[7minc": "auth sufficient pam_echo.so \x1b]0;title\n"}, 80, 0, []answered{
			gives("\x1b[7minc:1", "success", 1, says("\x1b[2J\u202e")),
		}, `
trace: authenticate, service svc, user "bob", uid N
  answer   effect     ms  line
                          svc:1  include ?[7minc
> success  done    0.001    ?[7minc:1  sufficient pam_echo.so ?]0;title
                              says "\x1b[2J\u202e"
                              done: ends the stack
  not run                 svc:2  required pam_echo.so a?b �7m ?
  = PAM_SUCCESS in 2186.550 ms, decided by ?[7minc:1, pam_echo.so
`},
		{"characters of double width", map[string]string{"svc": "auth required pam_echo.so 本日は晴天なり 本日は晴天なり 本日は晴天なり\n"}, 80, 0, []answered{
			gives("svc:1", "success", 1),
		}, `
trace: authenticate, service svc, user "bob", uid N
  answer   effect     ms  line
> success  ok      0.001  svc:1  required pam_echo.so 本日は晴天なり
                              本日は晴天なり 本日は晴天なり
  = PAM_SUCCESS in 2186.550 ms, decided by svc:1, pam_echo.so
`},
		{"an order that the files do not explain", map[string]string{"svc": "auth required pam_permit.so\nauth required pam_permit.so\n"}, 80, 0, []answered{
			gives("svc:2", "success", 1),
			gives("svc:1", "success", 1, says("what is this?")),
		}, `
trace: authenticate, service svc, user "bob", uid N
  answer      ms  line
  success  0.001  svc:2  required pam_permit.so
  success  0.001  svc:1  required pam_permit.so
                    says "what is this?"
                  the service files do not explain this order
  = PAM_SUCCESS in 2186.550 ms
`},
		{"nothing that is traced", map[string]string{"svc": "auth required pam_permit.so\n"}, 80, 0, []answered{}, `
trace: authenticate, service svc, user "bob", uid N
  libpam called no module that is traced
  = PAM_SUCCESS in 2186.550 ms
`},
	} {
		if got := "\n" + drawn(t, tt.files, tt.width, tt.rc, tt.answers); got != tt.want {
			t.Errorf("%s:%s\nwant:%s", tt.name, got, tt.want)
		}
	}
}

// A drawing is as wide as the terminal that it goes to. What goes elsewhere does not depend on one.
func TestTraceWidth(t *testing.T) {
	args := []string{"--trace", "--stack", "auth required pam_permit.so with these words and-one-more-that-is-too-long", "svc", "bob", "authenticate"}
	const wide, usual = "  svc:1  required pam_permit.so with these words and-one-more-that-is-too-long\n", "    and-one-more-that-is-too-long\n"
	for _, tt := range []struct {
		columns uint16
		want    string
	}{{200, wide}, {0, usual}} {
		v := newTerminal(t)
		if err := unix.IoctlSetWinsize(int(v.slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: tt.columns}); err != nil {
			t.Fatal(err)
		}
		cmd, _ := onTerminal(t, args...)
		v.start(cmd)
		v.wait(strings.ReplaceAll(tt.want, "\n", "\r\n"))
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	_, drawn, _ := streams(t, program(t, args...), "")
	if !strings.Contains(drawn, usual) {
		t.Error(drawn)
	}
}

// Names of files and of services are from outside as well.
func TestTraceEscapes(t *testing.T) {
	dir := service(t, permit)
	write(t, filepath.Join(dir, "\x1b[7msvc"), "auth include \x1b[7minc\n")
	write(t, filepath.Join(dir, "\x1b[7minc"), "auth requisite pam_deny.so\n")
	_, drawn, _ := streams(t, program(t, "--trace", "--confdir", dir, "\x1b[7msvc", "bob", "authenticate"), "")
	if strings.Contains(drawn, "\x1b") || !strings.Contains(drawn, "service ?[7msvc, ") || !strings.Contains(drawn, "decided by ?[7minc:1, ") {
		t.Errorf("%q", drawn)
	}
}

// No line is wider than the terminal but by one word, and none has a character that does something to it.
func FuzzLayout(f *testing.F) {
	f.Add("svc:1  [success=1 default=ignore] pam_unix.so \x1b[31m 本日は晴天なり", uint8(4), uint8(80))
	f.Fuzz(func(t *testing.T, text string, depth, width uint8) {
		r := row{answer: "auth_err", effect: "bad", took: "0.001", depth: int(depth), texts: []string{text, text}}
		for _, drawn := range strings.Split(strings.TrimSuffix(layout([]row{r}, int(width)), "\n"), "\n") {
			tooWide := columns(drawn) > max(int(width), leastRoom) && strings.Contains(strings.TrimSpace(drawn), " ")
			if tooWide || printable(drawn) != drawn {
				t.Errorf("%q", drawn)
			}
		}
	})
}
