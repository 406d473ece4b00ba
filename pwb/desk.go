package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/syslog"
	"os"
	"os/user"

	"github.com/urfave/cli/v2"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
)

// desk is what an operator's command about accounts works with.
type desk struct {
	*cli.Context
	root     config.Root
	config   *config.Config
	trouble  error // why the configuration is not in force; accounts can be seen and locked all the same
	store    *store.Store
	accounts *provision.Provisioner
	out      io.Writer
}

func atDesk(do func(*desk) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		r, err := root(c)
		if err != nil {
			return err
		}
		cfg, trouble := loadConfig(r)
		s, err := openStore(c.Context, r, true)
		if err != nil {
			return err
		}
		d := &desk{Context: c, root: r, config: cfg, trouble: trouble, store: s, out: c.App.Writer}
		d.accounts = provisioner(r, cfg, s, func(err error) { d.say("%v", err) })
		return errors.Join(do(d), s.Close())
	}
}

func (d *desk) say(format string, args ...any) {
	fmt.Fprintf(d.App.ErrWriter, "pwb: "+format+"\n", args...)
}

// one returns the command's only argument.
func (d *desk) one(what string) (string, error) {
	if d.NArg() != 1 || d.Args().First() == "" {
		return "", cli.Exit(fmt.Sprintf("%s: one %s", d.Command.FullName(), what), 2)
	}
	return d.Args().First(), nil
}

// account returns the account of a name, which comes with why there is none.
func (d *desk) account(name string, err error) (store.Account, error) {
	if err != nil {
		return store.Account{}, err
	}
	return d.store.ByName(d.Context.Context, account.Name(name))
}

func (d *desk) json(v any) error {
	e := json.NewEncoder(d.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// changed is the end of every command that has changed an account: it is kept who did it, and every program sees it.
func (d *desk) changed(event string, fields map[string]any) error {
	auditErr := d.keep(event, fields)
	if err := d.accounts.Publish(d.Context.Context); err != nil {
		return errors.Join(auditErr, fmt.Errorf("done, and not shown to other programs yet: %w", err))
	}
	return auditErr
}

// keep notes in the audit file who did what.
func (d *desk) keep(event string, fields map[string]any) error {
	who := map[string]any{"by_uid": os.Getuid()}
	if u, err := user.Current(); err == nil {
		who["by"] = u.Username
	}
	if sudo := os.Getenv("SUDO_USER"); sudo != "" && os.Geteuid() == 0 { // for a reader's eyes; nothing is decided by it
		who["sudo_user"] = sudo
	}
	for k, v := range fields {
		who[k] = v
	}
	auditErr := auditLog(d.root).Append(event, who)
	if d.root == "" {
		tellSyslog(event, fields)
	}
	return auditErr
}

// tellSyslog is the copy that root on this machine cannot take back, where the system's log is kept elsewhere too.
func tellSyslog(event string, fields map[string]any) {
	w, err := syslog.New(syslog.LOG_AUTHPRIV|syslog.LOG_NOTICE, "pwb")
	if err != nil {
		return // a machine without a log
	}
	defer w.Close()
	text, err := json.Marshal(fields)
	if err == nil {
		w.Notice(fmt.Sprintf("%s by uid %d: %s", event, os.Getuid(), text))
	}
}
