package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/evict"
	"github.com/pwb-project/pwb/internal/store"
)

func purgeCommand() *cli.Command {
	return &cli.Command{
		Name: "purge", Usage: "forget the person behind a deleted or locked account; its name and uid are never given again", ArgsUsage: "USER",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "yes", Usage: "the `USER` again, in the place of the question"},
			&cli.StringFlag{Name: "archive", Usage: "write the home into `FILE`, a compressed tar file, first"},
			&cli.BoolFlag{Name: "remove-home", Usage: "remove the home"},
		}, Action: atDesk(purgeUser),
	}
}

// purgeUser asks first: nothing of this can be taken back.
func purgeUser(d *desk) error {
	a, err := d.account(d.nameAndFlags("USER"))
	if err != nil {
		return err
	}
	name := string(a.Name)
	if a.Active && a.Deleted.IsZero() {
		return fmt.Errorf("account %q: %w; pwb lock-user %s", name, store.ErrActive, name)
	}
	home := d.root.Join(a.Home)
	if d.Bool("remove-home") && (a.UID == 0 || a.Home == "") {
		return fmt.Errorf("account %q is the machine's own, and so is its home", name)
	}
	if err := d.confirm(name); err != nil {
		return err
	}
	if d.root == "" && a.UID != 0 {
		if n, err := (evict.Machine{}).Running(a.UID); err != nil || n > 0 {
			return errors.Join(fmt.Errorf("%d processes of %q are running; end them first", n, name), err)
		}
	}
	if to := d.String("archive"); to != "" {
		if err := archiveHome(home, to, a); err != nil {
			return err
		}
	}
	if d.Bool("remove-home") {
		if err := ownHome(home, a); err != nil { // before anything is forgotten
			return err
		}
	}
	if err := d.store.Purge(d.Context.Context, a.Name); err != nil {
		return err
	}
	fields := map[string]any{"user": name, "uid": a.UID, "archive": d.String("archive")}
	var problem error
	if d.Bool("remove-home") {
		problem = removeHome(home, a)
		fields["home_removed"] = problem == nil
	}
	return errors.Join(problem, d.changed("purge-user", fields))
}

// confirm wants the name typed again, on a terminal or behind --yes.
func (d *desk) confirm(name string) error {
	if yes := d.String("yes"); yes != "" {
		if yes != name {
			return cli.Exit(fmt.Sprintf("--yes %s is not %s", yes, name), 2)
		}
		return nil
	}
	if _, err := unix.IoctlGetTermios(int(os.Stdin.Fd()), unix.TCGETS); err != nil {
		return cli.Exit(fmt.Sprintf("purging cannot be undone; say --yes %s where there is no terminal to ask", name), 2)
	}
	fmt.Fprintf(d.App.ErrWriter, "Everything that is known of the person behind %s will be forgotten. Type the name to go on: ", name)
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if strings.TrimSpace(line) != name {
		return errors.Join(cli.Exit("nothing is done", 1), err)
	}
	return nil
}

// ownHome refuses a home that is not the account's: nothing behind a link or of somebody else is ours to pack or to remove.
func ownHome(home string, a store.Account) error {
	st, err := os.Lstat(home)
	if err != nil {
		return err
	}
	if sys := st.Sys().(*syscall.Stat_t); !st.IsDir() || account.UID(sys.Uid) != a.UID {
		return fmt.Errorf("%s is no folder of %q's; nothing is done", home, a.Name)
	}
	return nil
}

// archiveHome has tar(1) pack a home into a new file that only root can read.
func archiveHome(home, to string, a store.Account) error {
	if err := ownHome(home, a); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command("tar", "--create", "--gzip", "--one-file-system", "--numeric-owner", "--xattrs", "--acls", "--directory", filepath.Dir(home), "--", filepath.Base(home))
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("archive %s: %w", home, err), out.Close(), os.Remove(to))
	}
	return errors.Join(out.Sync(), out.Close())
}

// removeHome removes a home whose owner has no processes. os.RemoveAll walks by descriptor and follows no link.
func removeHome(home string, a store.Account) error {
	if err := ownHome(home, a); err != nil {
		return err
	}
	return os.RemoveAll(home)
}

// statusOfUser is what decides about a person at this moment, and what is still under way.
func statusOfUser(d *desk) error {
	a, err := d.account(d.nameAndFlags("USER"))
	if err != nil {
		return err
	}
	all, err := d.store.Evictions(d.Context.Context)
	if err != nil {
		return err
	}
	u, err := d.store.ScimUserOf(d.Context.Context, a.Name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	out := map[string]any{"name": a.Name, "state": a.State(), "locked_by_operator": a.Locked, "deactivated_by_provider": a.Withdrawn, "managed": a.Managed, "uid": a.UID}
	w := tabwriter.NewWriter(d.out, 0, 8, 2, ' ', 0)
	row := func(what, format string, args ...any) { fmt.Fprintf(w, what+"\t"+format+"\n", args...) }
	row("name", "%s", a.Name)
	row("state", "%s", a.State())
	row("operator", "%s", map[bool]string{true: "locked (pwb unlock-user)", false: "allows it"}[a.Locked])
	row("provider", "%s", map[bool]string{true: "deactivated", false: "allows it"}[a.Withdrawn])
	if a.Managed {
		out["scim"] = map[string]any{"id": u.ID, "external_id": u.ExternalID, "user_name": u.UserName, "modified": u.Modified}
		row("SCIM", "%s, id %s, externalId %q, changed %s", u.UserName, u.ID, u.ExternalID, when(u.Modified))
	}
	if a.UID != 0 && d.root == "" {
		if n, err := (evict.Machine{}).Running(a.UID); err == nil {
			out["processes"] = n
			row("processes", "%d", n)
		}
	}
	for _, e := range all {
		if e.Account == a.Name {
			step := []string{"waiting for its grace to end", "asked to end", "being killed"}[min(e.Step, 2)]
			out["sessions"] = map[string]any{"policy": e.Policy, "asked": e.Asked, "due": e.Due, "step": step, "attempts": e.Attempts, "problem": e.Problem}
			row("sessions", "%s, %s; next step %s; %d attempts %s", e.Policy, step, when(e.Due), e.Attempts, e.Problem)
		}
	}
	if d.Bool("json") {
		return d.json(out)
	}
	return w.Flush()
}
