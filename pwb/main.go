// Command pwb turns OpenID Connect identities into Linux accounts and sessions. This folder holds one file a verb; it is
// the only place that reads configuration, flags and the environment, and hands plain values down.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/homemaker"
)

var version = "unknown" // set by the build

func main() {
	if status, ok := multicall(os.Args); ok {
		os.Exit(status)
	}
	if slices.Equal(os.Args[1:], []string{"worker", "--call"}) {
		os.Exit(answerOneCall())
	}
	if len(os.Args) == 2 && strings.Contains(os.Args[1], " ") { // ssh's prompt; no command has a blank in its name
		os.Exit(askpass(os.Args[1]))
	}
	if err := app().Run(os.Args); err != nil {
		if text := err.Error(); text != "" {
			fmt.Fprintf(os.Stderr, "pwb: %s\n", text)
		}
		homemaker.EndAs(err)
		os.Exit(exitStatus(err))
	}
}

func app() *cli.App {
	return &cli.App{
		Name:            "pwb",
		Usage:           "OpenID Connect identities as Linux accounts and sessions",
		Version:         version,
		Flags:           []cli.Flag{&cli.StringFlag{Name: "root", Usage: "put `DIR` before every path that is read or written", TakesFile: true}},
		HideHelpCommand: true,
		ExitErrHandler:  func(*cli.Context, error) {}, // main prints and exits, once
		Commands: append([]*cli.Command{
			auditCommand(), configCommand(), doctorCommand(), encryptPasswordCommand(), explainLoginCommand(), groupsCommand(), loginCommand(), mkhomedirCommand(), serveCommand(), sessionCommand(), snapshotCommand(), ticketCommand(), workerCommand(),
		}, append(userCommands(), userServiceCommand())...),
		CommandNotFound: func(_ *cli.Context, name string) {
			fmt.Fprintf(os.Stderr, "pwb: no command %q; pwb --help lists them\n", name)
			os.Exit(2)
		},
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
	var coder cli.ExitCoder
	if errors.As(err, &coder) {
		return coder.ExitCode()
	}
	return 1
}
