package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
)

func groupsCommand() *cli.Command {
	return &cli.Command{
		Name:            "groups",
		Usage:           "the provider's groups, as this machine knows them",
		HideHelpCommand: true,
		Flags:           []cli.Flag{jsonFlag},
		Action:          atDesk(listGroups),
		Subcommands: []*cli.Command{
			{Name: "list", Usage: "list them", Flags: []cli.Flag{jsonFlag}, Action: atDesk(listGroups)},
			{Name: "show", Usage: "one group's members", ArgsUsage: "GROUP", Flags: []cli.Flag{jsonFlag}, Action: atDesk(showGroup)},
			{Name: "rename", Usage: "give a group another name; its gid stays", ArgsUsage: "GROUP NAME", Action: atDesk(renameGroup)},
		},
	}
}

func listGroups(d *desk) error {
	if d.NArg() > 0 {
		return cli.Exit(fmt.Sprintf("groups: no command %q; pwb groups --help lists them", d.Args().First()), 2)
	}
	all, err := d.store.Groups(d.Context.Context)
	if err != nil {
		return err
	}
	if d.Bool("json") {
		out := []map[string]any{}
		for _, g := range all {
			out = append(out, map[string]any{"name": g.Name, "gid": g.GID, "members": g.Members, "issuer": g.Issuer, "object": g.Object})
		}
		return d.json(out)
	}
	w := tabwriter.NewWriter(d.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tGID\tMEMBERS\tOBJECT")
	for _, g := range all {
		fmt.Fprintf(w, "%s\t%d\t%d\t%q\n", g.Name, g.GID, g.Members, g.Object)
	}
	return w.Flush()
}

func (d *desk) group(name string) (store.Group, error) {
	all, err := d.store.Groups(d.Context.Context)
	if err != nil {
		return store.Group{}, err
	}
	for _, g := range all {
		if string(g.Name) == name || g.Object == name {
			return g, nil
		}
	}
	return store.Group{}, fmt.Errorf("no group %q; pwb groups lists them", name)
}

func showGroup(d *desk) error {
	name, err := d.one("GROUP")
	if err != nil {
		return err
	}
	g, err := d.group(name)
	if err != nil {
		return err
	}
	members, err := d.store.MembersOf(d.Context.Context, g.GID)
	if err != nil {
		return err
	}
	if d.Bool("json") {
		return d.json(map[string]any{"name": g.Name, "gid": g.GID, "issuer": g.Issuer, "object": g.Object, "members": append([]string{}, members...)})
	}
	fmt.Fprintf(d.out, "%s (gid %d, object %q): %s\n", g.Name, g.GID, g.Object, strings.Join(members, " "))
	return nil
}

func renameGroup(d *desk) error {
	if d.NArg() != 2 {
		return cli.Exit("groups rename: GROUP and NAME", 2)
	}
	g, err := d.group(d.Args().Get(0))
	if err != nil {
		return err
	}
	to, err := account.ParseName(d.Args().Get(1))
	if err != nil {
		return err
	}
	if holder, err := d.accounts.NameOnMachine(to); err != nil {
		return err
	} else if holder != "" {
		return fmt.Errorf("%q is %s", to, holder)
	}
	if err := d.store.RenameGroup(d.Context.Context, g.Name, to); err != nil {
		return err
	}
	return d.changed("rename-group", map[string]any{"group": g.Name, "to": to, "gid": g.GID})
}
