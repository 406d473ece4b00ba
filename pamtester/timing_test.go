package main

import (
	"regexp"
	"testing"
)

func TestTiming(t *testing.T) {
	const times = ` \(\d+\.\d{3} ms, of which \d+\.\d{3} ms asking\)\n$`
	for _, tt := range []struct {
		stack, op, out, errs string
		status               int
	}{
		{permit, "authenticate", `^pamtester: successfully authenticated` + times, `^$`, 0},
		{deny, "authenticate", `^$`, `^pamtester: Authentication failure` + times, 1},
		{deny, "authenticate=7", `^pamtester: authenticate: Authentication failure \(PAM_AUTH_ERR\), as expected` + times, `^$`, 0},
	} {
		out, errs, status := command(t, tt.stack, "", "--timing", "svc", "bob", tt.op)
		if !regexp.MustCompile(tt.out).MatchString(out) || !regexp.MustCompile(tt.errs).MatchString(errs) || status != tt.status {
			t.Errorf("%s: %q, %q, %d", tt.op, out, errs, status)
		}
	}
}
