package homedir

import "golang.org/x/sys/unix"

// privateThread prepares the calling thread, which is locked to its goroutine and ends with it: a umask of 0 of its own, so
// that a file's mode is the one it is made with, and no CAP_SYS_RESOURCE, so that the owner's quota holds for root too. (What a
// file system keeps back for uid 0, as ext4 does, a home may use: its owner finds the disk full, but has a home.) A limit on
// file sizes is an error here, not the end of the process: the kernel sends SIGXFSZ to the thread that writes. It says whether
// the umask is as promised; nothing else depends on it.
func privateThread() (exact bool) {
	dropResource()
	var tooLarge unix.Sigset_t
	tooLarge.Val[0] = 1 << (unix.SIGXFSZ - 1) // of 32 or 64 bits, as the machine has it
	unix.PthreadSigmask(unix.SIG_BLOCK, &tooLarge, nil)
	if unix.Unshare(unix.CLONE_FS) != nil {
		return false
	}
	unix.Umask(0)
	return true
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
