package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Debian's libpam 1.5, and another's 1.7.
var old, recent = &library{atInclude: true}, &library{longLines: true}

func TestParseService(t *testing.T) {
	lines, whole := old.lines("# c\nauth required a.so x # y\n\n  -account [success=1 \\\n # between\n default=\\] bad] [b c.so] [d \\] e]\n@INCLUDE inc z\nauth substack s\nbogus x y\nauth")
	var got []string
	for _, l := range lines {
		got = append(got, strings.Join([]string{string(rune('0' + l.number)), string(rune('a' + l.kind)), l.typeWord.raw, l.control.value, l.target.value, l.rest}, ","))
	}
	want := []string{"2,a,auth,required,a.so, x", "4,a,-account,success=1   default=] bad,b c.so, [d \\] e]", "7,d,@INCLUDE,,inc, z", "8,c,auth,substack,s,", "9,e,bogus,x,y,", "10,e,auth,,,"}
	want[5] = ":,e,auth,,,"
	if !slices.Equal(got, want) || !whole {
		t.Errorf("%q, %v; want %q", got, whole, want)
	}
	if _, whole := old.lines("auth required x.so \\\n"); whole {
		t.Error("a file that ends in a continuation is whole")
	}
}

func TestParseActions(t *testing.T) {
	for _, tt := range []struct {
		control                        string
		success, authErr, ignore, reqd int
	}{
		{"required", doOK, doBad, doIgnore, doOK}, {"REQUISITE", doOK, doDie, doIgnore, doOK}, {"optional", doOK, doIgnore, doIgnore, doOK},
		{"sufficient", doDone, doIgnore, doIgnore, doDone}, {"success=ok default=die", doOK, doDie, doDie, doDie}, {"default=ignore success=2", 2, 0, 0, 0},
		{"success = done", doDone, doBad, doBad, doBad}, {"success=0", doBad, doBad, doBad, doBad}, {"success=4294967297", doBad, doBad, doBad, doBad}, {"junk=ok success=ok", doBad, doBad, doBad, doBad},
		{"success=ok", doOK, doBad, doBad, doBad}, {"auth_err=reset", doBad, doReset, doBad, doBad},
	} {
		a := parseActions(tt.control, true)
		if a[0] != tt.success || a[7] != tt.authErr || a[25] != tt.ignore || a[12] != tt.reqd {
			t.Errorf("%q: %v", tt.control, a)
		}
	}
}

func TestConfdir(t *testing.T) {
	at := "@include inc\n"
	if !loadedLibrary().atInclude {
		at = "auth include inc\n"
	}
	dir := service(t, at+"account include inc\n")
	write(t, filepath.Join(dir, "inc"), "auth required pam_permit.so\naccount required pam_deny.so\n")
	out, errs, status := streams(t, program(t, "--confdir", dir, "svc", "bob", "authenticate", "acct_mgmt=PAM_PERM_DENIED"), "")
	_, _ = out, errs
	if status != 1 || out != "pamtester: successfully authenticated\n" || !strings.Contains(errs, "Authentication failure (PAM_AUTH_ERR)") {
		t.Errorf("%q, %q, %d", out, errs, status)
	}
}

// The copy of services has folders of its own; no name of a service is in their way.
func TestServicesOfAnyName(t *testing.T) {
	for _, name := range []string{"i", "m", "s"} {
		dir := service(t, "@include "+name+"\n")
		write(t, filepath.Join(dir, name), permit)
		for _, args := range [][]string{{}, {"--trace"}} {
			args = append(args, "--confdir", dir, "svc", "bob", "authenticate")
			if out, errs, status := streams(t, program(t, args...), ""); status != 0 {
				t.Errorf("%q: %q, %q, %d", args, out, errs, status)
			}
		}
	}
}

