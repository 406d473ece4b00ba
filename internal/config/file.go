package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

const maxFile = 1 << 20

// trust looks at who may read or write a file, before a byte of it is read. Its error says what to do.
type trust func(path string, st os.FileInfo) error

// readFile reads a regular file after a look at owner and mode on the open descriptor: a path could lead elsewhere a
// moment later. A FIFO or a device is neither waited for nor read.
func readFile(path string, check trust) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, plain(err)
	}
	if !st.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if err := check(path, st); err != nil {
		return nil, err
	}
	text := bytes.NewBuffer(make([]byte, 0, min(st.Size(), maxFile)+bytes.MinRead)) // as much as there is: a login waits
	if _, err := text.ReadFrom(io.LimitReader(f, maxFile+1)); err != nil {
		return nil, plain(err)
	}
	if text.Len() > maxFile {
		return nil, fmt.Errorf("over %d bytes", maxFile)
	}
	return text.Bytes(), nil
}

// plain takes the path out of an error of package os: a problem begins with it anyway.
func plain(err error) error {
	var at *fs.PathError
	if !errors.As(err, &at) {
		return err
	}
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return fmt.Errorf("%w; run as root", at.Err)
	}
	return at.Err
}

// public trusts what only its owner can write: these files say whose tickets are good.
func (l Loader) public(path string, st os.FileInfo) error {
	if st.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("can be written by others (mode %04o); run: chmod 0644 %s", st.Mode().Perm(), path)
	}
	return l.owned(path, st, "root")
}

// rootsOwn trusts what only root, or who runs pwb, can write.
func (l Loader) rootsOwn(path string, st os.FileInfo) error {
	l.ServiceUID = nil
	return l.public(path, st)
}

// private trusts what nobody but its owner can read or write.
func (l Loader) private(what string) trust {
	return func(path string, st os.FileInfo) error {
		if st.Mode().Perm()&0o077 != 0 {
			return fmt.Errorf("%s is readable by others (mode %04o); run: chmod 0600 %s", what, st.Mode().Perm(), path)
		}
		return l.owned(path, st, "rstudio-server:rstudio-server")
	}
}

// owned trusts files of root's, of who runs pwb, and of the service's user.
func (l Loader) owned(path string, st os.FileInfo, should string) error {
	uid := int(st.Sys().(*syscall.Stat_t).Uid)
	if uid == 0 || uid == os.Geteuid() || l.ServiceUID != nil && uid == l.ServiceUID() {
		return nil
	}
	return fmt.Errorf("belongs to uid %d; run: chown %s %s", uid, should, path)
}

// uidMin finds UID_MIN in the text of login.defs(5). The last one counts, and it may be octal or hexadecimal, as for
// useradd(8). Line 0 says that there is none.
func uidMin(text []byte) (uid uint32, line int) {
	i := 0
	for one := range bytes.Lines(text) {
		i++
		if !bytes.Contains(one, []byte("UID_MIN")) {
			continue
		}
		f := strings.Fields(string(one))
		if len(f) < 2 || f[0] != "UID_MIN" {
			continue
		}
		if n, err := strconv.ParseUint(f[1], 0, 32); err == nil && n > 0 && n <= maxID {
			uid, line = uint32(n), i
		}
	}
	return uid, line
}
