package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/oauth"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
	"github.com/pwb-project/pwb/internal/worker"
)

func ticketCommand() *cli.Command {
	return &cli.Command{
		Name:            "ticket",
		Usage:           "codes, session tickets and their keys, ID tokens",
		HideHelpCommand: true,
		Subcommands: []*cli.Command{
			{
				Name: "inspect", Usage: "say what a ticket is and whether it would be taken here, without spending it", ArgsUsage: "[FILE]",
				Description: "The ticket is the first line of FILE, or of standard input, or is asked for.",
				Flags:       []cli.Flag{jsonFlag}, Action: inspectAction,
			},
			{Name: "keys", Usage: "print the public keys of session tickets, for nodes that have no store", Action: atDesk(printTicketKeys)},
			{
				Name: "rotate-key", Usage: "make a new key of session tickets",
				Flags: []cli.Flag{
					&cli.DurationFlag{Name: "after", Value: 24 * time.Hour, Usage: "let it sign after `TIME`: nodes must have the public key by then"},
					&cli.BoolFlag{Name: "now", Usage: "for a key that has got out: the old ones end at once, with every session ticket there is"},
				},
				Action: atDesk(rotateTicketKey),
			},
		},
	}
}

// inspectAction shows what a ticket says where the store cannot be asked too, as to anybody but root: then nothing is verified.
func inspectAction(c *cli.Context) error {
	err := atDesk(inspectTicket)(c)
	if !errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return (&desk{Context: c, out: c.App.Writer}).inspect(func(in *inspection, _ []byte) { in.cannotTell("verification", err) })
}

func printTicketKeys(d *desk) error {
	text, err := ticketsFor(d.config, d.store).PublicKeys(d.Context.Context)
	if err == nil {
		_, err = d.out.Write(text)
	}
	return err
}

func rotateTicketKey(d *desk) error {
	after := d.Duration("after")
	if d.Bool("now") {
		after = 0
	}
	if after < 0 || after > 30*24*time.Hour || after == 0 && !d.Bool("now") {
		return cli.Exit("ticket rotate-key: --after is a time up to 720h; --now is for a key that has got out", 2)
	}
	id, signs, err := ticketsFor(d.config, d.store).Rotate(d.Context.Context, after)
	if err != nil {
		return err
	}
	d.say("key %s is published, and signs from %s; nodes with session-ticket-keys need the output of pwb ticket keys before that", id, when(signs))
	return d.changed("rotate-ticket-key", map[string]any{"key": id, "signs_from": when(signs), "now": d.Bool("now")})
}

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
	keys, err := ticketKeys(cfg)
	v.Keys = keys
	return v, err
}

// ticketKeys reads the file of session-ticket-keys; without the setting there is none.
func ticketKeys(cfg *config.Config) (ticket.SessionKeys, error) {
	if cfg.Web.TicketKeys == "" {
		return nil, nil
	}
	text, err := cfg.TicketKeys()
	if err != nil {
		return nil, err
	}
	keys, err := ticket.ParseSessionKeys(text)
	if err != nil {
		return nil, fmt.Errorf("session-ticket-keys: %s: %w; install the output of pwb ticket keys", cfg.Web.TicketKeys, err)
	}
	return keys, nil
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
