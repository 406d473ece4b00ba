package pampwb

/*
#include "frame.h"
#include <security/pam_modules.h>
*/
import "C"

import "strconv"

// Op is the entry point of the module that a host has called. Those that are missing are answered in the module itself.
type Op uint8

// The calls that reach a worker.
const (
	OpAuthenticate Op = C.FRAME_OP_AUTHENTICATE
	OpAcctMgmt     Op = C.FRAME_OP_ACCT_MGMT
	OpOpenSession  Op = C.FRAME_OP_OPEN_SESSION
	OpChauthtok    Op = C.FRAME_OP_CHAUTHTOK
	OpPublish      Op = C.FRAME_OP_PUBLISH // asked by "pwb serve": show the accounts that it has changed
)

// String returns the operation's name as pamtester(1) and the entry points have it.
func (op Op) String() string {
	switch op {
	case OpAuthenticate:
		return "authenticate"
	case OpAcctMgmt:
		return "acct_mgmt"
	case OpOpenSession:
		return "open_session"
	case OpChauthtok:
		return "chauthtok"
	case OpPublish:
		return "publish"
	}
	return "operation " + strconv.Itoa(int(op))
}

// Flags of a call (pam(3)).
const (
	Silent      = C.PAM_SILENT
	PrelimCheck = C.PAM_PRELIM_CHECK
)

// Code is a PAM return code, as the C library of this machine numbers it.
type Code int

// The codes that the worker says or hears.
const (
	Success         Code = C.PAM_SUCCESS
	SystemErr       Code = C.PAM_SYSTEM_ERR
	BufErr          Code = C.PAM_BUF_ERR
	PermDenied      Code = C.PAM_PERM_DENIED
	AuthErr         Code = C.PAM_AUTH_ERR
	AuthinfoUnavail Code = C.PAM_AUTHINFO_UNAVAIL
	UserUnknown     Code = C.PAM_USER_UNKNOWN
	MaxTries        Code = C.PAM_MAXTRIES
	AcctExpired     Code = C.PAM_ACCT_EXPIRED
	SessionErr      Code = C.PAM_SESSION_ERR
	ConvErr         Code = C.PAM_CONV_ERR
	AuthtokErr      Code = C.PAM_AUTHTOK_ERR
	AuthtokRecovery Code = C.PAM_AUTHTOK_RECOVERY_ERR
	Abort           Code = C.PAM_ABORT
	Ignore          Code = C.PAM_IGNORE
	ConvAgain       Code = C.PAM_CONV_AGAIN
	Incomplete      Code = C.PAM_INCOMPLETE
)

var codeNames = map[Code]string{
	Success: "PAM_SUCCESS", SystemErr: "PAM_SYSTEM_ERR", BufErr: "PAM_BUF_ERR", PermDenied: "PAM_PERM_DENIED",
	AuthErr: "PAM_AUTH_ERR", AuthinfoUnavail: "PAM_AUTHINFO_UNAVAIL", UserUnknown: "PAM_USER_UNKNOWN",
	MaxTries: "PAM_MAXTRIES", AcctExpired: "PAM_ACCT_EXPIRED", SessionErr: "PAM_SESSION_ERR", ConvErr: "PAM_CONV_ERR",
	AuthtokErr: "PAM_AUTHTOK_ERR", AuthtokRecovery: "PAM_AUTHTOK_RECOVERY_ERR", Abort: "PAM_ABORT", Ignore: "PAM_IGNORE",
	ConvAgain: "PAM_CONV_AGAIN", Incomplete: "PAM_INCOMPLETE",
}

// String returns the code's name in the header, or its number.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return "PAM code " + strconv.Itoa(int(c))
}

// style is how a host shows a message (pam_conv(3)).
type style uint8

const (
	echoOff   style = C.PAM_PROMPT_ECHO_OFF
	echoOn    style = C.PAM_PROMPT_ECHO_ON
	textInfo  style = C.PAM_TEXT_INFO
	textError style = C.PAM_ERROR_MSG
)

// Frame kinds and limits: frame.h, PROTOCOL.
const (
	kindHello      = C.FRAME_HELLO
	kindHelloAck   = C.FRAME_HELLO_ACK
	kindAnswer     = C.FRAME_ANSWER
	kindGetAuthtok = C.FRAME_GET_AUTHTOK
	kindPrompt     = C.FRAME_PROMPT
	kindSetUser    = C.FRAME_SET_USER
	kindPutEnv     = C.FRAME_PUT_ENV
	kindFailDelay  = C.FRAME_FAIL_DELAY
	kindLog        = C.FRAME_LOG
	kindResult     = C.FRAME_RESULT

	version      = C.FRAME_VERSION
	headerLen    = C.FRAME_HEADER
	maxFrame     = C.FRAME_MAX
	maxString    = C.FRAME_STRING_MAX
	maxTicket    = C.FRAME_TICKET_MAX
	maxArgs      = C.FRAME_ARGS_MAX
	maxCall      = C.FRAME_CALL_MAX
	userSet      = C.FRAME_USER_SET
	ackMillis    = C.FRAME_ACK_MS
	maxFailDelay = C.FRAME_DELAY_MAX
)
