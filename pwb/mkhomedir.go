package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/homedir"
	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/passwd"
)

// Exit statuses of the home makers: PAM's codes, as mkhomedir_helper(8) has always used them.
const (
	statusDenied  = 6
	statusUnknown = 10
	statusSession = 14
)

func mkhomedirCommand() *cli.Command {
	return &cli.Command{
		Name:      "mkhomedir",
		Usage:     "make a person's home directory from the skeleton, whole or not at all",
		ArgsUsage: "USER",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "umask", Usage: "permission bits to take away, octal (default: login.defs, else 022)"},
			&cli.StringFlag{Name: "skel", Usage: "copy `DIR` (default: /etc/skel)"},
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would be done"},
			&cli.BoolFlag{Name: "no-sync", Usage: "do not wait until the home is on the disk"},
			&cli.BoolFlag{Name: "json", Usage: "print the result as JSON"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return cli.Exit("mkhomedir: one USER, after the options", 2)
			}
			r, err := root(c)
			if err != nil {
				return err
			}
			h := &homeMaker{root: r, user: c.Args().First(), skel: c.String("skel"), dryRun: c.Bool("dry-run"), noSync: c.Bool("no-sync")}
			if c.IsSet("umask") {
				h.umask = new(string)
				*h.umask = c.String("umask")
			}
			result, err := h.make(c.Context)
			if err != nil {
				return cli.Exit(err, homeStatus(err))
			}
			return h.print(c.App.Writer, result, c.Bool("json"))
		},
	}
}

// homeMaker is one request to make a home, from whichever command line.
type homeMaker struct {
	root           config.Root
	user           string
	umask          *string // nil: login.defs
	homeMode       string  // "": what umask or login.defs say
	skel           string
	empty          bool // copy nothing
	dryRun, noSync bool
	quiet          bool
}

func (h *homeMaker) make(ctx context.Context) (homedir.Result, error) {
	unboundProcess()
	entry, err := h.lookUp()
	if err != nil {
		return homedir.Result{}, err
	}
	opts, err := h.options()
	if err != nil {
		return homedir.Result{}, err
	}
	if h.root != "" && entry.Home != "" {
		entry.Home = h.root.Join(entry.Home)
	}
	if h.empty {
		dir, err := os.MkdirTemp("", "pwb-empty-")
		if err != nil {
			return homedir.Result{}, err
		}
		defer os.Remove(dir)
		opts.Skel = dir
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if opts.Progress != nil {
		defer clearProgress(os.Stderr)
	}
	return homedir.Make(ctx, entry.Home, homedir.Owner{UID: uint32(entry.UID), GID: uint32(entry.GID)}, opts)
}

func (h *homeMaker) options() (homedir.Options, error) {
	warn := func(text string) { fmt.Fprintf(os.Stderr, "pwb: %s\n", text) }
	opts := homedir.Options{Skel: h.skel, DryRun: h.dryRun, NoSync: h.noSync, Warn: warn, LockDir: h.root.Join(homedir.DefaultLockDir)}
	if h.skel == "" && h.root != "" {
		opts.Skel = h.root.Join(homedir.DefaultSkel)
	}
	if h.umask != nil {
		mask, err := homedir.ParseUmask(*h.umask)
		if err != nil {
			return opts, fmt.Errorf("umask %w", err)
		}
		opts.Modes = homedir.WithUmask(mask)
	} else {
		opts.Modes = homedir.Defaults(h.root.Join("/etc/login.defs"), warn)
	}
	if h.homeMode != "" {
		mode, err := homedir.ParseUmask(h.homeMode)
		if err != nil {
			return opts, fmt.Errorf("mode of the home %w", err)
		}
		opts.Modes.Home = mode | 0o700
	}
	if _, err := unix.IoctlGetTermios(2, unix.TCGETS); err == nil && !h.quiet {
		opts.Progress = progressBar(os.Stderr, time.Now())
	}
	return opts, nil
}

// lookUp finds the account: the machine's, or with --root the one in that tree's passwd file.
func (h *homeMaker) lookUp() (passwd.Entry, error) {
	if h.root == "" {
		return passwd.ByName(h.user)
	}
	f, err := os.Open(h.root.Join("/etc/passwd"))
	if err != nil {
		return passwd.Entry{}, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		field := strings.Split(lines.Text(), ":")
		if len(field) != 7 || field[0] != h.user {
			continue
		}
		uid, uidErr := strconv.ParseUint(field[2], 10, 32)
		gid, gidErr := strconv.ParseUint(field[3], 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return passwd.Entry{}, fmt.Errorf("look up %q: %w", h.user, err)
		}
		return passwd.Entry{Name: field[0], UID: account.UID(uid), GID: account.GID(gid), Home: field[5]}, nil
	}
	return passwd.Entry{}, fmt.Errorf("look up %q: %w", h.user, passwd.ErrNotFound)
}

func (h *homeMaker) print(w io.Writer, r homedir.Result, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(map[string]any{
			"user": h.user, "home": r.Path, "made": r.Made, "dry_run": h.dryRun, "entries": r.Entries, "bytes": r.Bytes, "skipped": r.Skipped,
		})
	}
	switch {
	case r.Made:
		fmt.Fprintf(w, "%s: made, %d entries, %d bytes\n", r.Path, r.Entries, r.Bytes)
	case r.NoHome:
		fmt.Fprintf(w, "%s: no home by convention; nothing made\n", r.Path)
	case h.dryRun && r.Entries > 0:
		fmt.Fprintf(w, "%s: would be made, %d entries, %d bytes\n", r.Path, r.Entries, r.Bytes)
	default:
		fmt.Fprintf(w, "%s: is there; left alone\n", r.Path)
	}
	if r.Skipped > 0 {
		fmt.Fprintf(w, "%d sockets, FIFOs or devices of the skeleton were left out\n", r.Skipped)
	}
	return nil
}

