package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/oauth"
	"github.com/pwb-project/pwb/internal/signin"
	"github.com/pwb-project/pwb/internal/ticket"
)

// serveCachePath is the front's own: the worker believes what is in its cache of keys.
const serveCachePath = "/var/lib/pwb/keys"

// signIn is the door for people with a browser.
func (f *front) signIn(ctx context.Context, cfg *config.Config) (http.Handler, error) {
	report := func(err error) { f.log.Warn("sign-in", "error", err.Error()) }
	verifier, err := openVerifierAt(f.root.Join(serveCachePath), cfg, report)
	if err != nil {
		return nil, err
	}
	provider, err := oauth.Open(oauth.Config{
		Issuer: cfg.Issuer, ClientID: cfg.ClientID, Scopes: cfg.Scopes, AllowLoopbackHTTP: cfg.AllowLoopbackHTTP,
		Secret: func() (string, error) {
			text, err := cfg.Secret()
			return text.Reveal(), err
		},
	})
	if err != nil {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	if _, err := cfg.Secret(); err != nil {
		f.log.Error("nobody can sign in with a browser; is the file the service user's?", "error", err.Error(), "run", "chown "+serviceUser+": "+f.root.Join(config.KeyFile))
	}
	accounts := provisioner(f.root, cfg, f.store, report)
	accounts.Publish = f.publish(cfg)
	log := f.auditLog()
	door := signin.Config{
		URL: cfg.Web.URL(hostname()), Host: hostname(), Contact: cfg.Web.Contact, Issuer: cfg.Issuer, Groups: cfg.GroupsClaim != "",
		Idle: cfg.Web.Idle, StaySignedIn: cfg.Web.StaySignedIn, SignOutBack: cfg.Web.SignOutBack || ticket.IsEntra(cfg.Issuer),
		Provider: provider, Verifier: verifier, Accounts: accounts, Tickets: ticketsFor(cfg, f.store), Store: f.store,
		Publish: accounts.Publish, Audit: log.Append, Log: f.log, Metrics: f.metrics,
		Recent: func(n int) ([]signin.Decision, error) {
			lines, err := log.Recent(n)
			var all []signin.Decision
			for _, l := range lines {
				all = append(all, signin.Decision{Time: l.Time, Event: l.Event, Fields: l.Fields})
			}
			return all, err
		},
	}
	if cfg.Web.Admin {
		door.AdminGroups = cfg.Web.AdminGroups
	}
	if cfg.Provisions() {
		door.Tokens = f.tokens
	}
	return signin.Open(ctx, door)
}
