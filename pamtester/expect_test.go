package main

import "testing"

func TestExpect(t *testing.T) {
	try(t, []example{
		{"expected", deny, "", []string{"svc", "bob", "authenticate=PAM_AUTH_ERR", "acct_mgmt"}, "pamtester: authenticate: Authentication failure (PAM_AUTH_ERR), as expected\npamtester: account management done.\n", "", 0},
		{"expected otherwise", deny, "", []string{"--expect", "authenticate=PAM_SUCCESS", "svc", "bob", "authenticate"}, "", "pamtester: authenticate: Authentication failure (PAM_AUTH_ERR), expected PAM_SUCCESS\n", 1},
		{"what has no code", permit, "", []string{"svc", "bob", "getenvlist=7", "acct_mgmt"}, "", "pamtester: getenvlist has no PAM code, expected PAM_AUTH_ERR\n", 1},
		{"nor has a command", permit, "", []string{"svc", "bob", "run(true)=0"}, "", "pamtester: run has no PAM code, expected PAM_SUCCESS\n", 1},
		{"no such operation", permit, "", []string{"svc", "bob", "dance=7"}, "", "pamtester: Unsupported operation \"dance=7\"\n", 1},
		{"under --repeat", permit, "", []string{"--repeat", "1", "svc", "bob", "sleep(1)=7"}, "", "pamtester: sleep has no PAM code, expected PAM_AUTH_ERR\n", 1},
		{"success where none was expected", permit, "", []string{"svc", "bob", "authenticate=7"}, "", "pamtester: authenticate: Success (PAM_SUCCESS), expected PAM_AUTH_ERR\n", 1},
	})
}
