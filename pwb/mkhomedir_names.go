package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/pwb-project/pwb/homedir"
	"github.com/pwb-project/pwb/internal/homemaker"
	"github.com/pwb-project/pwb/internal/passwd"
)

// multicall plays the programs that pwb can stand in for, by the name it is called with: Linux-PAM's mkhomedir_helper, and
// the mkhomedir of oddjob. ok is false for any other name.
func multicall(argv []string) (status int, ok bool) {
	switch filepath.Base(argv[0]) {
	case "mkhomedir_helper":
		homemaker.Unbind()
		return mkhomedirHelper(argv[1:]), true
	case "mkhomedir":
		homemaker.Unbind()
		return oddjobMkhomedir(argv[1:], os.Stdin), true
	}
	return 0, false
}

// mkhomedirHelper takes the arguments that pam_mkhomedir(8) gives.
func mkhomedirHelper(args []string) int {
	request, err := homemaker.ParseHelper(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "usage: mkhomedir_helper USER [UMASK [SKEL [HOME_MODE]]]")
		return statusSession
	}
	h := &homeMaker{Request: request, quiet: true, warn: homemaker.Complain}
	if _, err := h.make(context.Background()); err != nil {
		homemaker.Complain(err.Error())
		homemaker.EndAs(err)
		return homeStatus(err)
	}
	return 0
}

// Exit statuses of oddjob's helpers.
const (
	oddjobFailure = 1 // also for options it does not know
	oddjobInvalid = 2 // nobody, or nobody's home
)

// oddjobMkhomedir takes oddjob's options, and the user's name on standard input.
func oddjobMkhomedir(args []string, stdin io.Reader) int {
	input, err := io.ReadAll(io.LimitReader(stdin, 64<<10))
	if err != nil { // a name that came by half is somebody else's
		homemaker.Complain(fmt.Sprintf("read the user's name: %v", err))
		return oddjobFailure
	}
	request, err := homemaker.ParseOddjob(args, string(input))
	switch {
	case errors.Is(err, homemaker.ErrNobody):
		homemaker.Complain(err.Error())
		return oddjobInvalid
	case err != nil:
		fmt.Fprintf(os.Stderr, "mkhomedir: %v\nusage: mkhomedir [-nq] [-s skel] [-u umask] <user\n", err)
		return oddjobFailure
	}
	h := &homeMaker{Request: request, quiet: true, warn: homemaker.Complain}
	result, err := h.make(context.Background())
	switch {
	case errors.Is(err, passwd.ErrNotFound), errors.Is(err, homedir.ErrPath):
		homemaker.Complain(err.Error())
		return oddjobInvalid
	case err != nil:
		homemaker.Complain(err.Error())
		homemaker.EndAs(err)
		return oddjobFailure
	}
	if result.Made && !h.Silent {
		fmt.Printf("Creating home directory for %s.", h.User) // pam_oddjob_mkhomedir shows it as it is: no new line
	}
	return 0
}
