// Command pwb turns OpenID Connect identities into Linux accounts and sessions. This folder holds one file a verb; it is
// the only place that reads configuration, flags and the environment, and hands plain values down.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/pwb-project/pwb/internal/config"
)

func main() {
	if status, ok := multicall(os.Args); ok {
		os.Exit(status)
	}
	if err := app().Run(os.Args); err != nil {
		fmt.Fprintf(os.Stderr, "pwb: %v\n", err)
		os.Exit(exitStatus(err))
	}
}

func app() *cli.App {
	return &cli.App{
		Name:                 "pwb",
		Usage:                "OpenID Connect identities as Linux accounts and sessions",
		Flags:                []cli.Flag{&cli.StringFlag{Name: "root", Usage: "put `DIR` before every path that is read or written", TakesFile: true}},
		HideHelpCommand:      true,
		EnableBashCompletion: false,
		ExitErrHandler:       func(*cli.Context, error) {}, // main prints and exits, once
		Commands:             []*cli.Command{mkhomedirCommand()},
	}
}

// root returns the value of the global flag --root, made absolute.
func root(c *cli.Context) (config.Root, error) {
	dir := c.String("root")
	if dir == "" {
		return "", nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("--root %q: %w", dir, err)
	}
	return config.Root(abs), nil
}

// exitStatus is the status that the man page promises for an error: 1 unless the error knows better.
func exitStatus(err error) int {
	if coder, ok := err.(cli.ExitCoder); ok {
		return coder.ExitCode()
	}
	return 1
}
