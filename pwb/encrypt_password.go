package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/secret"
	"github.com/pwb-project/pwb/internal/session"
)

func encryptPasswordCommand() *cli.Command {
	return &cli.Command{
		Name:  "encrypt-password",
		Usage: "encrypt a client secret for openid-client-secret",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "posit-compat", Usage: "write Posit Workbench's older format, with its secure-cookie-key; it protects little"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return cli.Exit("encrypt-password: the secret is asked for, or comes on standard input; arguments can be seen by others", 2)
			}
			r, err := root(c)
			if err != nil {
				return err
			}
			plain, err := askSecret(c)
			if err != nil {
				return fmt.Errorf("read the secret: %w", err)
			}
			if plain == "" {
				return errors.New("read the secret: it is empty")
			}
			value, err := encrypt(r, plain, c.Bool("posit-compat"))
			if err != nil {
				return err
			}
			fmt.Fprintln(c.App.Writer, value)
			return nil
		},
	}
}

func askSecret(c *cli.Context) (string, error) {
	if _, err := unix.IoctlGetTermios(0, unix.TCGETS); err == nil {
		ctx, stop := signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		defer stop()
		return session.Ask(ctx, "Client secret: ", false)
	}
	line, err := session.ReadLine(os.Stdin)
	return strings.TrimSuffix(string(line), "\r"), err
}

// encrypt makes the key on first use: the guide's operator runs this command before anything else of pwb.
func encrypt(r config.Root, plain string, forWorkbench bool) (string, error) {
	if forWorkbench {
		key, err := os.ReadFile(r.Join(config.CookieKey))
		if err != nil {
			return "", fmt.Errorf("read Workbench's key: %w", err)
		}
		return secret.SealForWorkbench(key, plain)
	}
	path := r.Join(config.KeyFile)
	key, err := secret.LoadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(r.Join("/etc/rstudio"), 0o755); err != nil {
			return "", err
		}
		if key, err = secret.CreateKey(path); errors.Is(err, fs.ErrExist) {
			key, err = secret.LoadKey(path) // another encrypt-password was faster
		}
	}
	if err != nil {
		return "", err
	}
	return key.Seal("client-secret", plain), nil
}
