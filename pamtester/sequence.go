package main

import (
	"strings"
	"time"
)

// Sentences of the original, by operation. Scripts look for them.
var done = map[string]string{
	"authenticate":  "successfully authenticated",
	"acct_mgmt":     "account management done.",
	"setcred":       "credential info has successfully been set.",
	"open_session":  "successfully opened a session",
	"close_session": "session has successfully been closed.",
	"chauthtok":     "authentication token altered successfully.",
}

// sequence is one run of operations, from left to right on one handle, until the first that fails.
type sequence struct {
	*options
	say     *speaker
	talk    *conversation
	answers []answer
	left    []string // patterns of answers that nothing asked for
	folder  string   // of services, or ""
	tracer  *tracer  // under --trace
	tx      *transaction
	opened  int  // sessions that are open
	creds   bool // credentials were set
	ran     int  // operations
	why     string
	status  int
}

// ownFailure stands for what failed without a PAM code.
const ownFailure code = -1

func (s *sequence) run() int {
	began := time.Now()
	if s.ready() {
		if s.repeat > 0 {
			s.load()
		} else {
			s.operations()
		}
	}
	if !s.leftovers() && s.status == 0 {
		s.setStatus(ownFailure)
		s.why = "answers were left over"
	}
	s.summary(time.Since(began))
	return s.status
}

// ready gets what the options ask for before the first handle. Nothing asked for, nothing done: a start is cheap.
func (s *sequence) ready() bool {
	if s.json {
		s.talk.setQuiet()
	}
	if s.json && s.repeat == 0 {
		s.talk.record()
	}
	if s.tty {
		if err := s.talk.openTerminal(); err != nil {
			return s.fail(ownFailure, "--tty: open /dev/tty: "+err.Error())
		}
	}
	return s.giveSecret() && s.giveAnswers() && s.layServices()
}

func (s *sequence) operations() {
	if !s.start() {
		return
	}
	for _, op := range s.ops {
		s.ran++
		if !s.do(op) {
			if s.cleanup {
				s.undo()
			}
			break
		}
	}
	if s.tx != nil {
		s.tx.end()
	}
}

// start is the beginning of a handle, also by the operation of that name.
func (s *sequence) start() bool {
	if s.verbose {
		s.say.err("invoking pam_start(" + s.service + ", " + s.user + ", ...)")
	}
	tx, rc := start(s.service, s.user, s.folder, s.talk)
	if rc != success {
		s.report(result{op: "start", code: rc})
		return s.fail(rc, "Initialization failure")
	}
	s.tx = tx
	if s.tracer != nil {
		s.tracer.begin()
	}
	if s.noDelay {
		tx.setNoDelay()
	}
	if s.setItems() && s.setEnv() {
		return true
	}
	s.tx.end()
	s.tx = nil
	return false
}

func (s *sequence) setItems() bool {
	for _, pair := range s.items {
		item, value, wrong := parseItem(pair)
		if wrong != "" {
			return s.fail(ownFailure, wrong)
		}
		if rc := s.tx.setItem(item, value); rc != success {
			return s.fail(rc, rc.text())
		}
	}
	return true
}

// parseItem reads NAME or NAME=VALUE; no value is nil. The original crashes for a service without one.
func parseItem(pair string) (item int, value *string, wrong string) {
	name, v, has := strings.Cut(pair, "=")
	item, known := items[lower(name)]
	switch {
	case !known:
		return 0, nil, `Unknown item type "` + name + `"`
	case !has && item == items["service"]:
		return 0, nil, "a service needs a name"
	case !has:
		return item, nil, ""
	case v == "auto" && item == items["tty"]:
		terminal, found := terminalName()
		if !found {
			return 0, nil, "tty=auto: no standard stream is a terminal"
		}
		return item, &terminal, ""
	}
	return item, &v, ""
}

func (s *sequence) setEnv() bool {
	for _, setting := range s.env {
		if rc := s.tx.putEnv(setting); rc != success {
			return s.fail(rc, rc.text())
		}
	}
	return true
}

// fail says why, and sets the exit status.
func (s *sequence) fail(rc code, text string) bool {
	s.say.err(text)
	s.why = text
	s.setStatus(rc)
	return false
}

func (s *sequence) setStatus(rc code) {
	switch {
	case !s.exitCode:
		s.status = statusFailed
	case rc > success && rc <= maxCode:
		s.status = int(rc)
	default:
		s.status = codeStatusFailed
	}
}

// do carries out one operation and says whether to go on.
func (s *sequence) do(op operation) bool {
	if s.verbose {
		s.say.err("performing operation - " + op.name)
	}
	name := lower(op.name)
	if _, known := done[name]; !known {
		return s.doOwn(name, op) && s.expectsNothing(name, op)
	}
	flags, short, wrong := parseFlags(op.args, s.hex)
	if s.verbose {
		for _, each := range short {
			s.say.err("warning: " + each)
		}
	}
	if wrong != "" {
		return s.fail(ownFailure, wrong)
	}
	if s.tx == nil {
		return s.fail(ownFailure, "no handle: end came before "+op.name)
	}
	r := s.call(name, flags)
	s.report(r)
	if prompt, yes := s.talk.unanswered(); yes {
		return s.fail(r.code, name+": no answer for the question "+quote(prompt))
	}
	return s.judge(op, r)
}

// expectsNothing refuses an expectation of what is no call of libpam: it could not come true.
func (s *sequence) expectsNothing(name string, op operation) bool {
	if op.want == "" {
		return true
	}
	expected, _ := codeOf(op.want)
	return s.fail(ownFailure, name+" has no PAM code, expected "+expected.name())
}

func (s *sequence) call(name string, flags uint32) result {
	if s.tracer != nil {
		s.tracer.before(s.tx)
	}
	before := s.talk.spent()
	began := time.Now()
	rc := s.tx.call(name, flags)
	r := result{op: name, flags: flags, code: rc, took: time.Since(began), asking: s.talk.spent() - before, events: s.talk.events()}
	if s.tracer != nil {
		r.passes = s.tracer.after(name, rc, r.events)
	}
	s.remember(name, flags, rc)
	return r
}

func (s *sequence) remember(name string, flags uint32, rc code) {
	if rc != success {
		return
	}
	switch name {
	case "open_session":
		s.opened++
	case "close_session":
		s.opened = max(0, s.opened-1)
	case "setcred":
		s.creds = flags&deleteCred == 0
	}
}

// undo closes what is open, in reverse, after a failure. pam_end still gets that failure's status.
func (s *sequence) undo() {
	if s.tx == nil {
		return
	}
	last := s.tx.last
	for ; s.opened > 0; s.opened-- {
		s.report(s.call("close_session", 0))
	}
	if s.creds {
		s.report(s.call("setcred", deleteCred))
	}
	s.tx.last = last
}
