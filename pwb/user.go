package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
)

var jsonFlag = &cli.BoolFlag{Name: "json", Usage: "print as JSON"}

// userCommands are Workbench's names for what an operator does most, and the rest below "users".
func userCommands() []*cli.Command {
	list := &cli.Command{Name: "list-users", Usage: "list the accounts, whose they are and when they were used", Flags: []cli.Flag{jsonFlag}, Action: atDesk(listUsers)}
	lock := &cli.Command{Name: "lock-user", Usage: "end an account's logins", ArgsUsage: "USER", Action: atDesk(setActive(false))}
	unlock := &cli.Command{Name: "unlock-user", Usage: "allow an account's logins again", ArgsUsage: "USER", Action: atDesk(setActive(true))}
	return []*cli.Command{list, lock, unlock, {
		Name:            "users",
		Usage:           "accounts",
		HideHelpCommand: true,
		Subcommands: []*cli.Command{
			{Name: "list", Usage: list.Usage, Flags: list.Flags, Action: list.Action},
			{Name: "show", Usage: "everything that is known of one", ArgsUsage: "USER", Flags: []cli.Flag{jsonFlag}, Action: atDesk(showUser)},
			{Name: "lock", Usage: lock.Usage, ArgsUsage: "USER", Action: lock.Action},
			{Name: "unlock", Usage: unlock.Usage, ArgsUsage: "USER", Action: unlock.Action},
			{Name: "link", Usage: "say whose an account of the machine is", ArgsUsage: "USER SUBJECT", Action: atDesk(linkUser)},
			{
				Name: "import", Usage: "make accounts that keep the uids they had", ArgsUsage: "FILE",
				Description: "FILE has a line NAME,UID,SUBJECT[,FULL NAME[,HOME[,SHELL]]] for each account; all are made, or none. Or it is what Posit Workbench's /scim/v2/Users answers.",
				Flags:       []cli.Flag{&cli.BoolFlag{Name: "dry-run", Usage: "check everything, make nothing"}}, Action: atDesk(importUsers),
			},
			{Name: "status", Usage: "what decides about an account now, and how far its sessions have ended", ArgsUsage: "USER", Flags: []cli.Flag{jsonFlag}, Action: atDesk(statusOfUser)},
			purgeCommand(),
			{Name: "delete", Usage: "take an account away; its name, uid and home stay its own", ArgsUsage: "USER", Action: atDesk(setDeleted(true))},
			{Name: "restore", Usage: "bring a deleted account back", ArgsUsage: "USER", Action: atDesk(setDeleted(false))},
			issueCodeCommand(),
			{
				Name: "preview", Usage: "say which login names usernames would get at a first login", ArgsUsage: "[USERNAME...]",
				Description: "Without arguments, usernames are read from standard input, one a line.",
				Flags:       []cli.Flag{jsonFlag}, Action: atDesk(previewUsers),
			},
		},
	}}
}

// asJSON is an account as scripts see it.
func asJSON(a store.Account) map[string]any {
	out := map[string]any{
		"name": a.Name, "state": a.State(), "active": a.Active && a.Deleted.IsZero(), "issuer": a.Identity.Issuer, "subject": a.Identity.Subject,
		"locked": a.Locked, "deactivated": a.Withdrawn, "managed": a.Managed, "username": a.Identity.Username, "first_login": moment(a.FirstLogin), "last_login": moment(a.LastLogin),
	}
	if a.UID != 0 {
		out["uid"], out["gid"], out["gecos"], out["home"], out["shell"] = a.UID, a.GID(), a.Gecos, a.Home, a.Shell
		out["groups_known"] = []string{"never told", "as told last", "stale"}[a.Groups]
	}
	return out
}

func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC()
}

func when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

