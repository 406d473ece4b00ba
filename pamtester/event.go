package main

/*
#define _GNU_SOURCE
#include "event.h"
#include <security/pam_appl.h>
*/
import "C"

// event is a record of event.h.
type event struct {
	kind  uint32
	a, b  int32
	nanos uint64
	text  string
}

const (
	enterEvent   = C.EVENT_ENTER
	leaveEvent   = C.EVENT_LEAVE
	messageEvent = C.EVENT_MESSAGE
	promptEvent  = C.EVENT_PROMPT

	hiddenStyle = C.PAM_PROMPT_ECHO_OFF
	errorStyle  = C.PAM_ERROR_MSG
)

// parseEvents reads records up to the first that is not whole.
func parseEvents(b []byte) []event {
	var all []event
	for len(b) >= C.EVENT_HEAD {
		size := number(b, 4)
		if size < C.EVENT_HEAD || size > uint64(len(b)) {
			break
		}
		all = append(all, event{
			kind: uint32(number(b[4:], 4)), a: int32(number(b[8:], 4)), b: int32(number(b[12:], 4)), nanos: number(b[16:], 8),
			text: string(b[C.EVENT_HEAD:size]),
		})
		b = b[size:]
	}
	return all
}

// number reads a little-endian number of n bytes.
func number(b []byte, n int) (v uint64) {
	for i := range n {
		v |= uint64(b[i]) << (8 * i)
	}
	return v
}

// said describes what a module said or asked, for JSON.
func (e event) said() object {
	var o object
	if e.kind == promptEvent {
		style := "visible"
		if e.a == hiddenStyle {
			style = "hidden"
		}
		o.text("style", style)
		o.text("text", e.text)
		o.claim("answered", e.b != 0)
		return o
	}
	style := "info"
	if e.a == errorStyle {
		style = "error"
	}
	o.text("style", style)
	o.text("text", e.text)
	return o
}
