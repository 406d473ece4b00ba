package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var microseconds = regexp.MustCompile(`([_"])us":\d+`)

// The whole report, word for word but for times.
func TestJSON(t *testing.T) {
	uid := strconv.Itoa(os.Getuid())
	summary := func(operations, rest string) string {
		return `{"op":"summary","service":"svc","user":"bob","uid":` + uid + `,"euid":` + uid + `,"operations":` + operations + `,"us":0,` + rest + "}\n"
	}
	for _, tt := range []struct {
		name, stack string
		args        []string
		want        string
		status      int
	}{
		{"a call with a message", "auth required pam_debug.so auth=maxtries\n", []string{"svc", "bob", "authenticate(1)"},
			`{"op":"authenticate","flags":1,"code":11,"name":"PAM_MAXTRIES","text":"Have exhausted maximum number of retries for service","us":0,"asking_us":0,"messages":[{"style":"info","text":"auth=maxtries"}],"prompts":[]}` + "\n" +
				summary("1", `"error":"Have exhausted maximum number of retries for service","status":1`), 1},
		{"a question without an answer", "auth required pam_unix.so\n", []string{"svc", "nobody", "authenticate=20"},
			`{"op":"authenticate","flags":0,"code":20,"name":"PAM_AUTHTOK_ERR","text":"Authentication token manipulation error","us":0,"asking_us":0,"messages":[],"prompts":[{"style":"hidden","text":"Password: ","answered":false}]}` + "\n" +
				strings.Replace(summary("1", `"status":0`), "bob", "nobody", 1), 0},
		{"own operations", permit, []string{"-EA=a\"\\\x01\n", "-Itty=x", "svc", "bob", "getenvlist", "getitem(tty)", "getitem(rhost)", "sleep(0)", "run(exit 2)"},
			`{"op":"getenvlist","env":["A=a\"\\\u0001\n"]}` + "\n" + `{"op":"getitem","item":"tty","value":"x"}` + "\n" + `{"op":"getitem","item":"rhost","value":null}` + "\n" +
				`{"op":"sleep"}` + "\n" + `{"op":"run","command":"exit 2","failure":"exit status 2"}` + "\n" + summary("5", `"error":"run: exit status 2","status":1`), 1},
		{"two handles", permit, []string{"svc", "bob", "end", "start"}, `{"op":"end"}` + "\n" + `{"op":"start"}` + "\n" + summary("2", `"status":0`), 0},
		{"no service", permit, []string{"--confdir", "/nowhere", "svc", "bob", "authenticate"},
			`{"op":"start","flags":0,"code":26,"name":"PAM_ABORT","text":"Critical error - immediate abort","us":0,"asking_us":0,"messages":[],"prompts":[]}` + "\n" +
				summary("0", `"error":"Initialization failure","status":1`), 1},
	} {
		out, _, status := command(t, tt.stack, "", append([]string{"--json"}, tt.args...)...)
		if got := microseconds.ReplaceAllString(out, `${1}us":0`); got != tt.want || status != tt.status {
			t.Errorf("%s:\n%s%d; want\n%s%d", tt.name, got, status, tt.want, tt.status)
		}
	}
}

// With --trace each call says what each line did.
func TestJSONTrace(t *testing.T) {
	dir := service(t, "auth [success=1 default=ignore] pam_debug.so auth=cred_err\nauth requisite pam_deny.so\nauth required pam_permit.so\n")
	out, _, _ := streams(t, program(t, "--json", "--trace", "--confdir", dir, "svc", "bob", "authenticate"), "")
	call, _, _ := strings.Cut(microseconds.ReplaceAllString(out, `${1}us":0`), "\n")
	_, trace, _ := strings.Cut(call, `"trace":`)
	file := filepath.Join(dir, "svc")
	want := `[{"service":"svc","explained":true,"lines":[` +
		`{"file":"` + file + `","line":1,"control":"[success=1 default=ignore]","module":"pam_debug.so","args":"auth=cred_err","ran":true,"code":17,"name":"PAM_CRED_ERR","effect":"ignore","decided":false,"us":0,"said":[{"style":"info","text":"auth=cred_err"}]},` +
		`{"file":"` + file + `","line":2,"control":"requisite","module":"pam_deny.so","args":"","ran":true,"code":7,"name":"PAM_AUTH_ERR","effect":"die: ends the stack","decided":true,"us":0,"said":[]},` +
		`{"file":"` + file + `","line":3,"control":"required","module":"pam_permit.so","args":"","ran":false,"decided":false}]}]}`
	if trace != want {
		t.Errorf("%s\nwant\n%s", trace, want)
	}
}

// An answer is in no report, wherever it came from.
func TestJSONHasNoAnswer(t *testing.T) {
	out, errs, status := command(t, "auth required pam_unix.so\n", "hunter2\n", "--json", "--trace", "svc", "nobody", "authenticate")
	if strings.Contains(out+errs, "hunter2") || !strings.Contains(out, `"answered":true`) || status != 1 {
		t.Errorf("%q, %q, %d", out, errs, status)
	}
}
