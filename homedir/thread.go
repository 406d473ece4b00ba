package homedir

import "golang.org/x/sys/unix"

// privateThread prepares the calling thread, which is locked to its goroutine and ends with it: a umask of 0 of its own, so
// that a file's mode is the one it is made with, and no CAP_SYS_RESOURCE, so that the owner's quota holds for root too. (What a
// file system keeps back for uid 0, as ext4 does, a home may use: its owner finds the disk full, but has a home.) It says whether
// the umask is as promised; nothing else depends on it.
func privateThread() (exact bool) {
	dropResource()
	holdSignals()
	if unix.Unshare(unix.CLONE_FS) != nil {
		return false
	}
	unix.Umask(0)
	return true
}

// holdSignals leaves the signals of this process to its other threads. FUSE and SMB break calls off for one whose handler says
// SA_RESTART too, and the runtime sends some to itself (go.dev/issue/38033). A limit on file sizes is an error here, not the end of
// the process: SIGXFSZ comes to the thread that writes. What a fault of the thread's own sends stays, and what the C library uses.
func holdSignals() {
	const faults = 1<<(unix.SIGILL-1) | 1<<(unix.SIGTRAP-1) | 1<<(unix.SIGBUS-1) | 1<<(unix.SIGFPE-1) | 1<<(unix.SIGSEGV-1) | 1<<(unix.SIGSYS-1)
	var held unix.Sigset_t
	held.Val[0] = (1<<31 - 1) &^ faults // signals 1 to 31, on machines of 32 bits too
	unix.PthreadSigmask(unix.SIG_BLOCK, &held, nil)
}

func dropResource() {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&head, &data[0]) != nil {
		return
	}
	const bit = 1 << unix.CAP_SYS_RESOURCE
	if data[0].Effective&bit != 0 {
		data[0].Effective &^= bit
		unix.Capset(&head, &data[0])
	}
}
