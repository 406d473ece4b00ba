package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pwb-project/pwb/internal/scim"
	"github.com/pwb-project/pwb/internal/store"
)

const (
	tokenDays   = 365
	overlapDays = 7
	maxDays     = 3650
)

// userServiceCommand is Workbench's name for what an identity provider needs to manage accounts.
func userServiceCommand() *cli.Command {
	duration := &cli.StringFlag{Name: "duration", Value: strconv.Itoa(tokenDays), Usage: "days until the token expires"}
	noExpiry := &cli.BoolFlag{Name: "no-expiry", Usage: "the token never expires"}
	return &cli.Command{
		Name:            "user-service",
		Usage:           "the tokens by which an identity provider manages accounts (SCIM)",
		HideHelpCommand: true,
		Subcommands: []*cli.Command{
			{
				Name: "generate-token", Usage: "make a token and print it, this once", ArgsUsage: "NAME", Flags: []cli.Flag{duration, noExpiry,
					&cli.StringFlag{Name: "scope", Value: scim.ScopeWrite, Usage: scim.ScopeWrite + " or " + scim.ScopeRead},
					&cli.StringSliceFlag{Name: "cidr", Usage: "accept it from this range of addresses alone; may be given again"},
				}, Action: atDesk(generateToken),
			},
			{Name: "list-tokens", Usage: "list the tokens, never their secrets", Flags: []cli.Flag{jsonFlag}, Action: atDesk(listTokens)},
			{
				Name: "revoke-token", Usage: "end a token, at once", ArgsUsage: "NAME", Flags: []cli.Flag{
					&cli.StringFlag{Name: "id", Usage: "the token of this id alone"}, &cli.BoolFlag{Name: "all", Usage: "every token"},
				}, Action: atDesk(revokeToken),
			},
			{
				Name: "rotate-token", Usage: "make a token beside the one of that name, which ends after a while", ArgsUsage: "NAME", Flags: []cli.Flag{
					&cli.StringFlag{Name: "overlap", Value: strconv.Itoa(overlapDays), Usage: "days for which both are good"}, duration, noExpiry,
				}, Action: atDesk(rotateToken),
			},
		},
	}
}

// nameAndFlags lets flags stand behind the name too, as Workbench's command does.
func (d *desk) nameAndFlags(what string) (string, error) {
	args := d.Args().Slice()
	if len(args) > 1 && strings.HasPrefix(args[1], "-") {
		again := append([]string{}, args[1:]...)
		set := d.Context
		for len(again) > 0 {
			name, value, inline := strings.Cut(strings.TrimLeft(again[0], "-"), "=")
			again = again[1:]
			if !inline {
				switch name {
				case "no-expiry", "all", "json", "remove-home":
					value = "true"
				default:
					if len(again) == 0 {
						return "", cli.Exit(fmt.Sprintf("%s: --%s needs a value", d.Command.FullName(), name), 2)
					}
					value, again = again[0], again[1:]
				}
			}
			if err := set.Set(name, value); err != nil {
				return "", cli.Exit(fmt.Sprintf("%s: --%s: %v", d.Command.FullName(), name, err), 2)
			}
		}
		args = args[:1]
	}
	if len(args) != 1 || strings.TrimSpace(args[0]) == "" {
		return "", cli.Exit(fmt.Sprintf("%s: one %s", d.Command.FullName(), what), 2)
	}
	return args[0], nil
}

func days(flag, text string) (time.Duration, error) {
	n, err := strconv.Atoi(strings.TrimSuffix(text, "d"))
	if err != nil || n < 1 || n > maxDays {
		return 0, cli.Exit(fmt.Sprintf("--%s: %q is no number of days from 1 to %d", flag, text, maxDays), 2)
	}
	return time.Duration(n) * 24 * time.Hour, nil
}

// newToken makes a token as the flags say.
func (d *desk) newToken(name string) (text string, t store.Token, err error) {
	for _, r := range name {
		if r < ' ' || r == 0x7f {
			return "", t, fmt.Errorf("the name %q has a control character", name)
		}
	}
	if len(name) > 200 {
		return "", t, fmt.Errorf("the name has %d bytes, over 200", len(name))
	}
	text, id, hash, err := scim.NewToken()
	if err != nil {
		return "", t, err
	}
	now := time.Now()
	t = store.Token{ID: id, Name: name, Hash: hash, Created: now, Creator: whoAsks()}
	if !d.Bool("no-expiry") {
		life, err := days("duration", d.String("duration"))
		if err != nil {
			return "", t, err
		}
		t.Expires = now.Add(life)
	}
	return text, t, nil
}

