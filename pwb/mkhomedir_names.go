package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/syslog"
	"os"
	"path/filepath"
	"strings"

	"github.com/pwb-project/pwb/homedir"
	"github.com/pwb-project/pwb/internal/passwd"
)

// multicall plays the programs that pwb can stand in for, by the name it is called with: Linux-PAM's mkhomedir_helper, and
// the mkhomedir of oddjob. ok is false for any other name.
func multicall(argv []string) (status int, ok bool) {
	switch filepath.Base(argv[0]) {
	case "mkhomedir_helper":
		return mkhomedirHelper(argv[1:]), true
	case "mkhomedir":
		return oddjobMkhomedir(argv[1:], os.Stdin), true
	}
	return 0, false
}

// complain goes to standard error and to the system's log: pam_mkhomedir(8) runs its helper with no streams that anybody reads.
func complain(text string) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", filepath.Base(os.Args[0]), text)
	if isTerminal(2) {
		return
	}
	if log, err := syslog.New(syslog.LOG_AUTHPRIV|syslog.LOG_ERR, filepath.Base(os.Args[0])); err == nil {
		log.Err(text)
		log.Close()
	}
}

// mkhomedirHelper takes the arguments that pam_mkhomedir(8) gives: USER [UMASK [SKEL [HOME_MODE]]].
func mkhomedirHelper(args []string) int {
	if len(args) < 1 || len(args) > 4 {
		fmt.Fprintln(os.Stderr, "usage: mkhomedir_helper USER [UMASK [SKEL [HOME_MODE]]]")
		return statusSession
	}
	h := &homeMaker{user: args[0], quiet: true, warn: complain}
	if len(args) > 1 {
		h.umask = &args[1]
	}
	if len(args) > 2 {
		h.skel, h.empty = args[2], args[2] == ""
	}
	if len(args) > 3 {
		h.homeMode = args[3]
	}
	if _, err := h.make(context.Background()); err != nil {
		complain(err.Error())
		return homeStatus(err)
	}
	return 0
}

// Exit statuses of oddjob's helpers.
const (
	oddjobFailure = 1 // also for options it does not know
	oddjobInvalid = 2 // nobody, or nobody's home
)

// oddjobMkhomedir takes oddjob's options. oddjobd gives the user's name on standard input, an argument a line.
func oddjobMkhomedir(args []string, stdin io.Reader) int {
	h := &homeMaker{quiet: true, warn: complain}
	silent, err := h.oddjobOptions(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "mkhomedir: %v\nusage: mkhomedir [-nq] [-s skel] [-u umask] <user\n", err)
		return oddjobFailure
	}
	input, err := io.ReadAll(io.LimitReader(stdin, 64<<10))
	names := strings.FieldsFunc(string(input), func(r rune) bool { return r == '\n' || r == '\r' })
	if err != nil || len(names) == 0 {
		complain("no user's name on standard input")
		return oddjobInvalid
	}
	h.user = names[0]
	result, err := h.make(context.Background())
	switch {
	case errors.Is(err, passwd.ErrNotFound), errors.Is(err, homedir.ErrPath):
		complain(err.Error())
		return oddjobInvalid
	case err != nil:
		complain(err.Error())
		return oddjobFailure
	}
	if result.Made && !silent {
		fmt.Printf("Creating home directory for %s.", h.user) // pam_oddjob_mkhomedir shows it as it is: no new line
	}
	return 0
}

// oddjobOptions reads options as getopt(3) does: -qn, -u0077 and -u 0077 are all in use.
func (h *homeMaker) oddjobOptions(args []string) (silent bool, err error) {
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && args[0] != "--" {
		letters := args[0][1:]
		args = args[1:]
		for letters != "" {
			letter := letters[0]
			letters = letters[1:]
			switch letter {
			case 'n':
				h.empty = true
			case 'q':
				silent = true
			case 'f': // oddjob since 0.34.7 fills a home that is the user's already, for NFS; ours never has to
			case 's', 'u':
				value := letters
				if value == "" && len(args) > 0 {
					value, args = args[0], args[1:]
				} else if value == "" {
					return false, fmt.Errorf("option -%c wants a value", letter)
				}
				letters = ""
				if letter == 's' {
					h.skel = value
				} else {
					h.umask = &value
				}
			default:
				return false, fmt.Errorf("no option -%c", letter)
			}
		}
	}
	return silent, nil
}
