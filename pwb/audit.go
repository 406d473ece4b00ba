package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/pwb-project/pwb/internal/audit"
	"github.com/pwb-project/pwb/internal/config"
)

func auditCommand() *cli.Command {
	return &cli.Command{
		Name:            "audit",
		Usage:           "the file of decisions and changes",
		HideHelpCommand: true,
		Subcommands: []*cli.Command{{
			Name:      "verify",
			Usage:     "find out whether lines were changed, moved or taken out",
			ArgsUsage: "[FILE...]",
			Action: func(c *cli.Context) error {
				r, err := root(c)
				if err != nil {
					return err
				}
				lines, found, err := verifyAudit(r, c.Args().Slice())
				if err != nil {
					return err
				}
				for _, f := range found {
					fmt.Fprintf(c.App.ErrWriter, "pwb: %s\n", f)
				}
				if len(found) > 0 {
					return cli.Exit("", 1)
				}
				fmt.Fprintf(c.App.Writer, "%d lines, whole\n", lines)
				return nil
			},
		}},
	}
}

// verifyAudit reads the files that are named, of which the last is the one in use; without names, root's and the front's.
func verifyAudit(r config.Root, files []string) (lines int64, found []audit.Finding, err error) {
	if n := len(files); n > 0 {
		return (&audit.Log{Path: files[n-1]}).Verify(files...)
	}
	for _, log := range []*audit.Log{auditLog(r), {Path: r.Join(serveAuditPath)}} {
		n, wrong, err := log.Verify(log.Files()...)
		if err != nil {
			return lines, found, err
		}
		lines, found = lines+n, append(found, wrong...)
	}
	return lines, found, nil
}
