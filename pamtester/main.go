// Command pamtester tries a PAM stack from the command line. What the known pamtester does it does to the letter: words,
// streams, statuses, what is read and what is left unread. Where that one crashes or accepts nonsense this one refuses, and it
// has options for what its users have missed; scripts for the old one never notice them. See pamtester(1).
//
// It stays one process on one thread: modules, debuggers and tracers see what they would see of a small C program.
package main

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Exit statuses of the original.
const (
	statusFailed = 1
	statusUsage  = 255
)

var version = "unknown" // set by the build

// PAM modules belong to the main thread.
func init() { runtime.LockOSThread() }

func main() {
	ownProcess()
	os.Exit(run(filepath.Base(os.Args[0]), os.Args[1:]))
}

func run(program string, args []string) int {
	say := &speaker{program: program}
	o, err := parse(args)
	switch {
	case err == errUsage:
		say.raw(2, usage(program))
		return statusUsage
	case err != nil:
		say.err(err.Error())
		return statusUsage
	case o.help:
		say.raw(1, usage(program)+help)
		return say.status(0)
	case o.version:
		say.raw(1, "pamtester of pwb "+version+"\n")
		return say.status(0)
	}
	if o.timeout > 0 {
		// A PAM call cannot be interrupted: the alarm ends the process, as it would end any C program.
		alarm(o.timeout)
	}
	say.json = o.json
	t := &test{options: o, say: say}
	return say.status(t.run())
}

func usage(program string) string {
	return "usage: " + program + " [-Eenv=value] [-Iparam=value] service user op_name ...\n"
}

const help = `
operations: authenticate acct_mgmt setcred open_session close_session chauthtok, each with (FLAGS) and =PAM_CODE;
            getenvlist getitem(NAME) run(COMMAND) sleep(MS) end start

  -v, --verbose         say what is done
  -I, --item NAME=VALUE service user prompt tty ruser rhost xdisplay authtok_type
  -E, --env NAME=VALUE  set the PAM environment
      --confdir DIR     take services from DIR in place of /etc/pam.d
      --secret-fd N     read the answer to hidden questions from descriptor N
      --secret-file F   read it from the first line of a file
      --expect OP=CODE  the result that OP must have
      --exit-code       exit with the PAM code of what failed
      --cleanup         close the session and delete credentials after a failure
      --no-fail-delay   do not wait after a failed authentication
      --timing          say how long each operation took
      --json            report in JSON, one object a line
      --timeout TIME    end everything after seconds, or a time such as 500ms

pamtester(1) has the rest.
`

// speaker writes messages, each at once: in a pipe they come in the order in which they were said.
type speaker struct {
	program string
	json    bool
	failed  error // of a write to standard output
}

func (s *speaker) raw(fd int, text string) {
	for len(text) > 0 {
		n, err := syscall.Write(fd, []byte(text))
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			if fd == 1 && s.failed == nil {
				s.failed = err
			}
			return
		}
		text = text[n:]
	}
}

// out says that something went well, err that it did not. In JSON the report says both.
func (s *speaker) out(text string) {
	if !s.json {
		s.raw(1, s.program+": "+text+"\n")
	}
}

func (s *speaker) err(text string) { s.raw(2, s.program+": "+text+"\n") }

// status is the exit status: success that could not be said is none.
func (s *speaker) status(status int) int {
	if s.failed != nil && status == 0 {
		s.err("write to standard output: " + s.failed.Error())
		return statusFailed
	}
	return status
}
