package session

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/account"
)

func isTerminal(f *os.File) bool {
	if f == nil {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// terminalName returns the name of the terminal that f is, as PAM_TTY has it, or "".
func terminalName(f *os.File) string {
	if !isTerminal(f) {
		return ""
	}
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return ""
	}
	return name
}

// hidden takes a line at a time and shows nothing of it.
func hidden(t *unix.Termios) { t.Lflag &^= unix.ECHO | unix.ECHONL }

// raw hands every byte on as it is typed; the terminal behind it does the rest (cfmakeraw(3)).
func raw(t *unix.Termios) {
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
}

// setTerminal changes the terminal's mode; restore puts the old one back.
func setTerminal(f *os.File, mode func(*unix.Termios)) (restore func(), err error) {
	fd := int(f.Fd())
	was, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	changed := *was
	mode(&changed)
	if err := unix.IoctlSetTermios(fd, unix.TCSETSF, &changed); err != nil {
		return nil, err
	}
	return func() { unix.IoctlSetTermios(fd, unix.TCSETS, was) }, nil
}

// openTerminal makes a new terminal, the person's, of the size of the one at hand.
func openTerminal(owner account.UID, like *os.File) (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a terminal: %w", err)
	}
	defer func() {
		if err != nil {
			master.Close()
		}
	}()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, fmt.Errorf("unlock the new terminal: %w", err)
	}
	// By the descriptor, not by name: another mount may stand on /dev/pts.
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		n, numErr := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
		if numErr != nil {
			return nil, nil, fmt.Errorf("number the new terminal: %w", numErr)
		}
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			return nil, nil, fmt.Errorf("open the new terminal: %w", err)
		}
	} else {
		slave = os.NewFile(fd, "terminal")
	}
	copySize(slave, like)
	if err := slave.Chown(int(owner), -1); err != nil {
		slave.Close()
		return nil, nil, fmt.Errorf("give the new terminal away: %w", err)
	}
	return master, slave, nil
}

func copySize(to, from *os.File) {
	if size, err := unix.IoctlGetWinsize(int(from.Fd()), unix.TIOCGWINSZ); err == nil {
		unix.IoctlSetWinsize(int(to.Fd()), unix.TIOCSWINSZ, size)
	}
}

// drain waits until what the command has left in its terminal is shown. Processes that it left behind may keep the terminal
// open for ever: once nothing more is there to read, they get a moment and are not waited for.
func drain(master *os.File, shown <-chan struct{}) {
	for {
		select {
		case <-shown:
			return
		case <-time.After(100 * time.Millisecond):
			n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCINQ)
			if err != nil || n == 0 {
				return
			}
		}
	}
}
