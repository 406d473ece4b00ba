package main

import "testing"

func TestTimeout(t *testing.T) {
	out, errs, status := command(t, permit, "", "--timeout", "100ms", "svc", "bob", "sleep(60000)")
	if out != "" || errs != "pamtester: ended by --timeout after 100ms\n" || status != -1 {
		t.Errorf("%q, %q, %d", out, errs, status)
	}
}
