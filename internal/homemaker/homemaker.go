// Package homemaker is the command lines by which other programs have homes made: those of Linux-PAM's mkhomedir_helper and of
// oddjob's mkhomedir. It reads them, and frees the process of what a session may have put on it; who the user is, its caller
// knows. It is free of cgo, because the program that those names lead to starts in half the time without.
package homemaker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/homedir"
)

// What a command line can lack; errors wrap one of these.
var (
	ErrUsage  = errors.New("not a command line of this program")
	ErrNobody = errors.New("no user's name on standard input")
)

// Request is one home that somebody wants made.
type Request struct {
	User     string
	Umask    *string // nil: login.defs
	HomeMode string  // "": what umask or login.defs say
	Skel     string
	Empty    bool // copy nothing
	Silent   bool
}

// ParseHelper reads the arguments that pam_mkhomedir(8) gives: USER [UMASK [SKEL [HOME_MODE]]].
func ParseHelper(args []string) (Request, error) {
	if len(args) < 1 || len(args) > 4 {
		return Request{}, fmt.Errorf("%d arguments: %w", len(args), ErrUsage)
	}
	r := Request{User: args[0]}
	if len(args) > 1 {
		r.Umask = &args[1]
	}
	if len(args) > 2 {
		r.Skel, r.Empty = args[2], args[2] == ""
	}
	if len(args) > 3 {
		r.HomeMode = args[3]
	}
	return r, nil
}

// ParseOddjob reads oddjob's options, and the user's name as oddjobd gives it: on standard input, an argument a line.
func ParseOddjob(args []string, input string) (Request, error) {
	var r Request
	if err := r.oddjobOptions(args); err != nil {
		return r, err
	}
	names := strings.FieldsFunc(input, func(c rune) bool { return c == '\n' || c == '\r' })
	if len(names) == 0 {
		return r, ErrNobody
	}
	r.User = names[0]
	return r, nil
}

// Options says how the home is to be made. Errors wrap homedir.ErrUmask.
func (r Request) Options(warn func(string)) (homedir.Options, error) {
	opts := homedir.Options{Skel: r.Skel, Empty: r.Empty, Warn: warn}
	if r.Umask != nil {
		mask, err := homedir.ParseUmask(*r.Umask)
		if err != nil {
			return opts, fmt.Errorf("umask %w", err)
		}
		opts.Modes = homedir.WithUmask(mask)
	} else {
		opts.Modes = homedir.LoadModes("/etc/login.defs", warn)
	}
	if r.HomeMode != "" {
		mode, err := homedir.ParseUmask(r.HomeMode)
		if err != nil {
			return opts, fmt.Errorf("mode of the home %w", err)
		}
		opts.Modes.Home = mode | 0o700
	}
	return opts, nil
}

// Unbind frees this process, which does nothing else, of what a session may have put on it.
func Unbind() {
	signal.Ignore(syscall.SIGXFSZ, syscall.SIGHUP, syscall.SIGPIPE)
	for limit, least := range map[int]uint64{unix.RLIMIT_FSIZE: unix.RLIM_INFINITY, unix.RLIMIT_CPU: unix.RLIM_INFINITY, unix.RLIMIT_NOFILE: 1024} {
		var have unix.Rlimit
		if unix.Getrlimit(limit, &have) == nil && have.Cur < least {
			unix.Setrlimit(limit, &unix.Rlimit{Cur: least, Max: max(have.Max, least)})
		}
	}
	os.Chdir("/")
}

// Stopped is the cause of a context that a signal has ended.
type Stopped syscall.Signal

func (s Stopped) Error() string { return "stopped: " + syscall.Signal(s).String() }

// ListenLate returns what is to be told how far a home has come. Once the home turns out to be large, a signal that wants this process
// to end calls cancel, with Stopped as the cause: what is made by half is to be removed first. To begin to hear signals takes longer
// than to make a small home, which is soon whole; and what a signal has cut off in its first moments, the next login puts right.
//
// A large home gets a processor more than threads copy it: with none idle, the runtime takes theirs away at every system call that
// lasts, which costs a fifth of the time where there is one core.
func ListenLate(cancel context.CancelCauseFunc) func(homedir.Progress) {
	const small = 64
	var once sync.Once
	return func(p homedir.Progress) {
		if p.Entries < small && p.Bytes < small<<20 {
			return
		}
		once.Do(func() {
			runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
			listen(cancel)
		})
	}
}

// listen calls cancel, with Stopped as the cause, at the first signal that wants this process to end. A second one finds nobody who
// listens, and ends the process.
func listen(cancel context.CancelCauseFunc) {
	caught := make(chan os.Signal, 1)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		if !signal.Ignored(s) { // who has started this may want it so: a shell does for what runs in the background
			signal.Notify(caught, s)
		}
	}
	go func() {
		s := <-caught
		signal.Stop(caught)
		cancel(Stopped(s.(syscall.Signal)))
	}()
}

// EndAs ends this process by the signal that has stopped its work, so that a shell does not go on with its script; it returns when
// err has another cause.
func EndAs(err error) {
	var by Stopped
	if !errors.As(err, &by) {
		return
	}
	signal.Reset(syscall.Signal(by))
	syscall.Kill(os.Getpid(), syscall.Signal(by))
	os.Exit(128 + int(by)) // it is blocked
}

// Complain goes to standard error and to the system's log: pam_mkhomedir(8) runs its helper with no streams that anybody reads.
func Complain(text string) {
	name := filepath.Base(os.Args[0])
	fmt.Fprintf(os.Stderr, "%s: %s\n", name, text)
	if _, err := unix.IoctlGetTermios(2, unix.TCGETS); err == nil {
		return
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	const authpriv, problem = 10 << 3, 3 // syslog(3)
	unix.Sendto(fd, fmt.Appendf(nil, "<%d>%s: %s", authpriv|problem, name, text), unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: "/dev/log"})
}

// oddjobOptions reads options as getopt(3) does: -qn, -u0077 and -u 0077 are all in use, and what is no option is passed over.
func (r *Request) oddjobOptions(args []string) error {
	none, named := false, false
	for len(args) > 0 && args[0] != "--" {
		letters := strings.TrimPrefix(args[0], "-")
		if letters == args[0] {
			letters = ""
		}
		args = args[1:]
		for letters != "" {
			letter := letters[0]
			letters = letters[1:]
			switch letter {
			case 'n':
				none = true
			case 'q':
				r.Silent = true
			case 'f': // oddjob since 0.34.7 fills a home that is the user's already, for NFS; ours never has to
			case 's', 'u':
				value := letters
				if value == "" && len(args) > 0 {
					value, args = args[0], args[1:]
				} else if value == "" {
					return fmt.Errorf("option -%c wants a value", letter)
				}
				letters = ""
				if letter == 's' {
					r.Skel, named = value, true
				} else {
					r.Umask = &value
				}
			default:
				return fmt.Errorf("no option -%c", letter)
			}
		}
	}
	r.Empty = none || named && r.Skel == ""
	return nil
}
