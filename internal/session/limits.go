package session

/*
#include <sys/resource.h>

static struct rlimit at_start;

// The Go runtime raises RLIMIT_NOFILE before main; this runs before it does.
__attribute__((constructor)) static void
remember(void)
{
	getrlimit(RLIMIT_NOFILE, &at_start);
}

static struct rlimit
limit_at_start(void)
{
	return at_start;
}
*/
import "C"

import "syscall"

// restoreLimits gives modules and the command the limits that this process was started with. Setting the limit through
// package syscall also ends its habit of putting the old one back in children, which would undo pam_limits.
func restoreLimits() error {
	was := C.limit_at_start()
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(was.rlim_cur), Max: uint64(was.rlim_max)})
}
