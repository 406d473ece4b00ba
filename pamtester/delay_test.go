package main

import (
	"testing"
	"time"
)

// --no-fail-delay: pam_faildelay asks for a minute.
func TestNoFailDelay(t *testing.T) {
	began := time.Now()
	_, _, status := command(t, "auth optional pam_faildelay.so delay=60000000\nauth required pam_deny.so\n", "", "--no-fail-delay", "svc", "bob", "authenticate")
	if status != 1 || time.Since(began) > 30*time.Second {
		t.Errorf("%d after %v", status, time.Since(began))
	}
}
