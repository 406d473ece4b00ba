package main

import "testing"

func TestExpect(t *testing.T) {
	try(t, []example{
		{"expected", deny, "", []string{"svc", "bob", "authenticate=PAM_AUTH_ERR", "acct_mgmt"}, "pamtester: authenticate: Authentication failure (PAM_AUTH_ERR), as expected\npamtester: account management done.\n", "", 0},
		{"expected otherwise", deny, "", []string{"--expect", "authenticate=PAM_SUCCESS", "svc", "bob", "authenticate"}, "", "pamtester: authenticate: Authentication failure (PAM_AUTH_ERR), expected PAM_SUCCESS\n", 1},
		{"success where none was expected", permit, "", []string{"svc", "bob", "authenticate=7"}, "", "pamtester: authenticate: Success (PAM_SUCCESS), expected PAM_AUTH_ERR\n", 1},
	})
}
