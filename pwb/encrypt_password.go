package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/account"
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
			plain, err := askSecret(c.Context)
			if err != nil {
				return fmt.Errorf("read the secret: %w", err)
			}
			if plain, err = pasted(c.App.ErrWriter, plain); err != nil {
				return fmt.Errorf("read the secret: %w", err)
			}
			value, err := encrypt(r, plain, c.Bool("posit-compat"))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.App.Writer, value)
			return err
		},
	}
}

// askSecret asks at the terminal, or takes the first line of standard input where that is none.
func askSecret(ctx context.Context) (string, error) {
	if _, err := unix.IoctlGetTermios(0, unix.TCGETS); err != nil {
		line, err := session.ReadLine(os.Stdin)
		return strings.TrimSuffix(string(line), "\r"), err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	plain, err := session.Ask(ctx, "Client secret: ", false)
	switch {
	case ctx.Err() != nil:
		return "", errors.New("interrupted")
	case errors.Is(err, session.ErrNoTerminal):
		return "", errors.New("no terminal to ask at; give the secret on standard input")
	}
	return plain, err
}

const likeID = "has the form of an id; if it is from Entra ID, take the secret's Value, which is shown once, not its Secret ID"

// pasted looks at what came: a secret is not seen as it is typed, and a wrong one is found out at the first sign-in only.
func pasted(errout io.Writer, plain string) (string, error) {
	trimmed := strings.TrimSpace(plain)
	switch {
	case trimmed == "":
		return "", errors.New("it is empty")
	case secret.Sealed(trimmed) || secret.SealedByWorkbench(trimmed):
		return "", errors.New("it is encrypted already; write it into openid-client-secret as it is")
	case !utf8.ValidString(trimmed) || strings.ContainsFunc(trimmed, unicode.IsControl):
		return "", errors.New("it has control characters, or bytes that are no text; paste the secret alone")
	}
	if trimmed != plain {
		fmt.Fprintln(errout, "pwb: the blanks around the secret are left out")
	}
	if looksLikeID(secret.New(trimmed)) {
		fmt.Fprintf(errout, "pwb: warning: the secret %s\n", likeID)
	}
	return trimmed, nil
}

func looksLikeID(s secret.Text) bool { return account.IsGUID(s.Reveal()) }

func encrypt(r config.Root, plain string, forWorkbench bool) (string, error) {
	loader := config.Loader{Root: r, ServiceUID: serviceUID}
	if forWorkbench {
		key, err := loader.WorkbenchKey()
		if err != nil {
			return "", fmt.Errorf("read Workbench's key: %w", err)
		}
		return secret.SealForWorkbench(key, plain)
	}
	key, err := loader.Key()
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeKey(loader)
	}
	if err != nil {
		return "", err
	}
	if err := lendKey(loader.Root.Join(config.KeyFile)); err != nil {
		return "", err
	}
	return key.Seal("client-secret", plain), nil
}

// lendKey makes the key the service user's, who signs people in with the secret and owns openid-client-secret anyway.
func lendKey(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid := storeOwner()
	if err := os.Lchown(path, uid, gid); err != nil {
		return fmt.Errorf("give the key to %s: %w", serviceUser, err)
	}
	return nil
}

// makeKey makes the key on first use: the guide's operator runs this command before anything else of pwb.
func makeKey(loader config.Loader) (*secret.Key, error) {
	path := loader.Root.Join(config.KeyFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("write a new key: %w", err)
	}
	key, err := secret.CreateKey(path)
	if errors.Is(err, fs.ErrExist) {
		return loader.Key() // another encrypt-password was faster
	}
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w; run as root", err)
	}
	return key, err
}
