package main

import (
	"strconv"
	"syscall"
	"time"
)

// doOwn carries out an operation that the original has not.
func (s *sequence) doOwn(name string, op operation) bool {
	var o object
	o.text("op", name)
	switch name {
	case "getenvlist":
		return s.getEnvList(o)
	case "getitem":
		return s.getItem(o, op.args)
	case "run":
		return s.runCommand(o, op.args)
	case "sleep":
		wait, wrong := milliseconds(op.args)
		if wrong != "" {
			return s.fail(ownFailure, wrong)
		}
		pause := syscall.NsecToTimespec(wait.Nanoseconds()) // package time would open the poller, see file.go
		for syscall.Nanosleep(&pause, &pause) == syscall.EINTR {
		}
		return s.reportOwn(o)
	case "end":
		return s.endHandle(o)
	case "start":
		if s.tx != nil {
			return s.fail(ownFailure, "start: the handle has not ended")
		}
		return s.start() && s.reportOwn(o)
	}
	wrong := op.name
	if op.want != "" { // it expects nothing of an operation that is none
		wrong += "=" + op.want
	}
	return s.fail(ownFailure, `Unsupported operation "`+wrong+`"`)
}

// milliseconds is how long sleep waits.
func milliseconds(s string) (pause time.Duration, wrong string) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, `sleep: "` + s + `" is no number of milliseconds`
	}
	return time.Duration(n) * time.Millisecond, ""
}

func (s *sequence) endHandle(o object) bool {
	if s.tx == nil {
		return s.fail(ownFailure, "end: there is no handle")
	}
	rc := s.tx.end()
	s.tx, s.opened, s.creds = nil, 0, false
	if rc != success {
		return s.fail(rc, rc.text())
	}
	return s.reportOwn(o)
}

func (s *sequence) getEnvList(o object) bool {
	if s.tx == nil {
		return s.fail(ownFailure, "getenvlist: there is no handle")
	}
	list := s.tx.envList()
	if s.json {
		o.texts("env", list)
		return s.reportOwn(o)
	}
	for _, setting := range list {
		s.say.raw(1, setting+"\n")
	}
	return true
}

func (s *sequence) getItem(o object, name string) bool {
	item, known := items[lower(name)]
	if !known {
		return s.fail(ownFailure, `Unknown item type "`+name+`"`)
	}
	if s.tx == nil {
		return s.fail(ownFailure, "getitem: there is no handle")
	}
	value, set, rc := s.tx.getItem(item)
	if rc != success {
		return s.fail(rc, rc.text())
	}
	name = lower(name)
	o.text("item", name)
	line := name
	if set {
		o.text("value", value)
		line += "=" + value
	} else {
		o.null("value")
	}
	if !s.json {
		s.say.raw(1, line+"\n")
	}
	return s.reportOwn(o)
}

// runCommand runs a command by the shell with the PAM environment added to this process's own: limits, keyrings and
// namespaces that modules have set are there to be seen. It does not become the user; pwb session does.
func (s *sequence) runCommand(o object, command string) bool {
	var env []string
	if s.tx != nil {
		env = s.tx.envList()
	}
	out := 1
	if s.json {
		out = 2 // standard output is one object a line
	}
	failure := shell(command, env, out)
	o.text("command", command)
	o.text("failure", failure)
	s.reportOwn(o)
	if failure != "" {
		return s.fail(ownFailure, "run: "+failure)
	}
	return true
}