// whoAsks is for a reader's eyes; nothing is decided by it.
func whoAsks() string {
	if sudo := os.Getenv("SUDO_USER"); sudo != "" && os.Geteuid() == 0 {
		return sudo
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
}

func generateToken(d *desk) error {
	name, err := d.nameAndFlags("NAME")
	if err != nil {
		return err
	}
	text, t, err := d.newToken(name)
	if err != nil {
		return err
	}
	t.Scope = d.String("scope")
	if t.Scope != scim.ScopeWrite && t.Scope != scim.ScopeRead {
		return cli.Exit(fmt.Sprintf("--scope: %q is neither %s nor %s", t.Scope, scim.ScopeWrite, scim.ScopeRead), 2)
	}
	for _, one := range d.StringSlice("cidr") {
		p, err := netip.ParsePrefix(one)
		if err != nil {
			return cli.Exit(fmt.Sprintf("--cidr: %q is no range of addresses such as 20.0.0.0/8", one), 2)
		}
		t.CIDRs = append(t.CIDRs, p.Masked())
	}
	if err := d.store.PutToken(d.Context.Context, t); err != nil {
		return err
	}
	return d.handOver("generate-token", text, t)
}

// handOver prints a token, alone on the last line; it is nowhere else.
func (d *desk) handOver(event, text string, t store.Token) error {
	fields := map[string]any{"token": t.ID, "name": t.Name, "scope": t.Scope, "expires": moment(t.Expires)}
	if err := d.keep(event, fields); err != nil {
		return err
	}
	d.say("token %q, id %s, expires: %s; it is shown this once", t.Name, t.ID, when(t.Expires))
	_, err := fmt.Fprintln(d.out, text)
	return err
}

func rotateToken(d *desk) error {
	name, err := d.nameAndFlags("NAME")
	if err != nil {
		return err
	}
	overlap, err := days("overlap", d.String("overlap"))
	if err != nil {
		return err
	}
	text, t, err := d.newToken(name)
	if err != nil {
		return err
	}
	until := time.Now().Add(overlap)
	if err := d.store.RotateToken(d.Context.Context, t, until); err != nil {
		return err
	}
	d.say("the token before stays good until %s", when(until))
	return d.handOver("rotate-token", text, t)
}

func revokeToken(d *desk) error {
	var name string
	id, all := d.String("id"), d.Bool("all")
	if id == "" && !all {
		var err error
		if name, err = d.nameAndFlags("NAME, or --id ID, or --all"); err != nil {
			return err
		}
	}
	if id != "" && all || (d.String("id") != "" || d.Bool("all")) && d.NArg() > 0 { // more would end than is meant
		return cli.Exit(d.Command.FullName()+": one of NAME, --id ID and --all", 2)
	}
	ended, err := d.store.RevokeTokens(d.Context.Context, name, id)
	if err != nil {
		return err
	}
	if len(ended) == 0 && !all {
		return fmt.Errorf("no token %q is in force; pwb user-service list-tokens lists them", name+id)
	}
	for _, t := range ended {
		if err := d.keep("revoke-token", map[string]any{"token": t.ID, "name": t.Name}); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.out, "%d tokens revoked\n", len(ended))
	return nil
}

func tokenState(t store.Token, now time.Time) string {
	switch {
	case !t.Revoked.IsZero():
		return "revoked"
	case !t.Live(now):
		return "expired"
	}
	return "live"
}

func listTokens(d *desk) error {
	all, err := d.store.Tokens(d.Context.Context)
	if err != nil {
		return err
	}
	now := time.Now()
	out := []map[string]any{}
	w := tabwriter.NewWriter(d.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tTOKEN\tSCOPE\tSTATE\tCREATED\tEXPIRES\tLAST USED\tFROM")
	for _, t := range all {
		from := make([]string, len(t.CIDRs))
		for i, c := range t.CIDRs {
			from[i] = c.String()
		}
		out = append(out, map[string]any{
			"id": t.ID, "name": t.Name, "scope": t.Scope, "state": tokenState(t, now), "created": moment(t.Created), "creator": t.Creator,
			"expires": moment(t.Expires), "last_used": moment(t.LastUsed), "revoked": moment(t.Revoked), "cidrs": from,
		})
		expires := "never"
		if !t.Expires.IsZero() {
			expires = when(t.Expires)
		}
		fmt.Fprintf(w, "%s\tpwb_scim_%s_…\t%s\t%s\t%s\t%s\t%s\t%s\n", t.Name, t.ID, t.Scope, tokenState(t, now), when(t.Created), expires, when(t.LastUsed), fallbackText(strings.Join(from, ","), "anywhere"))
	}
	if d.Bool("json") {
		return d.json(out)
	}
	warnings, err := expiring(d.Context.Context, d.store, now)
	for _, text := range warnings {
		d.say("%s", text)
	}
	if err != nil {
		return err
	}
	return w.Flush()
}

func fallbackText(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
