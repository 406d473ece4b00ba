// Package passwd asks the machine who its accounts are: getpwnam_r(3), getpwuid_r(3) and getgrouplist(3), so that every
// NSS source that the machine has configured answers, as it would for any other program. It keeps nothing and changes
// nothing; it is safe for concurrent use.
package passwd

/*
#include <sys/types.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"unsafe"

	"github.com/pwb-project/pwb/internal/account"
)

// ErrNotFound is returned when every NSS source answered and none knows the account.
var ErrNotFound = errors.New("no such account")

// Entry is one line of passwd(5), without its password field.
type Entry struct {
	Name  string
	UID   account.UID
	GID   account.GID
	Gecos string
	Home  string
	Shell string
}

// The room given to one answer is bounded: a group of 100,000 members is 4 MiB of text, a passwd line is never one.
const (
	maxBuffer      = 1 << 20
	maxGroupBuffer = 16 << 20
)

// ByName returns the entry of the account called name. The error is ErrNotFound, or says which call could not tell why.
func ByName(name string) (Entry, error) {
	if strings.IndexByte(name, 0) >= 0 {
		return Entry{}, fmt.Errorf("look up %q: %w", name, ErrNotFound)
	}
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	e, err := lookup(func(pwd *C.struct_passwd, buf *C.char, n C.size_t, ret **C.struct_passwd) C.int {
		return C.getpwnam_r(cname, pwd, buf, n, ret)
	})
	if err != nil {
		return Entry{}, fmt.Errorf("look up %q: %w", name, err)
	}
	return e, nil
}

// ByUID returns the entry of the account whose user id is uid, with the errors of ByName.
func ByUID(uid account.UID) (Entry, error) {
	e, err := lookup(func(pwd *C.struct_passwd, buf *C.char, n C.size_t, ret **C.struct_passwd) C.int {
		return C.getpwuid_r(C.uid_t(uid), pwd, buf, n, ret)
	})
	if err != nil {
		return Entry{}, fmt.Errorf("look up uid %d: %w", uid, err)
	}
	return e, nil
}

// Groups returns the ids of all groups that the account called name is in, its primary group gid first, as
// initgroups(3) would set them.
func Groups(name string, gid account.GID) ([]account.GID, error) {
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	for room := C.int(64); ; {
		ids := make([]C.gid_t, room)
		n := room
		if C.getgrouplist(cname, C.gid_t(gid), &ids[0], &n) >= 0 {
			out := make([]account.GID, n)
			for i := range out {
				out[i] = account.GID(ids[i])
			}
			return out, nil
		}
		if n <= room || n > 1<<16 { // NGROUPS_MAX of Linux
			return nil, fmt.Errorf("look up groups of %q: more than %d", name, 1<<16)
		}
		room = n
	}
}

// GroupByName returns the id of a group, with the errors of ByName.
func GroupByName(name string) (account.GID, error) {
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	_, gid, err := lookupGroup(func(grp *C.struct_group, buf *C.char, n C.size_t, ret **C.struct_group) C.int {
		return C.getgrnam_r(cname, grp, buf, n, ret)
	})
	if err != nil {
		return 0, fmt.Errorf("look up group %q: %w", name, err)
	}
	return gid, nil
}

// GroupByID returns the name of the group with that id, with the errors of ByName.
func GroupByID(gid account.GID) (string, error) {
	name, _, err := lookupGroup(func(grp *C.struct_group, buf *C.char, n C.size_t, ret **C.struct_group) C.int {
		return C.getgrgid_r(C.gid_t(gid), grp, buf, n, ret)
	})
	if err != nil {
		return "", fmt.Errorf("look up gid %d: %w", gid, err)
	}
	return name, nil
}

func lookupGroup(call func(*C.struct_group, *C.char, C.size_t, **C.struct_group) C.int) (name string, gid account.GID, err error) {
	for room := 1024; ; room *= 2 {
		buf := (*C.char)(C.malloc(C.size_t(room)))
		grp := (*C.struct_group)(C.malloc(C.sizeof_struct_group)) // C's memory: found will point there
		var found *C.struct_group
		errno := syscall.Errno(call(grp, buf, C.size_t(room), &found))
		if found != nil {
			name, gid = C.GoString(found.gr_name), account.GID(found.gr_gid)
		}
		C.free(unsafe.Pointer(grp))
		C.free(unsafe.Pointer(buf))
		switch {
		case found != nil:
			return name, gid, nil
		case errno == syscall.ERANGE && room < maxGroupBuffer:
			continue
		case notFound(errno):
			return "", 0, ErrNotFound
		}
		return "", 0, errno
	}
}

func lookup(call func(*C.struct_passwd, *C.char, C.size_t, **C.struct_passwd) C.int) (Entry, error) {
	for room := 1024; ; room *= 2 {
		buf := (*C.char)(C.malloc(C.size_t(room)))
		pwd := (*C.struct_passwd)(C.malloc(C.sizeof_struct_passwd)) // C's memory: found will point there
		var found *C.struct_passwd
		errno := syscall.Errno(call(pwd, buf, C.size_t(room), &found))
		e, err := entry(found, errno)
		C.free(unsafe.Pointer(pwd))
		C.free(unsafe.Pointer(buf))
		if errno == syscall.ERANGE && room < maxBuffer {
			continue
		}
		return e, err
	}
}

// notFound knows the ways in which sources say it (getpwnam(3), "RETURN VALUE").
func notFound(errno syscall.Errno) bool {
	switch errno {
	case 0, syscall.ENOENT, syscall.ESRCH, syscall.EBADF, syscall.EPERM:
		return true
	}
	return false
}

// entry copies what the C library found out of its buffer.
func entry(found *C.struct_passwd, errno syscall.Errno) (Entry, error) {
	if found != nil {
		return Entry{
			Name:  C.GoString(found.pw_name),
			UID:   account.UID(found.pw_uid),
			GID:   account.GID(found.pw_gid),
			Gecos: C.GoString(found.pw_gecos),
			Home:  C.GoString(found.pw_dir),
			Shell: C.GoString(found.pw_shell),
		}, nil
	}
	if notFound(errno) {
		return Entry{}, ErrNotFound
	}
	return Entry{}, fmt.Errorf("getpwnam_r: %w", errno)
}
