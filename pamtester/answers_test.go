package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestParseAnswers(t *testing.T) {
	for _, tt := range []struct{ file, want, err string }{
		{"", "", ""},
		{"# nothing\n\n  # here\n", "", ""},
		{"/^Password: $/ = hunter2\n", "1:^Password: $=hunter2", ""},
		{"/a\\/b\\d/ =  two blanks \n", "1:a/b\\d= two blanks ", ""},
		{"once /x/ =\n", "1:x= once", ""},
		{"/x/ eof\n\tonce /y/ err\n", "1:x eof|2:y err once", ""},
		{"x\n", "", "line 1: a line is [once] /PATTERN/ = ANSWER, or eof or err in place of = ANSWER"},
		{"\n/x\n", "", "line 2: the pattern has no / at its end"},
		{"/x/ perhaps\n", "", "line 1: after the pattern comes = ANSWER, eof or err"},
		{"/x/ = a\x00b\n", "", "line 1: it has a byte of zero"},
	} {
		all, err := parseAnswers([]byte(tt.file))
		var got []string
		for _, a := range all {
			text := string(rune('0'+a.line)) + ":" + a.pattern + []string{"=" + string(a.text), " eof", " err"}[a.kind]
			if a.once {
				text += " once"
			}
			got = append(got, text)
		}
		if strings.Join(got, "|") != tt.want || message(err) != tt.err {
			t.Errorf("parseAnswers(%q) = %q, %v; want %q, %q", tt.file, got, err, tt.want, tt.err)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, stack, file string
		args              []string
		out, errs         string
		status            int
	}{
		{"it answers", showsToken, "/^Password/ = hunter2\n", []string{"svc", "bob", "authenticate"}, "hunter2\npamtester: successfully authenticated\n", "", 0},
		{"an open question", showsToken, "/^Name/ = bob\n", []string{"svc", "bob", "authenticate"}, "", "pamtester: authenticate: no answer for the question \"Password: \"\npamtester: answers: line 1: nothing asked for /^Name/\n", 1},
		{"left over", permit, "/./ = x\n", []string{"svc", "bob", "authenticate"}, "pamtester: successfully authenticated\n", "pamtester: answers: line 1: nothing asked for /./\n", 1},
		{"no pattern", permit, "/(/ = x\n", []string{"svc", "bob", "authenticate"}, "", "pamtester: read the answers: line 1: Unmatched ( or \\(\n", 1},
		{"once", showsToken + showsToken, "once /P/ = one\n/P/ = two\n", []string{"svc", "bob", "authenticate"}, "one\none\npamtester: successfully authenticated\n", "pamtester: answers: line 2: nothing asked for /P/\n", 1},
		{"an error", showsToken, "/P/ err\n", []string{"svc", "bob", "authenticate=PAM_CONV_ERR"}, "pamtester: authenticate: Conversation error (PAM_CONV_ERR), as expected\n", "", 0},
		{"in JSON no answers", showsToken, "/P/ = hunter2\n", []string{"--json", "svc", "bob", "authenticate"}, "", "", 0},
	} {
		file := filepath.Join(t.TempDir(), "answers")
		write(t, file, tt.file)
		out, errs, status := command(t, tt.stack, "", append([]string{"--answers", file}, tt.args...)...)
		if tt.args[0] == "--json" {
			out, errs = "", errs+leaks(out, `"answered":true`, `"prompts":[{"style":"hidden","text":"Password: "`)
		}
		if out != tt.out || errs != tt.errs || status != tt.status {
			t.Errorf("%s: %q, %q, %d; want %q, %q, %d", tt.name, out, errs, status, tt.out, tt.errs, tt.status)
		}
	}
}

// leaks says what a report lacks of needed.
func leaks(report string, needed ...string) string {
	for _, n := range needed {
		if !strings.Contains(report, n) {
			return "it lacks " + n + ": " + report
		}
	}
	return ""
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte("# x\nonce /P\\/x/ = y\n/z/ eof\n/q/ err\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		all, err := parseAnswers(file)
		if err != nil && all != nil {
			t.Error("answers of a file that is wrong")
		}
	})
}
