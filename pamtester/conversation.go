package main

/*
#include "conv.h"
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int
terminal_columns(int fd)
{
	struct winsize size;

	return ioctl(fd, TIOCGWINSZ, &size) < 0 ? 0 : size.ws_col;
}

static int
terminal_name(int fd, char *name, size_t size)
{
	return ttyname_r(fd, name, size);
}
*/
import "C"

import (
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// conversation is the one of all handles of a run. Secrets and answers live in C memory alone and are wiped by free.
type conversation struct {
	c    *C.struct_conversation
	read int64 // how much of the record has been taken
}

func newConversation() *conversation { return &conversation{c: C.conversation_new()} }

func (v *conversation) free() { C.conversation_free(v.c) }

// setSecret gives the answer to hidden questions.
func (v *conversation) setSecret(secret []byte) { v.c.secret = secretText(secret) }

// secretText is a copy in C memory: no string of Go's, which could not be wiped.
func secretText(b []byte) *C.char {
	text := C.calloc(C.size_t(len(b)+1), 1)
	copy(unsafe.Slice((*byte)(text), len(b)), b)
	return (*C.char)(text)
}

// add appends an answer; the error says what is wrong with its pattern.
func (v *conversation) add(a answer) error {
	pattern, text := C.CString(a.pattern), secretText(a.text)
	defer func() {
		C.explicit_bzero(unsafe.Pointer(text), C.strlen(text))
		C.free(unsafe.Pointer(text))
		C.free(unsafe.Pointer(pattern))
	}()
	once := C.int(0)
	if a.once {
		once = 1
	}
	if rc := C.conversation_add(v.c, pattern, text, C.enum_answer_kind(a.kind), once); rc != 0 {
		return usageError(C.GoString(C.conversation_error(rc)))
	}
	return nil
}

// used says whether answer number n has answered a question.
func (v *conversation) used(n int) bool { return C.conversation_used(v.c, C.int(n)) > 0 }

func (v *conversation) setAlone() { v.c.alone = 1 }
func (v *conversation) setQuiet() { v.c.quiet = 1 }

// unanswered returns the first question that nobody answered.
func (v *conversation) unanswered() (string, bool) {
	if v.c.unanswered == nil {
		return "", false
	}
	return C.GoString(v.c.unanswered), true
}

// inLine says, once, whether a question stands at the end of the stream with nothing behind it.
func (v *conversation) inLine() bool {
	was := v.c.in_line != 0
	v.c.in_line = 0
	return was
}

// spent is how long answering has taken.
func (v *conversation) spent() time.Duration { return time.Duration(v.c.spent_ns) }

// openTerminal talks to the terminal of this session in place of the standard streams.
func (v *conversation) openTerminal() error {
	fd, err := syscall.Open("/dev/tty", syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	v.c.in, v.c.ask, v.c.error, v.c.info = C.int(fd), C.int(fd), C.int(fd), C.int(fd)
	return nil
}

// record begins to write down what happens in calls, and returns the descriptor.
func (v *conversation) record() int {
	return int(C.conversation_record(v.c))
}

// keep lays a text into the record, for the module that traces, and says where.
func (v *conversation) keep(text string) (at int64, err error) {
	at = v.read
	v.read += int64(len(text))
	return at, writeFull(int(v.c.record), text)
}

// events returns what happened since the last time.
func (v *conversation) events() []event {
	if v.c.record < 0 {
		return nil
	}
	var all []byte
	buffer := make([]byte, 16384)
	for {
		n, err := syscall.Pread(int(v.c.record), buffer, v.read)
		if err == syscall.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			return parseEvents(all)
		}
		all = append(all, buffer[:n]...)
		v.read += int64(n)
	}
}

// terminalColumns is the width of the terminal on a descriptor. Of what is none, and of one that does not know, it is the usual one: what is
// written to a file does not depend on who looks on.
func terminalColumns(fd int) int {
	if n := int(C.terminal_columns(C.int(fd))); n > 0 {
		return n
	}
	return usualWidth
}

// terminalName is the name that PAM_TTY should have: of the first standard stream that is a terminal, without /dev/.
func terminalName() (string, bool) {
	var name [256]C.char
	for fd := range 3 {
		if C.terminal_name(C.int(fd), &name[0], C.size_t(len(name))) == 0 {
			return strings.TrimPrefix(C.GoString(&name[0]), "/dev/"), true
		}
	}
	return "", false
}
