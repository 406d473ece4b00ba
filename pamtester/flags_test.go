package main

import "testing"

func TestFlags(t *testing.T) {
	for _, tt := range []struct {
		expr string
		want uint32
		err  string
	}{
		{"", 0, ""}, {"  ", 0, ""}, {"PAM_SILENT", 0x8000, ""}, {"pam_silent", 0x8000, ""}, {"PAM_SILENT|PAM_ESTABLISH_CRED", 0x8002, ""},
		{"8 | 1", 9, ""}, {"+8", 8, ""}, {"016", 16, ""}, {"-1", 0xffffffff, ""}, {"~0", 0xffffffff, ""}, {"~~5", 5, ""},
		{"6^3&1|8", 6 ^ (3 & 1) | 8, ""}, {"7&3^1", 7&3 ^ 1, ""}, {"P", 0x8000, ""}, {"PAM_RE", 8, ""}, {"PAM_D", 1, ""}, {"PAM_DELETE_CRED", 4, ""},
		{"PAM_SILENTLY", 0, `undefined constant "PAM_SILENTLY"`}, {"0x4", 0, `undefined constant "0x4"`}, {"99999999999999999999", 0, `undefined constant "99999999999999999999"`},
		{"1 2", 0, `unexpected token "2"`}, {"1|", 0, `unexpected token ""`}, {"|1", 0, `unexpected token "|"`}, {"~", 0, `unexpected token ""`}, {"1~2", 0, `unexpected token "~"`},
	} {
		got, _, err := parseFlags(tt.expr, false)
		if err != tt.err || err == "" && got != tt.want {
			t.Errorf("parseFlags(%q) = %#x, %q; want %#x, %q", tt.expr, got, err, tt.want, tt.err)
		}
	}
}

func FuzzFlags(f *testing.F) {
	f.Add("PAM_SILENT|~1&^")
	f.Fuzz(func(t *testing.T, s string) { parseFlags(s, true) })
}