// An include in brackets is one name, blanks and all.
func TestIncludeOfBlanks(t *testing.T) {
	for line, want := range map[string]string{
		"auth include [a b]": "PAM_SUCCESS", "auth substack [a b]": "PAM_SUCCESS", "@include [a b]": "PAM_SUCCESS", "auth include [a b\\]]": "PAM_AUTH_ERR",
		"auth include [a c]": "PAM_PERM_DENIED", "auth substack [ a b]": "PAM_PERM_DENIED", "@include [a c]": "PAM_ABORT",
	} {
		dir := service(t, line+"\n")
		write(t, filepath.Join(dir, "a"), permit)
		write(t, filepath.Join(dir, "a b"), permit)
		write(t, filepath.Join(dir, "a b]"), "auth required pam_debug.so auth=auth_err\n")
		same(t, line, "--confdir", dir, "svc", "bob", "authenticate")
		if got := report(t, "--confdir", dir, "svc", "bob", "authenticate")[0]; got.Name != want {
			t.Errorf("%s: %s, want %s", line, got.Name, want)
		}
	}
}

func TestStackAndModule(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		out    string
		errs   string
		status int
	}{
		{[]string{"--stack", "auth required pam_deny.so", "--stack", "account required pam_permit.so", "x", "bob", "acct_mgmt", "authenticate"}, "pamtester: account management done.\n", "pamtester: Authentication failure\n", 1},
		{[]string{"--stack", "auth required pam_permit.so\naccount required pam_permit.so", "/a/X", "bob", "acct_mgmt", "authenticate"}, "pamtester: account management done.\npamtester: successfully authenticated\n", "", 0},
		{[]string{"--stack", "auth required pam_permit.so", "A\xff", "bob", "authenticate", "getitem(service)"}, "pamtester: successfully authenticated\nservice=a\xff\n", "", 0},
		{[]string{"--module", "pam_debug.so auth=maxtries", "--type", "auth", "x", "bob", "authenticate"}, "auth=maxtries\n", "pamtester: Have exhausted maximum number of retries for service\n", 1},
		{[]string{"--module", "pam_permit.so", "--type", "auth,session", "x", "bob", "open_session", "acct_mgmt"}, "pamtester: successfully opened a session\n", "pamtester: Permission denied\n", 1},
		{[]string{"--module", " ", "x", "bob", "acct_mgmt"}, "", "pamtester: --module \" \" names no file\n", 1},
	} {
		out, errs, status := streams(t, program(t, tt.args...), "")
		if out != tt.out || errs != tt.errs || status != tt.status {
			t.Errorf("%q: %q, %q, %d", tt.args, out, errs, status)
		}
	}
}

func FuzzService(f *testing.F) {
	f.Add("auth [success=1 \\\n default=\\]] x.so [a \\] b] # c\n@include x\n-session include y\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines, _ := old.lines(text)
		file := &serviceFile{lines: lines, whole: len(text)%2 == 0}
		for i, l := range lines {
			l.file, l.id = file, i
			if l.kind == includeLine || l.kind == atLine || l.kind == substackLine {
				l.into = file // it includes itself
			}
		}
		if len(lines) > 20 {
			return
		}
		for _, typ := range []moduleType{authType, passwordType} {
			steps := old.stackOf(file, typ)
			w := walk{steps: steps, frozen: make([]code, len(steps)), freeze: true, answer: func(i int) (code, bool) { return code(len(steps[i].text) % 40), true }}
			if _, ok := w.run(); !ok {
				t.Error("a walk whose modules all answer has an end")
			}
		}
	})
}

// Whatever stands in the record, by whomever: it is drawn, or left.
func FuzzEvents(f *testing.F) {
	f.Add(make([]byte, 48))
	f.Add([]byte("\x18\x00\x00\x00\x01\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")) // line 7 is called, of 2
	f.Fuzz(func(t *testing.T, b []byte) {
		v := &services{lib: old, named: map[string]*serviceFile{}}
		v.named["svc"] = v.parse("", "svc", "auth sufficient a.so\nauth required b.so\n")
		s := &sequence{options: &options{}, talk: newConversation(), tracer: &tracer{services: v, service: "svc", frozen: map[moduleType][]code{}}}
		defer s.talk.free()
		for _, op := range []string{"authenticate", "setcred"} {
			r := result{op: op, events: parseEvents(b)}
			r.passes = s.tracer.after(op, r.code, r.events)
			s.drawing(r, usualWidth)
			traced(r)
		}
	})
}

func FuzzActions(f *testing.F) {
	f.Add("success=ok default=1")
	f.Fuzz(func(t *testing.T, s string) {
		for _, a := range parseActions(s, true) {
			if a <= doUndef {
				t.Errorf("%q leaves a code without an action", s)
			}
		}
	})
}
