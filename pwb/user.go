package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
)

func userCommands() []*cli.Command {
	return []*cli.Command{
		{
			Name:   "list-users",
			Usage:  "list the accounts that have been signed in to, and whose they are",
			Flags:  []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print as JSON"}},
			Action: withStore(listUsers),
		},
		{Name: "lock-user", Usage: "end an account's logins", ArgsUsage: "USER", Action: withStore(setActive(false))},
		{Name: "unlock-user", Usage: "allow an account's logins again", ArgsUsage: "USER", Action: withStore(setActive(true))},
	}
}

func withStore(do func(*cli.Context, *store.Store) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		r, err := root(c)
		if err != nil {
			return err
		}
		s, err := openStore(c.Context, r, true)
		if err != nil {
			return err
		}
		return errors.Join(do(c, s), s.Close())
	}
}

func listUsers(c *cli.Context, s *store.Store) error {
	all, err := s.Accounts(c.Context)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		out := []map[string]any{}
		for _, a := range all {
			out = append(out, map[string]any{"name": a.Name, "issuer": a.Identity.Issuer, "subject": a.Identity.Subject, "username": a.Identity.Username,
				"active": a.Active, "first_login": a.FirstLogin.UTC(), "last_login": a.LastLogin.UTC()})
		}
		return json.NewEncoder(c.App.Writer).Encode(out)
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tUSERNAME\tSUBJECT\tLAST LOGIN")
	for _, a := range all {
		state := "active"
		if !a.Active {
			state = "locked"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.Name, state, a.Identity.Username, a.Identity.Key(), a.LastLogin.UTC().Format(time.RFC3339))
	}
	return w.Flush()
}

func setActive(active bool) func(*cli.Context, *store.Store) error {
	return func(c *cli.Context, s *store.Store) error {
		if c.NArg() != 1 {
			return cli.Exit(c.Command.Name+": one USER", 2)
		}
		return s.SetActive(c.Context, account.Name(c.Args().First()), active)
	}
}
