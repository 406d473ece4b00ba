package main

import "testing"

func TestExitCode(t *testing.T) {
	try(t, []example{
		{"the code", deny, "", []string{"--exit-code", "svc", "bob", "authenticate"}, "", "pamtester: Authentication failure\n", 7},
		{"no code", permit, "", []string{"--exit-code", "svc", "bob", "authenticate=7"}, "", "pamtester: authenticate: Success (PAM_SUCCESS), expected PAM_AUTH_ERR\n", 65},
		{"usage", permit, "", []string{"--exit-code", "svc"}, "", "pamtester: please specify user name.\n", 64},
	})
}
