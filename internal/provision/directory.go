package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
)

// Directory says how the provider's directory manages accounts, by SCIM. Its fields are set once; a zero Directory links nobody
// by an external id.
type Directory struct {
	Store  DirectoryStore
	Issuer string // whose people they are

	// Subject completes an external id to a subject of the issuer, where it is one; nil never does.
	Subject func(externalID string) (subject string, ok bool)
	Suffix  bool                   // a login name that somebody has gets a number behind it; else it is a conflict
	Leave   func() *store.Eviction // what becomes of the sessions of somebody who is locked; nil lets them finish

	Audit  func(event string, fields map[string]any) error // nil keeps nothing
	Report func(error)                                     // told of what went wrong beside an answer; nil tells nobody

	mu    sync.Mutex // guards spare
	spare []uint32   // ids that were reserved for somebody who turned out to be there already
}

// DirectoryStore is what Directory needs of store.Store, whose contract holds.
type DirectoryStore interface {
	ScimUserNamed(ctx context.Context, userName string) (store.ScimUser, error)
	Enrol(context.Context, store.Enrolment) (store.ScimUser, error)
	Amend(ctx context.Context, id string, a store.Amendment) (before, after store.ScimUser, err error)
	Dismiss(ctx context.Context, id string, may func(store.ScimUser) error, evict *store.Eviction) (store.ScimUser, error)
	EnrolGroup(context.Context, store.GroupEnrolment) (store.ScimGroup, error)
	AmendGroup(ctx context.Context, id string, a store.GroupAmendment) (before, after store.ScimGroup, changed int, err error)
	DismissGroup(ctx context.Context, id string, may func(store.ScimGroup) error) (store.ScimGroup, error)
	ScimGroup(ctx context.Context, id string, members bool) (store.ScimGroup, error)
	GroupOf(ctx context.Context, issuer, object string) (store.Group, error)
	NameOfGroup(ctx context.Context, name account.Name, gid account.GID) (bool, error)
}

// Actor is who asks for a change, for the audit file.
type Actor struct {
	Request string // its id
	Token   string // its id
	Peer    string // the address
	Method  string
}

// identity is who an external id means, or nobody.
func (d *Directory) identity(externalID string) account.Identity {
	if d.Subject == nil || externalID == "" {
		return account.Identity{}
	}
	subject, ok := d.Subject(externalID)
	if !ok {
		return account.Identity{}
	}
	return account.Identity{Issuer: d.Issuer, Subject: subject}
}

func (d *Directory) leave() *store.Eviction {
	if d.Leave == nil {
		return nil
	}
	return d.Leave()
}

// atOnce is the end of the sessions of somebody who is no more.
func atOnce() *store.Eviction { return &store.Eviction{Policy: "kill-now"} }

// audit keeps a line. That it could not is told, and changes nothing: what was done is done.
func (d *Directory) audit(event string, by Actor, fields map[string]any) {
	if d == nil || d.Audit == nil {
		return
	}
	for name, value := range map[string]string{"request": by.Request, "token": by.Token, "peer": by.Peer, "method": by.Method} {
		if value != "" {
			fields[name] = value
		}
	}
	if err := d.Audit(event, fields); err != nil {
		d.report(err)
	}
}

func (d *Directory) report(err error) {
	if d.Report != nil {
		d.Report(err)
	}
}

// takeSpare returns an id that was reserved in vain, from start up.
func (d *Directory) takeSpare(start uint32) (id uint32, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.spare); n > 0 && d.spare[n-1] >= start {
		id, d.spare = d.spare[n-1], d.spare[:n-1]
		return id, true
	}
	return 0, false
}

// giveBack is for an id that certainly nobody got: one that was taken meanwhile would be offered, and refused, for ever.
func (d *Directory) giveBack(id uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.spare) < 64 {
		d.spare = append(d.spare, id)
	}
}

// claim finds the account that the provider has made for a username and that nobody is linked to. store.ErrNotFound when the
// username means nobody. A second person who comes with the username of somebody linked is refused: usernames are given anew
// when people leave, and files are not.
func (p *Provisioner) claim(ctx context.Context, id account.Identity) (a store.Account, ok bool, err error) {
	if p.Directory == nil || id.Username == "" {
		return a, false, store.ErrNotFound
	}
	u, err := p.Directory.Store.ScimUserNamed(ctx, id.Username)
	switch {
	case err != nil:
		return a, false, err
	case id.Issuer != p.Directory.Issuer:
		return a, false, fmt.Errorf("%s has the username %q of %q, whom %s manages: %w", id.Key(), id.Username, u.Account.Name, p.Directory.Issuer, store.ErrBound)
	case !sameButForCase(id.Username, u.UserName):
		return a, false, fmt.Errorf("%s has the username %q, which is not quite the %q of account %q: %w", id.Key(), id.Username, u.UserName, u.Account.Name, store.ErrBound)
	case u.Account.Identity.Subject != "":
		return a, false, fmt.Errorf("%s has the username %q, which belongs to %q and %s: %w", id.Key(), id.Username, u.Account.Name, u.Account.Identity.Key(), store.ErrBound)
	case !u.Account.Active:
		return a, false, fmt.Errorf("account %q: %w", u.Account.Name, store.ErrInactive)
	}
	return u.Account, true, nil
}

// sameButForCase says whether two usernames differ in the case of ASCII letters alone. The directory is stricter about what is
// different than the provider may be: to that, a Kelvin sign and a k can be two people, and the second would get the first's account.
func sameButForCase(a, b string) bool {
	lower := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r >= 'A' && r <= 'Z' {
				r += 'a' - 'A'
			}
			return r
		}, s)
	}
	return lower(a) == lower(b)
}

// shown publishes what NSS is to show. That it could not is told: the change is in the store, and the worker shows it as soon
// as it can.
func (p *Provisioner) shown(ctx context.Context) {
	if err := p.publish(context.WithoutCancel(ctx)); err != nil {
		p.Directory.report(fmt.Errorf("changed, and not shown to other programs yet: %w", err))
	}
}

// result is how a change ended, in one word and a reason.
func result(fields map[string]any, err error) {
	fields["result"] = "done"
	if err != nil {
		fields["result"], fields["reason"] = "refused", err.Error()
	}
}

// worthKeeping says whether a change that was refused has a line of its own: who asks for what is not there asks in vain.
func worthKeeping(err error) bool { return !errors.Is(err, store.ErrNotFound) }

// changes names the attributes that differ, with both values. Documents never hold a secret.
func changes(before, after []byte) map[string]any {
	var old, now map[string]json.RawMessage
	if json.Unmarshal(before, &old) != nil || json.Unmarshal(after, &now) != nil {
		return nil
	}
	out := map[string]any{}
	for name := range old {
		if string(old[name]) != string(now[name]) {
			out[name] = []string{short(old[name]), short(now[name])}
		}
	}
	for name := range now {
		if _, was := old[name]; !was {
			out[name] = []string{"", short(now[name])}
		}
	}
	return out
}

func short(raw json.RawMessage) string {
	const most = 200
	if len(raw) > most {
		return string(raw[:most]) + "…"
	}
	return string(raw)
}

// Leaving makes Directory.Leave of the operator's policy.
func Leaving(policy string, grace time.Duration) func() *store.Eviction {
	switch policy {
	case "let-finish":
		return nil
	case "kill-now":
		return atOnce
	}
	return func() *store.Eviction { return &store.Eviction{Policy: policy, Grace: grace} }
}
