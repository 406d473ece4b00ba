package homedir

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// privateThread prepares the calling thread, which is locked to its goroutine and ends with it: a umask of 0 of its own, so
// that a file's mode is the one it is made with, and no CAP_SYS_RESOURCE, so that the owner's quota and the disk's reserve
// hold for root too. A limit on file sizes is an error here, not the end of the process: the kernel sends SIGXFSZ to the
// thread that writes. It says whether the umask is as promised; nothing else depends on it.
func privateThread() (exact bool) {
	dropResource()
	unix.PthreadSigmask(unix.SIG_BLOCK, &unix.Sigset_t{Val: [16]uint64{1 << (unix.SIGXFSZ - 1)}}, nil)
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

// stageName is the name of a building site: of one person on one machine. Two machines may share a parent by NFS.
func stageName(uid uint32) string {
	return fmt.Sprintf(".pwb-mk.%d.%s", uid, machine())
}

func machine() string {
	if text := machineID(); len(text) >= 8 && strings.Trim(text, "0123456789abcdef") == "" {
		return text[:8]
	}
	if name, err := os.Hostname(); err == nil && name != "" && !strings.ContainsAny(name, "/\x00") && len(name) <= 64 {
		return name
	}
	return "localhost"
}

// machineID reads machine-id(5). Not as an os.File, which would start the runtime's poller in a process that needs none.
func machineID() string {
	fd, err := unix.Open("/etc/machine-id", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var id [64]byte
	n, err := readFull(fd, id[:])
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id[:n]))
}
