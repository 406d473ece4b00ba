package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
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

// test is one run of operations, from left to right on one handle, until the first that fails.
type test struct {
	*options
	say    *speaker
	tx     *transaction
	opened int  // sessions that are open
	creds  bool // credentials were set
	status int
}

func (t *test) run() int {
	if !t.start() {
		return t.status
	}
	defer func() {
		if t.tx != nil {
			t.tx.end()
		}
	}()
	for _, set := range []func() bool{t.setItems, t.setEnv} {
		if !set() {
			return t.status
		}
	}
	for _, op := range t.ops {
		if !t.do(op) {
			if t.cleanup {
				t.undo()
			}
			return t.status
		}
	}
	return 0
}

// start is the beginning of a handle, also by the operation of that name.
func (t *test) start() bool {
	if t.verbose {
		t.say.err(fmt.Sprintf("invoking pam_start(%s, %s, ...)", t.service, t.user))
	}
	tx, rc := start(t.service, t.user, t.confdir)
	if rc != success {
		t.report("start", 0, rc, 0, 0)
		return t.fail(rc, "Initialization failure")
	}
	t.tx = tx
	if t.noDelay {
		tx.setNoDelay()
	}
	return t.giveSecret()
}

func (t *test) giveSecret() bool {
	var f *os.File
	switch {
	case t.secretFD >= 0:
		f = os.NewFile(uintptr(t.secretFD), "secret")
	case t.secretFile != "":
		var err error
		if f, err = os.OpenFile(t.secretFile, os.O_RDONLY|syscall.O_NOCTTY, 0); err != nil {
			return t.fail(1, "read the secret: "+err.Error())
		}
		defer f.Close()
	default:
		return true
	}
	secret, err := firstLine(f)
	if err != nil {
		return t.fail(1, "read the secret: "+err.Error())
	}
	t.tx.setSecret(secret)
	clear(secret)
	return true
}

// firstLine reads byte by byte: what follows is somebody else's.
func firstLine(f *os.File) ([]byte, error) {
	line := make([]byte, 0, 65536) // never moved, so that it can be wiped
	for b := line[len(line) : len(line)+1]; len(line) < cap(line)-1; b = line[len(line) : len(line)+1] {
		n, err := f.Read(b)
		if n == 0 && err != nil && len(line) == 0 {
			return nil, fmt.Errorf("it is empty")
		}
		if n == 0 || b[0] == '\n' {
			return line, nil
		}
		line = line[:len(line)+1]
	}
	clear(line)
	return nil, fmt.Errorf("it is longer than any")
}

func (t *test) setItems() bool {
	for _, pair := range t.items {
		name, v, has := strings.Cut(pair, "=")
		item, known := items[strings.ToLower(name)]
		if !known {
			return t.fail(1, `Unknown item type "`+name+`"`)
		}
		value := &v
		if !has {
			value = nil
		}
		if value == nil && item == items["service"] {
			return t.fail(1, "a service needs a name")
		}
		if rc := t.tx.setItem(item, value); rc != success {
			return t.fail(rc, rc.text())
		}
	}
	return true
}

func (t *test) setEnv() bool {
	for _, setting := range t.env {
		if rc := t.tx.putEnv(setting); rc != success {
			return t.fail(rc, rc.text())
		}
	}
	return true
}

// fail says why, and sets the exit status.
func (t *test) fail(rc code, text string) bool {
	t.say.err(text)
	t.status = statusFailed
	if t.exitCode && rc > 0 && rc <= maxCode {
		t.status = int(rc)
	}
	return false
}

// do carries out one operation and says whether to go on.
func (t *test) do(op operation) bool {
	if t.verbose {
		t.say.err("performing operation - " + op.name)
	}
	name := strings.ToLower(op.name)
	if own, ok := t.ownOperations()[name]; ok {
		return own(op.args)
	}
	sentence, known := done[name]
	if !known {
		return t.fail(1, `Unsupported operation "`+op.name+`"`)
	}
	flags, wrong := parseFlags(op.args)
	if wrong != "" {
		return t.fail(1, wrong)
	}
	if t.tx == nil {
		return t.fail(1, "no handle: end came before "+op.name)
	}
	began := time.Now()
	before := int64(t.tx.talk.spent_ns)
	rc := t.tx.call(name, flags)
	talked := time.Duration(int64(t.tx.talk.spent_ns) - before)
	took := time.Since(began)
	t.remember(name, flags, rc)
	t.report(name, flags, rc, took, talked)
	return t.judge(op, name, rc, sentence, took, talked)
}

