package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pwb-project/pwb/internal/snapshot"
)

// snapshotPath is the one that libnss_pwb.so.2 has compiled in; the build sets both.
var snapshotPath = "/var/lib/pwb-nss/users.snap"

func snapshotCommand() *cli.Command {
	return &cli.Command{
		Name:            "snapshot",
		Usage:           "the file that libnss_pwb.so.2 answers from",
		HideHelpCommand: true,
		Subcommands: []*cli.Command{
			{
				Name:  "write",
				Usage: "make it of passwd and group text, for images and migration; the store is not asked",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "passwd", Usage: "text as of passwd(5), from `FILE`", Required: true, TakesFile: true},
					&cli.StringFlag{Name: "group", Usage: "text as of group(5), from `FILE`", Required: true, TakesFile: true},
					&cli.StringFlag{Name: "output", Usage: "write `FILE` (default: where the library looks)", TakesFile: true},
				},
				Action: writeSnapshot,
			},
			{
				Name:      "check",
				Usage:     "read it whole, and say what is in it",
				ArgsUsage: "[FILE]",
				Action:    readSnapshot,
			},
		},
	}
}

func writeSnapshot(c *cli.Context) (err error) {
	if c.NArg() > 0 {
		return cli.Exit("snapshot write: options only", 2)
	}
	r, err := root(c)
	if err != nil {
		return err
	}
	passwd, err := os.Open(c.String("passwd"))
	if err != nil {
		return err
	}
	defer passwd.Close()
	group, err := os.Open(c.String("group"))
	if err != nil {
		return err
	}
	defer group.Close()
	contents, err := snapshot.ReadText(passwd, group, func(why error) { fmt.Fprintf(c.App.ErrWriter, "pwb: left out: %v\n", why) })
	if err != nil {
		return fmt.Errorf("snapshot write: %w", err)
	}
	path := c.String("output")
	if path == "" {
		path = r.Join(snapshotPath)
	}
	w, err := snapshot.Open(c.Context, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	return w.Replace(contents)
}

func readSnapshot(c *cli.Context) error {
	if c.NArg() > 1 {
		return cli.Exit("snapshot check: one FILE", 2)
	}
	r, err := root(c)
	if err != nil {
		return err
	}
	path := r.Join(snapshotPath)
	if c.NArg() == 1 {
		path = c.Args().First()
	}
	_, facts, err := snapshot.Read(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "%s: whole; %d users, %d groups, revision %d, written %s, %d bytes, %d of them for changes\n",
		path, facts.Users, facts.Groups, facts.Revision, facts.Created.UTC().Format(time.RFC3339), facts.Bytes, facts.Spare)
	return nil
}
