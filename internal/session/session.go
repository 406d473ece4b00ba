// Package session is a PAM application: it authenticates a person, opens the session that the stack describes, runs one
// command in it as that person, and closes everything again in reverse, whatever fails. It promises that nothing runs unless
// every step before it succeeded, and that what runs has the person's ids, groups and limits and none of the caller's
// environment.
//
// PAM modules work on the calling thread (keyrings, loginuid, limits). Run must be called on a goroutine that is locked to
// the main thread, and is called once a process: what modules have done to the process stays done.
package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/msteinert/pam/v2"

	"github.com/pwb-project/pwb/internal/passwd"
)

// Plan is what to do. Its zero value opens nothing.
type Plan struct {
	Service string   // PAM service, a file in /etc/pam.d
	User    string   // who; never empty, so that no module may choose
	Command []string // what to run; empty is the account's shell, as a login shell
	Ticket  []byte   // answers the first hidden question; nil asks the person
	Invoker string   // PAM_RUSER: who is asking, may be empty
	Stdin   *os.File
	Stdout  *os.File
	Stderr  *os.File
}

// Refused says which step of PAM said no, and how libpam words it.
type Refused struct {
	Step string
	Err  error
}

func (e *Refused) Error() string {
	return e.Step + ": " + strings.ReplaceAll(e.Err.Error(), "\n", ": ")
}
func (e *Refused) Unwrap() error { return e.Err }

// ErrNeedsRoot is returned after a successful authentication by a process that cannot become somebody else.
var ErrNeedsRoot = errors.New("the ticket is good, but opening a session and becoming somebody needs root; run this as root")

// Run carries out the plan and returns the command's exit status: 128 plus the signal's number when a signal ended it, 126
// or 127 when it could not be started. An error means that nothing ran; a *Refused one is PAM's.
func Run(ctx context.Context, plan Plan) (status int, err error) {
	if plan.User == "" || plan.Service == "" {
		return 0, errors.New("a session needs a user and a service")
	}
	if err := restoreLimits(); err != nil {
		return 0, fmt.Errorf("restore the limits this process began with: %w", err)
	}
	talk := &conversation{ctx: ctx, plan: &plan}
	defer talk.forget()
	tx, err := pam.Start(plan.Service, plan.User, talk)
	if err != nil {
		return 0, &Refused{"start", err}
	}
	defer func() { err = errors.Join(err, tx.End()) }()
	if err := setItems(tx, &plan); err != nil {
		return 0, &Refused{"start", err}
	}
	if err := tx.Authenticate(0); err != nil {
		return 0, &Refused{"authenticate", errors.Join(err, talk.err)}
	}
	if err := sameUser(tx, plan.User); err != nil {
		return 0, &Refused{"authenticate", err}
	}
	if err := tx.AcctMgmt(0); err != nil {
		return 0, &Refused{"account", err}
	}
	if os.Geteuid() != 0 {
		return 0, ErrNeedsRoot
	}
	if err := tx.SetCred(pam.EstablishCred); err != nil {
		return 0, &Refused{"setcred", err}
	}
	defer tx.SetCred(pam.DeleteCred)
	if err := tx.OpenSession(0); err != nil {
		return 0, &Refused{"open session", err}
	}
	defer tx.CloseSession(0)
	// Only now: the session's modules may have made the account's home, and the account itself.
	child, err := prepare(tx, &plan)
	if err != nil {
		return 0, err
	}
	return child.run(ctx)
}

// sameUser refuses a stack that renamed the user: the session would be somebody else's (CVE-2024-9313).
func sameUser(tx *pam.Transaction, want string) error {
	got, err := tx.GetItem(pam.User)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("the stack answered for %q, not for %q", got, want)
	}
	return nil
}

func setItems(tx *pam.Transaction, plan *Plan) error {
	if name := terminalName(plan.Stdin); name != "" {
		if err := tx.SetItem(pam.Tty, name); err != nil {
			return err
		}
	}
	if plan.Invoker != "" {
		return tx.SetItem(pam.Ruser, plan.Invoker)
	}
	return nil
}

// prepare looks the account up and builds its environment: from nothing, then what the stack put there.
func prepare(tx *pam.Transaction, plan *Plan) (*child, error) {
	account, err := passwd.ByName(plan.User)
	if err != nil {
		return nil, err
	}
	groups, err := passwd.Groups(account.Name, account.GID)
	if err != nil {
		return nil, err
	}
	env, err := tx.GetEnvList()
	if err != nil {
		return nil, &Refused{"open session", err}
	}
	return newChild(plan, account, groups, env), nil
}
