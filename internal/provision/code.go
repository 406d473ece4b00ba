package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
)

// ErrElsewhere is returned for a code that is for another PAM service or another host.
var ErrElsewhere = errors.New("the code is for somewhere else")

// LoginCode uses a code up and returns the account that it opens. When wanted is not empty the account must be that one; a code
// for another user, service or host is refused and can still be used where it belongs. Besides those of Login the errors are
// ErrElsewhere, store.ErrNoCode and store.ErrCodeExpired.
func (p *Provisioner) LoginCode(ctx context.Context, code ticket.Code, wanted account.Name, service string) (store.Account, error) {
	c, err := p.Store.FindCode(ctx, code)
	if err != nil {
		return store.Account{}, err
	}
	if err := p.judgeCode(c, wanted, service); err != nil {
		return store.Account{}, err
	}
	a, err := p.Store.ByName(ctx, c.Account)
	if err != nil {
		return a, err
	}
	if err := p.isOurs(a); err != nil {
		return a, err
	}
	if err := p.showFirst(ctx, a.Name); err != nil {
		return a, err
	}
	return a, p.Store.RedeemCode(ctx, code)
}

// showFirst publishes before a ticket is spent: the account is there already, so what cannot be shown now costs the person nothing.
func (p *Provisioner) showFirst(ctx context.Context, name account.Name) error {
	if err := p.publish(ctx); err != nil {
		return fmt.Errorf("account %q is not shown to other programs yet: %w: %w", name, store.ErrUnavailable, err)
	}
	return nil
}

// judgeCode decides everything about a code that its giver has said.
func (p *Provisioner) judgeCode(c store.Code, wanted account.Name, service string) error {
	switch {
	case c.Challenge != "":
		return fmt.Errorf("a grant of pwb login in place of a code: %w", store.ErrNoCode)
	case wanted != "" && c.Account != wanted: // CVE-2024-9313
		return fmt.Errorf("a code of %q, and the login is for %q: %w", c.Account, wanted, ErrWrongUser)
	case c.Service != "" && c.Service != service:
		return fmt.Errorf("a code of %q for service %q, not %q: %w", c.Account, c.Service, service, ErrElsewhere)
	case c.Host != "" && !p.isHost(c.Host):
		return fmt.Errorf("a code of %q for host %q, not %q: %w", c.Account, c.Host, strings.Join(p.Hosts, ", "), ErrElsewhere)
	}
	return c.Usable(time.Now())
}

func (p *Provisioner) isHost(name string) bool {
	return slices.ContainsFunc(p.Hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

// isOurs refuses an account of which a host would open another than ours.
func (p *Provisioner) isOurs(a store.Account) error {
	if a.UID == 0 {
		return p.mayOpen(a.Name)
	}
	return p.stillOurs(a)
}

// SessionIssuer stands in the place of the issuer in accounts that this machine knows from session tickets alone; the subject
// is then what they say of the identity (ticket.HashIdentity).
const SessionIssuer = "urn:pwb:session-ticket"

// MayBind says why a session ticket would not open an account that only the machine knows; nil is that it would.
func (p *Provisioner) MayBind(name account.Name) error { return p.mayOpen(name) }

// WhoIs is what session tickets say of an identity.
func WhoIs(id account.Identity) string {
	if id.Issuer == SessionIssuer {
		return id.Subject
	}
	return ticket.HashIdentity(id)
}

// SessionKeys returns the keys that session tickets are verified by, as the store has them.
func (p *Provisioner) SessionKeys(ctx context.Context) (ticket.SessionKeys, error) {
	return sessionKeys(ctx, p.Store)
}

// LoginSession spends a session ticket and returns the account that it opens, with the errors of Login. An account that this
// machine does not know is bound by its name, when BindSessions says so and the machine has it: where there is no common store,
// accounts come from elsewhere.
func (p *Provisioner) LoginSession(ctx context.Context, s *ticket.VerifiedSession, wanted account.Name) (store.Account, error) {
	if wanted != "" && s.Name != wanted { // CVE-2024-9313
		return store.Account{}, fmt.Errorf("a session ticket of %q, and the login is for %q: %w", s.Name, wanted, ErrWrongUser)
	}
	a, err := p.Store.ByName(ctx, s.Name)
	switch {
	case err == nil && WhoIs(a.Identity) != s.Who:
		return a, fmt.Errorf("%q is bound to %s here, and the session ticket is for another identity: %w", s.Name, a.Identity.Key(), store.ErrBound)
	case errors.Is(err, store.ErrNotFound) && p.BindSessions:
		a = store.Account{Name: s.Name, Identity: account.Identity{Issuer: SessionIssuer, Subject: s.Who, Username: string(s.Name)}}
	case errors.Is(err, store.ErrNotFound):
		return a, fmt.Errorf("account %q: %w", s.Name, ErrNoAccount)
	case err != nil:
		return a, err
	}
	if err := p.isOurs(a); err != nil {
		return a, err
	}
	if err := p.showFirst(ctx, a.Name); err != nil {
		return a, err
	}
	return a, p.Store.Redeem(ctx, store.Redemption{Key: s.SpendKey, Expires: s.Expires, Identity: a.Identity, Name: a.Name})
}
