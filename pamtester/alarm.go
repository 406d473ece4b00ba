package main

import (
	"syscall"
	"time"
	"unsafe"
)

// alarm has the kernel end this process by SIGALRM after d (setitimer(2)).
func alarm(d time.Duration) {
	timer := struct{ interval, value syscall.Timeval }{value: syscall.NsecToTimeval(d.Nanoseconds())}
	syscall.Syscall(syscall.SYS_SETITIMER, 0, uintptr(unsafe.Pointer(&timer)), 0)
}
