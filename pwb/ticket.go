package main

import (
	"context"
	"fmt"

	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/oauth"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
	"github.com/pwb-project/pwb/internal/worker"
)

// ticketsFor gives out codes and session tickets as the configuration says.
func ticketsFor(cfg *config.Config, s *store.Store) *provision.Tickets {
	t := &provision.Tickets{Store: s, CodeLifetime: cfg.Web.CodeLifetime, SessionLifetime: cfg.Web.TicketLifetime, Audience: cfg.Web.TicketAudience}
	if t.Audience == "" {
		t.Audience = hostname()
	}
	return t
}

// hosts are the names of this machine, by which tickets are for it.
func hosts(cfg *config.Config) (names []string) {
	for _, name := range []string{hostname(), cfg.Web.TicketAudience} {
		if ticket.CheckAudience(name) == nil {
			names = append(names, name)
		}
	}
	return names
}

// sessionVerifier judges session tickets by the keys of a file, or of the store where the configuration names none.
func sessionVerifier(cfg *config.Config, fromStore func() (ticket.SessionKeys, error)) (*ticket.SessionVerifier, error) {
	v := &ticket.SessionVerifier{Audiences: hosts(cfg)}
	if cfg.Web.TicketKeys == "" {
		keys, err := fromStore()
		v.Keys = keys
		return v, err
	}
	text, err := cfg.TicketKeys()
	if err != nil {
		return nil, err
	}
	v.Keys, err = ticket.ParseSessionKeys(text)
	return v, err
}

// noTokens judges ID tokens on a machine that takes none.
type noTokens struct{}

func (noTokens) Verify(context.Context, []byte, ticket.Expect) (*ticket.Verified, error) {
	return nil, fmt.Errorf("%w: this machine takes session tickets and codes alone (auth-openid is off)", ticket.ErrIssuer)
}

// openOAuth asks the configured provider for tokens.
func openOAuth(cfg *config.Config) (*oauth.Client, error) {
	return oauth.Open(oauth.Config{
		Issuer: cfg.Issuer, ClientID: cfg.ClientID, Scopes: cfg.Scopes, AllowLoopbackHTTP: cfg.AllowLoopbackHTTP,
		Secret: func() (string, error) {
			text, err := cfg.Secret()
			return text.Reveal(), err
		},
	})
}

// devices signs people in at another device, where an operator wants that.
func devices(cfg *config.Config) (worker.Devices, error) {
	if !cfg.Web.DeviceFlow || !cfg.OpenID {
		return nil, nil
	}
	return openOAuth(cfg)
}