// unboundProcess frees this process, which does nothing else, of what a session may have put on it.
func unboundProcess() {
	signal.Ignore(syscall.SIGXFSZ, syscall.SIGHUP, syscall.SIGPIPE)
	for _, limit := range []int{unix.RLIMIT_FSIZE, unix.RLIMIT_CPU} {
		unix.Setrlimit(limit, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	}
	os.Chdir("/")
}

func homeStatus(err error) int {
	switch {
	case errors.Is(err, passwd.ErrNotFound):
		return statusUnknown
	case errors.Is(err, homedir.ErrUmask), errors.Is(err, homedir.ErrPath):
		return statusSession
	}
	return statusDenied
}

// progressBar draws on a terminal, once a copy has taken a second.
func progressBar(w io.Writer, began time.Time) func(homedir.Progress) {
	return func(p homedir.Progress) {
		if time.Since(began) < time.Second {
			return
		}
		doing := "copying"
		if p.Syncing {
			doing = "writing to disk"
		}
		fmt.Fprintf(w, "\r\x1b[K%s: %d entries, %.1f MiB, %d s", doing, p.Entries, float64(p.Bytes)/(1<<20), int(time.Since(began).Seconds()))
	}
}

func clearProgress(w io.Writer) { fmt.Fprint(w, "\r\x1b[K") }

// multicall plays the programs that pwb can stand in for, by the name it is called with: Linux-PAM's mkhomedir_helper, and
// the mkhomedir of oddjob. ok is false for any other name.
func multicall(argv []string) (status int, ok bool) {
	switch filepath.Base(argv[0]) {
	case "mkhomedir_helper":
		return mkhomedirHelper(argv[1:]), true
	case "mkhomedir":
		return oddjobMkhomedir(argv[1:]), true
	}
	return 0, false
}

// mkhomedirHelper takes the arguments that pam_mkhomedir(8) gives: USER [UMASK [SKEL [HOME_MODE]]].
func mkhomedirHelper(args []string) int {
	if len(args) < 1 || len(args) > 4 {
		fmt.Fprintln(os.Stderr, "usage: mkhomedir_helper USER [UMASK [SKEL [HOME_MODE]]]")
		return statusSession
	}
	h := &homeMaker{user: args[0], quiet: true}
	if len(args) > 1 {
		h.umask = &args[1]
	}
	if len(args) > 2 {
		h.skel, h.empty = args[2], args[2] == ""
	}
	if len(args) > 3 {
		h.homeMode = args[3]
	}
	if _, err := h.make(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "mkhomedir_helper: %v\n", err)
		return homeStatus(err)
	}
	return 0
}

// oddjobMkhomedir takes oddjob's options, and the user's name on standard input or as the last argument.
func oddjobMkhomedir(args []string) int {
	flags := flag.NewFlagSet("mkhomedir", flag.ContinueOnError)
	quiet := flags.Bool("q", false, "say nothing")
	none := flags.Bool("n", false, "copy no skeleton")
	skel := flags.String("s", "", "skeleton")
	umask := flags.String("u", "", "umask, octal")
	if err := flags.Parse(args); err != nil {
		return 1
	}
	user := flags.Arg(0)
	if user == "" {
		line, _ := bufio.NewReader(io.LimitReader(os.Stdin, 4096)).ReadString('\n')
		user = strings.TrimRight(line, "\n")
	}
	h := &homeMaker{user: user, skel: *skel, empty: *none, quiet: true}
	flags.Visit(func(f *flag.Flag) {
		if f.Name == "u" {
			h.umask = umask
		}
	})
	result, err := h.make(context.Background())
	if err != nil {
		fmt.Fprintf(os.Stderr, "mkhomedir: %v\n", err)
		return 1
	}
	if result.Made && !*quiet {
		fmt.Printf("Creating home directory for %s.\n", user)
	}
	return 0
}
