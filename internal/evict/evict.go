// Package evict ends the sessions of people whose access has ended. It promises that each step is taken only while the account is
// still not to be used, so who is back keeps the session; that no account of the system's is touched; and that what could not
// be ended is tried again, and kept in the audit file either way.
package evict

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
)

// Store is what Evictor needs of store.Store, whose contract holds.
type Store interface {
	Evictions(context.Context) ([]store.Eviction, error)
	PutEviction(context.Context, store.Eviction) error
	EndEviction(ctx context.Context, name account.Name) error
	ByName(context.Context, account.Name) (store.Account, error)
}

// Processes are those of the machine. Machine is one.
type Processes interface {
	Running(uid account.UID) (int, error) // how many an account has
	Ask(uid account.UID) error            // all of them to end (SIGTERM)
	Kill(uid account.UID) error           // all of them
}

// Evictor works off the store's list. Its fields are set once; one goroutine uses it.
type Evictor struct {
	Store     Store
	Processes Processes
	Conflict  func(context.Context, account.Name) error       // why the machine takes another account for this one; nil asks nobody
	Audit     func(event string, fields map[string]any) error // nil keeps nothing
	Report    func(error)
	Now       func() time.Time
}

const (
	minUID   = account.MinID
	patience = 60 * time.Second // between being asked and being killed
	again    = 5 * time.Second  // after an attempt that left somebody; twice as long after each further one, up to
	doubled  = 6                // times: five minutes
)

// The steps of an eviction.
const (
	waiting = iota
	asked
	killing
)

// Work takes every step that is due.
func (e *Evictor) Work(ctx context.Context) {
	all, err := e.Store.Evictions(ctx)
	if err != nil {
		if ctx.Err() == nil {
			e.Report(err)
		}
		return
	}
	for _, one := range all {
		if one.Step == waiting && e.Now().Before(one.Due) {
			continue
		}
		if one.Problem != "" && e.Now().Before(one.Due) {
			continue
		}
		if err := e.step(ctx, &one); err != nil && ctx.Err() == nil {
			one.Problem, one.Due = err.Error(), e.Now().Add(again<<min(one.Attempts, doubled))
			one.Attempts++
			e.note("evict-failed", &one, nil)
			e.Report(errors.Join(fmt.Errorf("end the sessions of %q: %w", one.Account, err), e.Store.PutEviction(ctx, one)))
		}
	}
}

// step takes one eviction further. Between two steps the world may have changed, so each looks first.
func (e *Evictor) step(ctx context.Context, one *store.Eviction) error {
	if one.UID < minUID {
		e.note("evict-refused", one, nil)
		return e.Store.EndEviction(ctx, one.Account)
	}
	a, err := e.Store.ByName(ctx, one.Account)
	switch {
	case err != nil:
		return err
	case a.Active && a.Deleted.IsZero() || a.UID != one.UID:
		e.note("evict-called-off", one, nil)
		return e.Store.EndEviction(ctx, one.Account)
	}
	if e.Conflict != nil {
		if err := e.Conflict(ctx, one.Account); err != nil { // somebody else's processes have this uid
			return err
		}
	}
	running, err := e.Processes.Running(one.UID)
	switch {
	case err != nil:
		return err
	case running == 0:
		if err := e.Processes.Kill(one.UID); err != nil { // what runs in the account's slice with other ids: a container's
			return err
		}
		e.note("evicted", one, nil)
		return e.Store.EndEviction(ctx, one.Account)
	case one.Step == waiting && one.Policy != "kill-now":
		one.Step, one.Due, one.Problem = asked, e.Now().Add(patience), ""
		e.note("evict-ask", one, map[string]any{"processes": running})
		return errors.Join(e.Processes.Ask(one.UID), e.Store.PutEviction(ctx, *one))
	case e.Now().Before(one.Due):
		return nil
	}
	if one.Step != killing {
		e.note("evict-kill", one, map[string]any{"processes": running})
	}
	one.Step, one.Due = killing, e.Now()
	if err := e.Processes.Kill(one.UID); err != nil {
		return err
	}
	one.Attempts++
	one.Problem = ""
	return e.Store.PutEviction(ctx, *one)
}

func (e *Evictor) note(event string, one *store.Eviction, more map[string]any) {
	if e.Audit == nil {
		return
	}
	fields := map[string]any{"user": one.Account, "uid": one.UID, "policy": one.Policy, "attempts": one.Attempts}
	if one.Problem != "" {
		fields["problem"] = one.Problem
	}
	for k, v := range more {
		fields[k] = v
	}
	if err := e.Audit(event, fields); err != nil {
		e.Report(err)
	}
}
