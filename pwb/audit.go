package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
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
				log := auditLog(r)
				files := c.Args().Slice()
				if len(files) == 0 {
					files = log.Files()
				}
				lines, found, err := log.Verify(files...)
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