func listUsers(d *desk) error {
	all, err := d.store.Accounts(d.Context.Context)
	if err != nil {
		return err
	}
	if d.Bool("json") {
		out := []map[string]any{}
		for _, a := range all {
			out = append(out, asJSON(a))
		}
		return d.json(out)
	}
	w := tabwriter.NewWriter(d.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tUID\tSTATE\tUSERNAME\tLAST LOGIN\tSUBJECT")
	for _, a := range all {
		uid := "local"
		if a.UID != 0 {
			uid = strconv.FormatUint(uint64(a.UID), 10)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", a.Name, uid, a.State(), a.Identity.Username, when(a.LastLogin), a.Identity.Key())
	}
	return w.Flush()
}

func showUser(d *desk) error {
	a, err := d.account(d.one("USER"))
	if err != nil {
		return err
	}
	groups, err := d.store.GroupsOf(d.Context.Context, a.Name)
	if err != nil {
		return err
	}
	if d.Bool("json") {
		out := asJSON(a)
		list := []map[string]any{}
		for _, g := range groups {
			list = append(list, map[string]any{"name": g.Name, "gid": g.GID, "object": g.Object})
		}
		out["groups"] = list
		return d.json(out)
	}
	w := tabwriter.NewWriter(d.out, 0, 8, 2, ' ', 0)
	row := func(what, format string, args ...any) { fmt.Fprintf(w, what+"\t"+format+"\n", args...) }
	row("name", "%s", a.Name)
	row("state", "%s", a.State())
	row("username", "%s", a.Identity.Username)
	row("issuer", "%s", a.Identity.Issuer)
	row("subject", "%s", a.Identity.Subject)
	row("first login", "%s", when(a.FirstLogin))
	row("last login", "%s", when(a.LastLogin))
	if a.UID == 0 {
		row("account", "the machine's own, linked; getent passwd %s shows it", a.Name)
		return w.Flush()
	}
	row("uid, gid", "%d", a.UID)
	row("full name", "%s", a.Gecos)
	row("home", "%s", a.Home)
	row("shell", "%s", a.Shell)
	for _, g := range groups {
		row("group", "%s (gid %d, object %s)", g.Name, g.GID, g.Object)
	}
	if a.Groups == store.Stale {
		row("groups", "as of an earlier login: the provider has left them out of the last ticket")
	}
	return w.Flush()
}

func setActive(active bool) func(*desk) error {
	return func(d *desk) error {
		name, err := d.one("USER")
		if err != nil {
			return err
		}
		if err := d.store.SetActive(d.Context.Context, account.Name(name), active); err != nil {
			return err
		}
		return d.changed(map[bool]string{false: "lock-user", true: "unlock-user"}[active], map[string]any{"user": name})
	}
}

func setDeleted(deleted bool) func(*desk) error {
	return func(d *desk) error {
		a, err := d.account(d.one("USER"))
		if err != nil {
			return err
		}
		name := a.Name
		if deleted && a.UID == 0 {
			return fmt.Errorf("account %q is the machine's own: pwb lock-user %s ends its logins with tickets, userdel(8) removes it", name, name)
		}
		if err := d.store.SetDeleted(d.Context.Context, a.Name, deleted); err != nil {
			return err
		}
		if deleted {
			d.say("%s is gone; its home %s and uid %d stay its own (pwb users restore %s)", name, a.Home, a.UID, name)
		}
		return d.changed(map[bool]string{true: "delete-user", false: "restore-user"}[deleted], map[string]any{"user": name, "uid": a.UID})
	}
}

// issuer is whose people the machine's are; commands that bind an account need it.
func (d *desk) issuer() (string, error) {
	if d.trouble != nil {
		return "", d.trouble
	}
	if !d.config.OpenID { // a node that takes session tickets alone knows nobody's identity
		return "", config.ErrNotConfigured
	}
	return d.config.Issuer, nil
}

func linkUser(d *desk) error {
	if d.NArg() != 2 {
		return cli.Exit("users link: USER and SUBJECT, the person's Object ID at Entra ID, the sub claim elsewhere", 2)
	}
	issuer, err := d.issuer()
	if err != nil {
		return err
	}
	name, err := account.ParseName(d.Args().Get(0))
	if err != nil {
		return err
	}
	subject, err := ticket.Subject(issuer, d.Args().Get(1))
	if err != nil {
		return err
	}
	uid, err := d.uidToLink(name)
	if err != nil {
		return err
	}
	id := account.Identity{Issuer: issuer, Subject: subject}
	if err := d.store.Link(d.Context.Context, name, id); err != nil {
		return err
	}
	return d.changed("link-user", map[string]any{"user": name, "uid": uid, "subject": id.Key()})
}

// uidToLink finds the account that is to be linked: one that the provider has made, or the machine's own.
func (d *desk) uidToLink(name account.Name) (account.UID, error) {
	a, err := d.store.ByName(d.Context.Context, name)
	if err == nil && a.UID != 0 {
		return a.UID, nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return 0, err
	}
	entry, err := others.ByName(string(name))
	if err != nil {
		return 0, err
	}
	if entry.UID < account.UID(d.config.MinUID) {
		return 0, fmt.Errorf("account %q has uid %d, below %d (auth-minimum-user-id): it belongs to the system", name, entry.UID, d.config.MinUID)
	}
	return entry.UID, nil
}

func previewUsers(d *desk) error {
	usernames := d.Args().Slice()
	if len(usernames) == 0 {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			if line := strings.TrimSpace(lines.Text()); line != "" {
				usernames = append(usernames, line)
			}
		}
	}
	if d.trouble != nil {
		return d.trouble
	}
	refused := 0
	all := d.accounts.Preview(d.Context.Context, usernames)
	out := []map[string]any{}
	w := tabwriter.NewWriter(d.out, 0, 8, 2, ' ', 0)
	for _, p := range all {
		row := map[string]any{"username": p.Username, "name": p.Name}
		text := string(p.Name)
		if p.Err != nil {
			refused++
			row["name"], row["refused"] = nil, p.Err.Error()
			text = "refused: " + p.Err.Error()
		}
		out = append(out, row)
		fmt.Fprintf(w, "%q\t%s\n", p.Username, text)
	}
	var err error
	if d.Bool("json") {
		err = d.json(out)
	} else {
		err = w.Flush()
	}
	if err == nil && refused > 0 {
		return cli.Exit("", 1)
	}
	return err
}
