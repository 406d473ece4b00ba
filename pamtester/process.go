package main

/*
#include "process.h"
#include <errno.h>
#include <stdlib.h>

static int
run_command(const char *command, char **variables, int out, int *ret_errno)
{
	int status = process_run(command, variables, out);

	*ret_errno = errno;
	return status;
}
*/
import "C"

import (
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// ownProcess undoes what the Go runtime has done to this process before main: limits and signals are the caller's again.
func ownProcess() {
	C.process_restore()
	was := C.process_files()
	// Package syscall keeps the old value and would put it back over what a module sets; this makes it forget.
	syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(was.rlim_cur), Max: uint64(was.rlim_max)})
}

// keepUntilEnd names a file or folder that goes when this process ends, also by a signal.
func keepUntilEnd(path string) {
	c := C.CString(path)
	defer C.free(unsafe.Pointer(c))
	C.process_keep(c)
}

// folderUntilEnd makes a folder, for this user alone, that goes as well.
func folderUntilEnd(parent string) (string, error) {
	c := C.CString(parent + "/ptXXXXXX")
	defer C.free(unsafe.Pointer(c))
	if rc := C.process_folder(c); rc != 0 {
		return "", syscall.Errno(-rc)
	}
	return C.GoString(c), nil
}

func removeKept() { C.process_clean() }

// alarm has SIGALRM end this process after d. A PAM call cannot be interrupted, so the process ends as any C program would.
func alarm(d time.Duration, word string) {
	c := C.CString(word)
	defer C.free(unsafe.Pointer(c))
	C.process_alarm(C.longlong(d.Nanoseconds()), c)
}

// shell runs a command by /bin/sh with variables added to this process's environment and its output on descriptor out. It returns
// "" or how it failed.
func shell(command string, variables []string, out int) string {
	c := C.CString(command)
	defer C.free(unsafe.Pointer(c))
	list := cStrings(variables)
	defer freeStrings(list, len(variables))
	var errno C.int
	status := syscall.WaitStatus(C.run_command(c, list, C.int(out), &errno))
	if errno != 0 {
		return syscall.Errno(errno).Error()
	}
	return ending(status)
}

// ending is how a process ended, "" for well.
func ending(status syscall.WaitStatus) string {
	switch {
	case status.Signaled():
		return "signal: " + status.Signal().String()
	case status.ExitStatus() != 0:
		return "exit status " + strconv.Itoa(status.ExitStatus())
	}
	return ""
}

// cStrings returns a list that ends in NULL, as C wants it; freeStrings frees it.
func cStrings(texts []string) **C.char {
	list := (**C.char)(C.calloc(C.size_t(len(texts)+1), C.size_t(unsafe.Sizeof((*C.char)(nil)))))
	for i, text := range texts {
		unsafe.Slice(list, len(texts))[i] = C.CString(text)
	}
	return list
}

func freeStrings(list **C.char, n int) {
	for _, p := range unsafe.Slice(list, n) {
		C.free(unsafe.Pointer(p))
	}
	C.free(unsafe.Pointer(list))
}
