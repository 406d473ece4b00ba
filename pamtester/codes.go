package main

import (
	"strconv"
	"strings"
)

// codeNames are the names of <security/_pam_types.h>, by number.
var codeNames = [...]string{
	"PAM_SUCCESS", "PAM_OPEN_ERR", "PAM_SYMBOL_ERR", "PAM_SERVICE_ERR", "PAM_SYSTEM_ERR", "PAM_BUF_ERR", "PAM_PERM_DENIED",
	"PAM_AUTH_ERR", "PAM_CRED_INSUFFICIENT", "PAM_AUTHINFO_UNAVAIL", "PAM_USER_UNKNOWN", "PAM_MAXTRIES", "PAM_NEW_AUTHTOK_REQD",
	"PAM_ACCT_EXPIRED", "PAM_SESSION_ERR", "PAM_CRED_UNAVAIL", "PAM_CRED_EXPIRED", "PAM_CRED_ERR", "PAM_NO_MODULE_DATA",
	"PAM_CONV_ERR", "PAM_AUTHTOK_ERR", "PAM_AUTHTOK_RECOVERY_ERR", "PAM_AUTHTOK_LOCK_BUSY", "PAM_AUTHTOK_DISABLE_AGING",
	"PAM_TRY_AGAIN", "PAM_IGNORE", "PAM_ABORT", "PAM_AUTHTOK_EXPIRED", "PAM_MODULE_UNKNOWN", "PAM_BAD_ITEM", "PAM_CONV_AGAIN",
	"PAM_INCOMPLETE",
}

func (c code) name() string {
	if c >= 0 && int(c) < len(codeNames) {
		return codeNames[c]
	}
	return strconv.Itoa(int(c))
}

// codeOf reads a code by name, in any case, or by number.
func codeOf(s string) (code, bool) {
	for i, name := range codeNames {
		if lower(s) == lower(name) {
			return code(i), true
		}
	}
	n, err := strconv.Atoi(s)
	return code(n), err == nil && n >= 0 && n < len(codeNames)
}

// word is the code as controls have it.
func (c code) word() string {
	if words := strings.Fields(returnWords); c >= 0 && c <= maxCode {
		return words[c]
	}
	return strconv.Itoa(int(c))
}
