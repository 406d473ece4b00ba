package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/store"
)

func explainLoginCommand() *cli.Command {
	return &cli.Command{
		Name:      "explain-login",
		Usage:     "walk through everything that decides about a login, and say what decides; no ticket is needed",
		ArgsUsage: "USER [SERVICE]",
		Flags:     []cli.Flag{jsonFlag},
		Action:    atDesk(explainLogin),
	}
}

// answerOf is one thing that was looked at. The first that refuses decides.
type answerOf struct {
	Rule    string `json:"rule"`
	Says    string `json:"says"`
	Refuses bool   `json:"refuses"`
}

func explainLogin(d *desk) error {
	if d.NArg() < 1 || d.NArg() > 2 {
		return cli.Exit("explain-login: USER, and a PAM SERVICE if you like", 2)
	}
	answers := d.answers(d.Args().Get(0), d.Args().Get(1))
	decides := ""
	for _, a := range answers {
		if a.Refuses {
			decides = a.Rule
			break
		}
	}
	if d.Bool("json") {
		err := d.json(map[string]any{"user": d.Args().Get(0), "answers": answers, "let_in": decides == "", "decided_by": decides})
		if err == nil && decides != "" {
			return cli.Exit("", 1)
		}
		return err
	}
	d.printAnswers(answers, decides)
	if decides != "" {
		fmt.Fprintf(d.out, "refused by: %s\n", decides)
		return cli.Exit("", 1)
	}
	fmt.Fprintln(d.out, "let in, with a good ticket of this person's")
	return nil
}

func (d *desk) printAnswers(answers []answerOf, decides string) {
	for _, a := range answers {
		mark := "  "
		switch {
		case a.Refuses && a.Rule == decides:
			mark = "->"
		case a.Refuses:
			mark = "no"
		}
		fmt.Fprintf(d.out, "%s %-24s %s\n", mark, a.Rule, a.Says)
	}
}

func (d *desk) answers(name, service string) (all []answerOf) {
	say := func(rule, format string, args ...any) {
		all = append(all, answerOf{Rule: rule, Says: fmt.Sprintf(format, args...)})
	}
	refuse := func(rule string, err error) {
		all = append(all, answerOf{rule, strings.ReplaceAll(err.Error(), "\n", "; "), true})
	}
	ctx := d.Context.Context
	if d.trouble != nil {
		refuse("configuration", fmt.Errorf("nobody is decided about: %w", d.trouble))
		return all
	}
	say("configuration", "in force; issuer %s", d.config.Issuer)
	if service != "" {
		for _, f := range checkService(d.root, service) {
			if f.level == serious {
				refuse("PAM service "+service, fmt.Errorf("%s; %s", f.says, f.do))
			} else {
				say("PAM service "+service, "%s", f.says)
			}
		}
	}
	a, err := d.store.ByName(ctx, account.Name(name))
	if errors.Is(err, store.ErrNotFound) {
		d.explainStranger(name, say, refuse)
		return all
	}
	if err != nil {
		refuse("account store", err)
		return all
	}
	say("binding", "%s is %s's (username %q), last seen %s", name, a.Identity.Key(), a.Identity.Username, when(a.LastLogin))
	if s := a.State(); s != "active" {
		refuse("state", fmt.Errorf("%s; pwb users %s %s brings it back", s, map[string]string{"locked": "unlock", "deleted": "restore"}[s], name))
	} else {
		say("state", "active")
	}
	if lowest := account.UID(d.config.MinUID); a.UID != 0 && a.UID < lowest {
		refuse("auth-minimum-user-id", fmt.Errorf("uid %d is below %d", a.UID, lowest))
	}
	if err := d.accounts.Conflict(ctx, a.Name); err != nil {
		refuse("the machine's accounts", err)
	} else {
		say("the machine's accounts", "none stands in the way")
	}
	for _, step := range d.accounts.Explain(ctx, a) {
		if step.Err != nil {
			refuse(step.Rule, errors.New(step.Says))
		} else {
			say(step.Rule, "%s", step.Says)
		}
	}
	if a.UID != 0 && a.Deleted.IsZero() && d.root == "" {
		d.explainLookUp(name, say, refuse)
	}
	return all
}

// explainStranger is about a name that no identity is bound to.
func (d *desk) explainStranger(name string, say func(string, string, ...any), refuse func(string, error)) {
	entry, err := others.ByName(name)
	switch {
	case err == nil && entry.UID < account.UID(d.config.MinUID):
		refuse("binding", fmt.Errorf("%s is a system account (uid %d): never opened with a ticket; other modules decide about it", name, entry.UID))
	case err == nil && d.config.Registers():
		refuse("binding", fmt.Errorf("%s is the machine's own account, and nobody's at the provider; pwb users link %s SUBJECT says whose it is", name, name))
	case err == nil:
		say("binding", "nobody's yet: the first good ticket whose username gives %s binds it", name)
	case !errors.Is(err, passwd.ErrNotFound):
		refuse("the machine's accounts", err)
	case d.config.Registers():
		say("binding", "there is no such account: the first good ticket whose username gives %s makes it; hosts that look before they ask (sshd, su) must wait for that", name)
	default:
		refuse("binding", fmt.Errorf("there is no such account, and none is made (user-provisioning-register-on-first-login)"))
	}
}

func (d *desk) explainLookUp(name string, say func(string, string, ...any), refuse func(string, error)) {
	out, err := exec.Command("getent", "passwd", name).Output() // a program like others, with all of nsswitch.conf
	if err != nil {
		refuse("look-up", fmt.Errorf("getent passwd %s finds nothing: hosts that look first refuse; run pwb doctor", name))
		return
	}
	say("look-up", "%s", strings.TrimSpace(string(out)))
}
