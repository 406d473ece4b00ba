package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/session"
)

// PAM modules belong to the main thread: keyrings, login uids and limits are set for the thread that calls.
func init() { runtime.LockOSThread() }

// statusNoSession is the exit status when no command ran, so that it is told from the command's own.
const statusNoSession = 125

func sessionCommand() *cli.Command {
	return &cli.Command{
		Name:      "session",
		Usage:     "authenticate a person, open a PAM session, run a command in it",
		ArgsUsage: "USER [-- COMMAND [ARG...]]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "service", Value: "rstudio", Usage: "PAM service, a file in /etc/pam.d"},
			&cli.StringFlag{Name: "ticket-file", Usage: "read the ticket from the first line of `FILE`"},
			&cli.IntFlag{Name: "ticket-fd", Value: -1, Usage: "read the ticket from descriptor `N`"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() < 1 || c.Args().First() == "" {
				return cli.Exit("session: USER is missing", 2)
			}
			args := c.Args().Tail()
			if len(args) > 0 && args[0] == "--" {
				args = args[1:]
			}
			secret, err := readTicket(c.String("ticket-file"), c.Int("ticket-fd"))
			if err != nil {
				return cli.Exit(fmt.Errorf("read the ticket: %w", err), statusNoSession)
			}
			ctx, stop := signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			status, err := session.Run(ctx, session.Plan{
				Service: c.String("service"), User: c.Args().First(), Command: args, Ticket: secret, Invoker: invoker(),
				Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
			})
			return sessionResult(ctx, status, err)
		},
	}
}

func sessionResult(ctx context.Context, status int, err error) error {
	switch {
	case err != nil && ctx.Err() != nil:
		return cli.Exit("session: interrupted", statusNoSession)
	case err != nil:
		return cli.Exit(fmt.Errorf("session: %w", err), statusNoSession)
	case status != 0:
		return cli.Exit("", status)
	}
	return nil
}

// readTicket reads the ticket from where it was said to be, from standard input when that is no terminal, or returns nil: then
// the person is asked. There is no way to give it as an argument or in the environment, where others could see it.
func readTicket(file string, fd int) ([]byte, error) {
	switch {
	case file != "" && fd >= 0:
		return nil, errors.New("--ticket-file and --ticket-fd exclude each other")
	case file != "":
		f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return session.ReadLine(f)
	case fd >= 0:
		f := os.NewFile(uintptr(fd), fmt.Sprintf("descriptor %d", fd))
		if f == nil {
			return nil, fmt.Errorf("descriptor %d is not open", fd)
		}
		if fd > 2 {
			defer f.Close()
		}
		return session.ReadLine(f)
	}
	if _, err := unix.IoctlGetTermios(0, unix.TCGETS); err == nil {
		return nil, nil
	}
	line, err := session.ReadLine(os.Stdin)
	if errors.Is(err, session.ErrNoAnswer) || errors.Is(err, io.EOF) {
		return nil, nil // a stack that asks nothing needs none; one that asks will say so
	}
	return line, err
}

// invoker is PAM_RUSER: who runs this.
func invoker() string {
	entry, err := passwd.ByUID(account.UID(os.Getuid()))
	if err != nil {
		return ""
	}
	return entry.Name
}