func (t *test) judge(op operation, name string, rc code, sentence string, took, talked time.Duration) bool {
	want := op.want
	if want == "" {
		want = t.expect[name]
	}
	expected, _ := codeOf(want)
	timing := ""
	if t.timing {
		timing = fmt.Sprintf(" (%.3f ms, of which %.3f ms asking)", ms(took), ms(talked))
	}
	switch {
	case want != "" && rc == expected && rc != success:
		t.say.out(fmt.Sprintf("%s: %s (%s), as expected%s", name, rc.text(), rc.name(), timing))
		return true
	case want != "" && rc != expected:
		return t.fail(rc, fmt.Sprintf("%s: %s (%s), expected %s%s", name, rc.text(), rc.name(), expected.name(), timing))
	case rc != success:
		return t.fail(rc, rc.text()+timing)
	}
	t.say.out(sentence + timing)
	return true
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (t *test) remember(name string, flags uint32, rc code) {
	if rc != success {
		return
	}
	switch name {
	case "open_session":
		t.opened++
	case "close_session":
		t.opened--
	case "setcred":
		t.creds = flags&deleteCred == 0
	}
}

const deleteCred = 4 // PAM_DELETE_CRED

// undo closes what is open, in reverse, after a failure.
func (t *test) undo() {
	if t.tx == nil {
		return
	}
	last := t.tx.last
	for ; t.opened > 0; t.opened-- {
		t.tx.call("close_session", 0)
	}
	if t.creds {
		t.tx.call("setcred", deleteCred)
	}
	t.tx.last = last
}

// report writes one JSON object about a call: never a prompt's answer.
func (t *test) report(op string, flags uint32, rc code, took, talked time.Duration) {
	if !t.json {
		return
	}
	line, err := json.Marshal(map[string]any{
		"op": op, "flags": flags, "code": int(rc), "name": rc.name(), "text": rc.text(), "us": took.Microseconds(), "asking_us": talked.Microseconds(),
	})
	if err == nil {
		t.say.raw(1, string(line)+"\n")
	}
}

// ownOperations are those that the original has not.
func (t *test) ownOperations() map[string]func(args string) bool {
	return map[string]func(string) bool{
		"getenvlist": t.getEnvList, "getitem": t.getItem, "run": t.runCommand, "sleep": t.sleep,
		"end": func(string) bool {
			if t.tx == nil {
				return t.fail(1, "end: there is no handle")
			}
			rc := t.tx.end()
			t.tx, t.opened, t.creds = nil, 0, false
			if rc != success {
				return t.fail(rc, rc.text())
			}
			return true
		},
		"start": func(string) bool {
			if t.tx != nil {
				return t.fail(1, "start: the handle has not ended")
			}
			return t.start() && t.setItems() && t.setEnv()
		},
	}
}

func (t *test) getEnvList(string) bool {
	if t.tx == nil {
		return t.fail(1, "getenvlist: there is no handle")
	}
	for _, setting := range t.tx.envList() {
		t.say.raw(1, setting+"\n")
	}
	return true
}

func (t *test) getItem(name string) bool {
	item, known := items[strings.ToLower(name)]
	if !known || t.tx == nil {
		return t.fail(1, `Unknown item type "`+name+`"`)
	}
	value, set, rc := t.tx.getItem(item)
	if rc != success {
		return t.fail(rc, rc.text())
	}
	if !set {
		t.say.raw(1, strings.ToLower(name)+"\n")
		return true
	}
	t.say.raw(1, strings.ToLower(name)+"="+value+"\n")
	return true
}

func (t *test) sleep(args string) bool {
	n, err := strconv.ParseUint(args, 10, 31)
	if err != nil {
		return t.fail(1, `sleep: "`+args+`" is no number of milliseconds`)
	}
	time.Sleep(time.Duration(n) * time.Millisecond)
	return true
}

// runCommand runs a command by the shell with the PAM environment added to this process's own: limits, keyrings and
// namespaces that modules have set are there to be seen. It does not become the user; pwb session does.
func (t *test) runCommand(command string) bool {
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = os.Environ()
	if t.tx != nil {
		cmd.Env = append(cmd.Env, t.tx.envList()...)
	}
	if err := cmd.Run(); err != nil {
		return t.fail(1, "run: "+err.Error())
	}
	return true
}
