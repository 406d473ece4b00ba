package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/urfave/cli/v2"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
)

// Lifetimes that an operator can give a code: who reads it over the telephone needs longer than who pastes it.
const (
	shortestCode = 60 * time.Second
	longestCode  = 15 * time.Minute
)

func issueCodeCommand() *cli.Command {
	return &cli.Command{
		Name: "issue-code", Usage: "print a code that opens an account once: for a machine's own use, or an emergency", ArgsUsage: "USER",
		Description: "Root only. The code is the last line of standard output.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "reason", Usage: "`TEXT` for the audit file; required"},
			&cli.StringFlag{Name: "service", Usage: "the code is good for this PAM `SERVICE` alone"},
			&cli.StringFlag{Name: "host", Usage: "the code is good on this `HOST` alone"},
			&cli.DurationFlag{Name: "lifetime", Usage: "how long it is good, up to 15m", DefaultText: "code-lifetime"},
		},
		Action: func(c *cli.Context) error {
			if os.Geteuid() != 0 {
				return errors.New("issue-code opens other people's accounts; run as root")
			}
			return atDesk(issueCode)(c)
		},
	}
}

func issueCode(d *desk) error {
	args, err := lateFlags(d.Context)
	if err != nil {
		return err
	}
	if len(args) != 1 || args[0] == "" {
		return cli.Exit("users issue-code: one USER", 2)
	}
	name := args[0]
	reason := strings.TrimSpace(d.String("reason"))
	life := d.Duration("lifetime")
	switch {
	case reason == "" || len(reason) > 500 || strings.ContainsFunc(reason, unicode.IsControl):
		return cli.Exit("users issue-code: --reason TEXT says why, for the audit file", 2)
	case d.IsSet("lifetime") && (life < shortestCode || life > longestCode):
		return cli.Exit(fmt.Sprintf("users issue-code: --lifetime is a time from %v to %v", shortestCode, longestCode), 2)
	case d.trouble != nil:
		return d.trouble
	}
	a, err := d.accounts.Find(d.Context.Context, account.Name(name))
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("account %q: %w; pwb users link %s SUBJECT says whose an account of the machine is", name, err, name)
	}
	if err != nil {
		return err
	}
	if err := d.accounts.Conflict(d.Context.Context, a.Name); err != nil { // also uids below auth-minimum-user-id
		return err
	}
	if a.UID != 0 && uint32(a.UID) < d.config.MinUID {
		return fmt.Errorf("account %q has uid %d, below %d (auth-minimum-user-id): %w", name, a.UID, d.config.MinUID, provision.ErrSystemAccount)
	}
	issued, err := ticketsFor(d.config, d.store).Code(d.Context.Context, a.Name, provision.CodeFor{
		Service: d.String("service"), Host: d.String("host"), By: "pwb users issue-code", Life: life,
	})
	if err != nil {
		return err
	}
	// No code leaves before it is kept who gave it out, and why.
	err = d.keep("issue-code", map[string]any{
		"user": name, "subject": a.Identity.Key(), "reason": reason, "service": d.String("service"), "host": d.String("host"), "expires": when(issued.Expires),
	})
	if err != nil {
		return fmt.Errorf("the code is not shown: %w", err)
	}
	d.say("for %s, once, until %s", name, when(issued.Expires))
	fmt.Fprintln(d.out, issued.Text)
	return nil
}

// lateFlags takes flags that stand behind arguments too, as people write them, and returns the arguments.
func lateFlags(c *cli.Context) (args []string, err error) {
	rest := c.Args().Slice()
	for i := 0; i < len(rest); i++ {
		flag, isFlag := strings.CutPrefix(rest[i], "--")
		if !isFlag {
			args = append(args, rest[i])
			continue
		}
		if flag == "" {
			return append(args, rest[i+1:]...), nil
		}
		name, value, given := strings.Cut(flag, "=")
		if !given {
			if i++; i == len(rest) {
				return nil, cli.Exit(fmt.Sprintf("%s: --%s has no value", c.Command.FullName(), name), 2)
			}
			value = rest[i]
		}
		if err := c.Set(name, value); err != nil {
			return nil, cli.Exit(fmt.Sprintf("%s: --%s: %v", c.Command.FullName(), name, err), 2)
		}
	}
	return args, nil
}
