// Package frametest gives tests the C half's reading of a frame, so that they can hold it against the Go half's. It is
// compiled from the module's own frame.c, with the address and undefined-behaviour sanitizers when the tests ask for them.
package frametest

/*
#include "../shim/frame.c"

enum { READ_U8 = 'b', READ_U32 = 'u', READ_STR = 's' };

// Reads a datagram by a plan of gets. Returns 0, or the first error; strings are joined into out, NUL-terminated each.
static int
read_frame(const void *datagram, size_t n, const char *plan, unsigned *kind, uint32_t *seq, uint32_t *sum, char *out, size_t room)
{
	struct frame f;
	size_t used = 0, len;
	const char *s;
	int error;

	if (frame_open(&f) < 0)
		return -ENOMEM;
	memcpy(f.data, datagram, n > FRAME_MAX ? FRAME_MAX : n);
	error = frame_check(&f, n, kind, seq);
	for (; error == 0 && *plan != '\0'; plan++) {
		switch (*plan) {
		case READ_U8:
			*sum += frame_get_u8(&f);
			break;
		case READ_U32:
			*sum += frame_get_u32(&f);
			break;
		case READ_STR:
			s = frame_get_str(&f);
			len = strlen(s) + 1;
			if (used + len <= room) {
				memcpy(out + used, s, len);
				used += len;
			}
			break;
		}
	}
	if (error == 0)
		error = frame_done(&f);
	frame_close(&f);
	return error;
}

// Writes HELLO as pam_pwb.c does, with these strings. Returns the length, or an error.
static int
write_hello(void *out, size_t room, uint8_t op, uint32_t flags, const char *user, const char *service, const char **args, uint32_t n)
{
	struct frame f;
	uint32_t i;
	int error;

	if (frame_open(&f) < 0)
		return -ENOMEM;
	frame_begin(&f, FRAME_HELLO, 0);
	frame_put_u8(&f, FRAME_VERSION);
	frame_put_u8(&f, FRAME_VERSION);
	frame_put_u8(&f, op);
	frame_put_u8(&f, user != NULL ? FRAME_USER_SET : 0);
	frame_put_u32(&f, flags);
	frame_put_u32(&f, 4711);
	frame_put_u32(&f, 1000);
	frame_put_u32(&f, 0);
	frame_put_str(&f, service);
	frame_put_str(&f, user);
	frame_put_str(&f, "pts/3");
	frame_put_str(&f, NULL);
	frame_put_str(&f, "bob");
	frame_put_u32(&f, n);
	for (i = 0; i < n; i++)
		frame_put_str(&f, args[i]);
	error = frame_end(&f);
	if (error == 0 && f.len <= room) {
		memcpy(out, f.data, f.len);
		error = (int)f.len;
	}
	frame_close(&f);
	return error;
}
*/
import "C"

import (
	"strings"
	"unsafe"
)

// Frame is what the C half reads from a datagram.
type Frame struct {
	Kind    uint8
	Seq     uint32
	Sum     uint32 // of the numbers that the plan reads
	Strings []string
}

// Read reads a datagram in C: plan is a letter a field, b for a byte, u for 32 bits, s for a string. It says whether the
// whole of the datagram was as planned.
func Read(datagram []byte, plan string) (Frame, bool) {
	var kind C.uint
	var seq, sum C.uint32_t
	out := make([]byte, 1<<16)
	cplan := C.CString(plan)
	defer C.free(unsafe.Pointer(cplan))
	p := unsafe.Pointer(unsafe.SliceData(append(datagram, 0)))
	status := C.read_frame(p, C.size_t(len(datagram)), cplan, &kind, &seq, &sum, (*C.char)(unsafe.Pointer(&out[0])), C.size_t(len(out)))
	if status != 0 {
		return Frame{}, false
	}
	f := Frame{Kind: uint8(kind), Seq: uint32(seq), Sum: uint32(sum)}
	rest := string(out)
	for range strings.Count(plan, "s") {
		var s string
		s, rest, _ = strings.Cut(rest, "\x00")
		f.Strings = append(f.Strings, s)
	}
	return f, true
}

// Hello writes a HELLO in C; user may be empty for none. It returns nil when it does not fit.
func Hello(op uint8, flags uint32, service, user string, args ...string) []byte {
	out := make([]byte, 1<<16)
	cservice := C.CString(service)
	defer C.free(unsafe.Pointer(cservice))
	var cuser *C.char
	if user != "" {
		cuser = C.CString(user)
		defer C.free(unsafe.Pointer(cuser))
	}
	cargs := (*[1 << 10]*C.char)(C.calloc(1<<10, 8))
	defer C.free(unsafe.Pointer(cargs))
	for i, a := range args {
		cargs[i] = C.CString(a)
		defer C.free(unsafe.Pointer(cargs[i]))
	}
	n := C.write_hello(unsafe.Pointer(&out[0]), C.size_t(len(out)), C.uint8_t(op), C.uint32_t(flags), cuser, cservice, &cargs[0], C.uint32_t(len(args)))
	if n < 0 {
		return nil
	}
	return out[:n]
}
