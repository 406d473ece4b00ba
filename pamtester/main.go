// Command pamtester tries a PAM stack from the command line. What the known pamtester does it does to the letter: words,
// streams, statuses, what is read and what is left unread. Where that one crashes or accepts nonsense this one refuses, and it
// has options for what its users have missed; scripts for the old one never notice them. See pamtester(1).
//
// It stays one process on one thread: modules, debuggers and tracers see what they would see of a small C program. Packages that
// cost a start much (fmt, encoding/json, regexp, os/exec) are not used. Nor does the runtime look for a limit of processors in
// cgroups: that costs a start, and two descriptors that modules can see.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"os"
	"runtime"
	"strings"
)

// Exit statuses: of the original, and under --exit-code, where 1 to 31 are PAM's.
const (
	statusFailed     = 1
	statusUsage      = 255
	codeStatusUsage  = 64
	codeStatusFailed = 65
)

var version = "unknown" // set by the build

// PAM modules belong to the main thread.
func init() { runtime.LockOSThread() }

func main() {
	ownProcess()
	os.Exit(run(os.Args[0][strings.LastIndexByte(os.Args[0], '/')+1:], os.Args[1:]))
}

func run(program string, args []string) int {
	say := &speaker{program: program}
	o, err := parse(args)
	switch {
	case err != nil && err != errUsage:
		say.err(err.Error())
	case err != nil:
		say.raw(2, usage(program))
	case o.help:
		say.raw(1, usage(program)+help)
		return say.status(0)
	case o.version:
		say.raw(1, "pamtester of pwb "+version+"\n")
		return say.status(0)
	}
	if err != nil && o.exitCode {
		return codeStatusUsage
	}
	if err != nil {
		return statusUsage
	}
	if o.timeout > 0 {
		alarm(o.timeout, program+": ended by --timeout after "+o.timeout.String()+"\n")
	}
	say.json = o.json
	defer removeKept()
	s := &sequence{options: o, say: say, talk: newConversation()}
	defer s.talk.free()
	return say.status(s.run())
}

func usage(program string) string {
	return "usage: " + program + " [-Eenv=value] [-Iparam=value] service user op_name ...\n"
}

const help = `
operations: authenticate acct_mgmt setcred open_session close_session chauthtok, each with (FLAGS) and =PAM_CODE;
            getenvlist getitem(NAME) run(COMMAND) sleep(MS) end start

  -v, --verbose         say what is done
  -I, --item NAME=VALUE service user prompt tty ruser rhost xdisplay authtok_type; tty=auto is this terminal
  -E, --env NAME=VALUE  set the PAM environment
      --confdir DIR     take services from DIR in place of /etc/pam.d
      --stack LINES     the service's lines, given here
      --module 'FILE ARGS' --type auth,account   a service of this one module
      --secret-fd N     answer hidden questions with the first line of descriptor N
      --secret-file F   with the first line of a file
      --answers F       answer all questions from a table of patterns
      --tty             ask on the terminal, whatever the standard streams are
      --expect OP=CODE  the result that OP must have
      --exit-code       exit with the PAM code of what failed
      --cleanup         close the session and delete credentials after a failure
      --no-fail-delay   do not wait after a failed authentication
      --hex             flags may be numbers such as 0x8000
      --trace           draw the stack as it ran
      --timing          say how long each operation took
      --json            report in JSON, one object a line
      --timeout TIME    end everything after seconds, or a time such as 500ms
      --repeat N        make the whole N times and say how long it takes;
                        --concurrency C processes, --warmup W times before

pamtester(1) has the rest.
`
