package main

/*
#cgo CFLAGS: -Wall
#cgo LDFLAGS: -lpam
#include "conv.h"
#include "load.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pam_conv *
new_conv(struct conversation *c)
{
	struct pam_conv *conv = malloc(sizeof(*conv));

	if (conv == NULL)
		abort();
	conv->conv = conversation_answer;
	conv->appdata_ptr = c;
	return conv;
}

static int
set_no_delay(pam_handle_t *pamh)
{
	return pam_set_item(pamh, PAM_FAIL_DELAY, (const void *)no_delay);
}

static const char *
get_text(pam_handle_t *pamh, int item, int *ret_code)
{
	const void *value = NULL;

	*ret_code = pam_get_item(pamh, item, &value);
	return value;
}

static char *
nth(char **list, int i)
{
	return list[i];
}
*/
import "C"

import "unsafe"

// code is a PAM return code.
type code int

const (
	success code = C.PAM_SUCCESS
	maxCode code = C.PAM_INCOMPLETE
)

// text is libpam's own sentence.
func (c code) text() string { return C.GoString(C.pam_strerror(nil, C.int(c))) }

// transaction is a pam_handle_t. It stays on the main thread, to which main is locked: modules work on the calling thread.
type transaction struct {
	pamh *C.pam_handle_t
	conv *C.struct_pam_conv
	last code // status of the last call, for pam_end
}

// start is pam_start(3), or pam_start_confdir(3) with a folder of services. The conversation stays its owner's.
func start(service, user, confdir string, talk *conversation) (*transaction, code) {
	t := &transaction{conv: C.new_conv(talk.c)}
	C.conversation_rewind(talk.c)
	cservice, cuser := C.CString(service), C.CString(user)
	defer C.free(unsafe.Pointer(cservice))
	defer C.free(unsafe.Pointer(cuser))
	var rc C.int
	if confdir == "" {
		rc = C.pam_start(cservice, cuser, t.conv, &t.pamh)
	} else {
		cdir := C.CString(confdir)
		defer C.free(unsafe.Pointer(cdir))
		rc = C.pam_start_confdir(cservice, cuser, t.conv, cdir, &t.pamh)
	}
	if rc != C.PAM_SUCCESS {
		C.free(unsafe.Pointer(t.conv))
		return nil, code(rc)
	}
	return t, success
}

// end is pam_end(3) with the status of the last call: modules clean up by it.
func (t *transaction) end() code {
	rc := C.pam_end(t.pamh, C.int(t.last))
	C.fflush(C.stdout)
	C.free(unsafe.Pointer(t.conv))
	return code(rc)
}

func (t *transaction) setNoDelay() code { return code(C.set_no_delay(t.pamh)) }

// setItem sets an item, or takes its value away.
func (t *transaction) setItem(item int, value *string) code {
	if value == nil {
		return code(C.pam_set_item(t.pamh, C.int(item), nil))
	}
	c := C.CString(*value)
	defer C.free(unsafe.Pointer(c))
	return code(C.pam_set_item(t.pamh, C.int(item), unsafe.Pointer(c)))
}

func (t *transaction) getItem(item int) (value string, set bool, status code) {
	var rc C.int
	p := C.get_text(t.pamh, C.int(item), &rc)
	if p == nil {
		return "", false, code(rc)
	}
	return C.GoString(p), true, code(rc)
}

func (t *transaction) putEnv(setting string) code {
	c := C.CString(setting)
	defer C.free(unsafe.Pointer(c))
	return code(C.pam_putenv(t.pamh, c))
}

// envList returns the PAM environment in libpam's order.
func (t *transaction) envList() []string {
	list := C.pam_getenvlist(t.pamh)
	if list == nil {
		return nil
	}
	defer C.free(unsafe.Pointer(list))
	var out []string
	for i := C.int(0); ; i++ {
		p := C.nth(list, i)
		if p == nil {
			return out
		}
		out = append(out, C.GoString(p))
		C.free(unsafe.Pointer(p))
	}
}

// call makes one of the six calls.
func (t *transaction) call(op string, flags uint32) code {
	t.last = code(C.load_call(t.pamh, calls[op], C.int(int32(flags))))
	return t.last
}

var calls = map[string]C.enum_load_call{
	"authenticate": C.LOAD_AUTHENTICATE, "acct_mgmt": C.LOAD_ACCT_MGMT, "setcred": C.LOAD_SETCRED,
	"open_session": C.LOAD_OPEN_SESSION, "close_session": C.LOAD_CLOSE_SESSION, "chauthtok": C.LOAD_CHAUTHTOK,
}

// items by the names of -I.
var items = map[string]int{
	"service": C.PAM_SERVICE, "user": C.PAM_USER, "prompt": C.PAM_USER_PROMPT, "tty": C.PAM_TTY, "ruser": C.PAM_RUSER,
	"rhost": C.PAM_RHOST, "xdisplay": C.PAM_XDISPLAY, "authtok_type": C.PAM_AUTHTOK_TYPE,
}

// constants of flag expressions, in the order in which the original tries prefixes; the last it did not have.
var constants = []struct {
	name  string
	value uint32
}{
	{"PAM_SILENT", C.PAM_SILENT},
	{"PAM_DISALLOW_NULL_AUTHTOK", C.PAM_DISALLOW_NULL_AUTHTOK},
	{"PAM_ESTABLISH_CRED", C.PAM_ESTABLISH_CRED},
	{"PAM_REINITIALIZE_CRED", C.PAM_REINITIALIZE_CRED},
	{"PAM_REFRESH_CRED", C.PAM_REFRESH_CRED},
	{"PAM_CHANGE_EXPIRED_AUTHTOK", C.PAM_CHANGE_EXPIRED_AUTHTOK},
	{"PAM_DELETE_CRED", C.PAM_DELETE_CRED},
}

const deleteCred = C.PAM_DELETE_CRED
