// Command mkhomedir makes homes under the names mkhomedir_helper and mkhomedir (oddjob's) where no worker of pwb is resident: the
// program in front asks one first, and becomes this. A person waits for it, and pwb takes longer to start than a small home takes to
// make; so this makes the homes of accounts in /etc/passwd, without cgo and without the rest of pwb. Everything else it leaves to
// pwb, which it becomes: other sources of accounts, and whatever goes wrong and has to be said.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/homedir"
	"github.com/pwb-project/pwb/internal/homemaker"
)

var pwbPath = "/usr/bin/pwb" // set by the build

const (
	maxInput = 64 << 10
	denied   = 6 // PAM_PERM_DENIED, as for all that the system refuses
	failure  = 1 // the same of oddjob's helpers
)

func main() {
	homemaker.Unbind()
	helper := filepath.Base(os.Args[0]) == "mkhomedir_helper"
	var input []byte
	if !helper {
		var err error
		if input, err = io.ReadAll(io.LimitReader(os.Stdin, maxInput)); err != nil { // a name that came by half is somebody else's
			fail(helper, fmt.Errorf("read the user's name: %w", err))
		}
	}
	if made, request, ok := tryHome(helper, string(input)); ok {
		if !helper && made && !request.Silent {
			fmt.Printf("Creating home directory for %s.", request.User)
		}
		return
	}
	fail(helper, become(helper, input))
}

func fail(helper bool, err error) {
	homemaker.Complain(err.Error())
	homemaker.EndAs(err)
	if helper {
		os.Exit(denied)
	}
	os.Exit(failure)
}

// tryHome makes the home, or says that it is not for it to make or to complain.
func tryHome(helper bool, input string) (made bool, request homemaker.Request, ok bool) {
	var err error
	if helper {
		request, err = homemaker.ParseHelper(os.Args[1:])
	} else {
		request, err = homemaker.ParseOddjob(os.Args[1:], input)
	}
	if err != nil {
		return false, request, false
	}
	owner, home, found := localAccount(request.User)
	if !found {
		return false, request, false
	}
	opts, err := request.Options(homemaker.Complain)
	if err != nil {
		return false, request, false
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	opts.Progress = homemaker.ListenLate(cancel)
	result, err := homedir.Make(ctx, home, owner, opts)
	if err != nil && ctx.Err() != nil { // nobody wants it any more: pwb would make it
		fail(helper, err)
	}
	return result.Made, request, err == nil
}

// localAccount finds an account that the C library would find first, in /etc/passwd; found is false where it would not be that
// plain.
func localAccount(name string) (owner homedir.Owner, home string, found bool) {
	order, err := open("/etc/nsswitch.conf")
	if err != nil {
		return owner, "", false
	}
	defer order.close()
	text, err := io.ReadAll(order)
	if err != nil || !filesFirst(string(text)) || name == "" || strings.ContainsAny(name, ":+\n") {
		return owner, "", false
	}
	accounts, err := open("/etc/passwd")
	if err != nil {
		return owner, "", false
	}
	defer accounts.close()
	prefix := []byte(name + ":")
	for lines := bufio.NewReader(accounts); ; {
		line, err := lines.ReadSlice('\n')
		if bytes.HasPrefix(line, prefix) {
			return entry(string(line))
		}
		if err != nil { // the end, or a line that nobody has
			return owner, "", false
		}
	}
}

// file is an open file, read as it is: an os.File would start the runtime's poller.
type file int

func open(name string) (file, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return file(fd), err
}

func (f file) close() { unix.Close(int(f)) }

func (f file) Read(b []byte) (int, error) {
	n, err := unix.Read(int(f), b)
	if err == nil && n == 0 {
		err = io.EOF
	}
	return max(n, 0), err
}

func filesFirst(text string) bool {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if database, services, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(database) == "passwd" {
			words := strings.Fields(services)
			return len(words) > 0 && words[0] == "files" && (len(words) == 1 || words[1][0] != '[')
		}
	}
	return false
}

func entry(line string) (owner homedir.Owner, home string, ok bool) {
	field := strings.Split(strings.TrimSuffix(line, "\n"), ":")
	if len(field) != 7 {
		return owner, "", false
	}
	uid, uidErr := strconv.ParseUint(field[2], 10, 32)
	gid, gidErr := strconv.ParseUint(field[3], 10, 32)
	return homedir.Owner{UID: uint32(uid), GID: uint32(gid)}, field[5], uidErr == nil && gidErr == nil
}

// become has pwb do it, under the name that this was called by, with the input that is read already. It returns when that fails.
func become(helper bool, input []byte) error {
	if !helper {
		if err := giveBack(input); err != nil {
			return fmt.Errorf("hand the user's name on: %w", err)
		}
	}
	err := syscall.Exec(pwbPath, os.Args, os.Environ())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOEXEC) {
		return fmt.Errorf("%s: %w; reinstall pwb", pwbPath, err)
	}
	return fmt.Errorf("%s: %w", pwbPath, err)
}

// giveBack makes input what standard input has to say.
func giveBack(input []byte) error {
	fd, err := unix.MemfdCreate("input", 0)
	if err != nil {
		return err
	}
	if n, err := unix.Pwrite(fd, input, 0); err != nil || n < len(input) {
		return cmp.Or(err, io.ErrShortWrite)
	}
	return unix.Dup2(fd, 0)
}
