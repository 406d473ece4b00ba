package main

import "testing"

// After a failure what is open is closed.
func TestCleanup(t *testing.T) {
	stack := permit + "session optional pam_exec.so quiet stdout /usr/bin/printenv PAM_TYPE\n"
	for _, tt := range []struct {
		args []string
		out  string
	}{
		{[]string{"svc", "bob", "open_session", "dance"}, "open_session\npamtester: successfully opened a session\n"},
		{[]string{"--cleanup", "svc", "bob", "open_session", "dance"}, "open_session\npamtester: successfully opened a session\nclose_session\n"},
	} {
		if out, _, status := command(t, stack, "", tt.args...); out != tt.out || status != 1 {
			t.Errorf("%q: %q, %d; want %q", tt.args, out, status, tt.out)
		}
	}
}
