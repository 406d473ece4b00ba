package main

import (
	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
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
