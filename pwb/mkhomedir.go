package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/homedir"
	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/homemaker"
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
			h := &homeMaker{root: r, dryRun: c.Bool("dry-run"), noSync: c.Bool("no-sync")}
			h.User, h.Skel, h.Empty = c.Args().First(), c.String("skel"), c.IsSet("skel") && c.String("skel") == ""
			if c.IsSet("umask") {
				h.Umask = new(string)
				*h.Umask = c.String("umask")
			}
			homemaker.Unbind()
			result, err := h.make(c.Context)
			printErr := h.print(c.App.Writer, result, err, c.Bool("json"))
			if err != nil {
				return cli.Exit(err, homeStatus(err))
			}
			return printErr
		},
	}
}

// homeMaker is one request to make a home, from whichever command line.
type homeMaker struct {
	homemaker.Request
	root           config.Root
	dryRun, noSync bool
	quiet          bool
	warn           func(string)
}

func (h *homeMaker) make(ctx context.Context) (homedir.Result, error) {
	if err := h.enterRoot(); err != nil {
		return homedir.Result{}, err
	}
	entry, err := h.lookUp()
	if err != nil {
		return homedir.Result{}, err
	}
	opts, err := h.options()
	if err != nil {
		return homedir.Result{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	opts.Progress = homemaker.ListenLate(cancel)
	owner := homedir.Owner{UID: uint32(entry.UID), GID: uint32(entry.GID)}
	if isTerminal(2) && !h.quiet {
		bar := &progressBar{w: os.Stderr, began: time.Now(), count: func() (homedir.Result, error) {
			rehearsal := opts
			rehearsal.DryRun, rehearsal.Warn = true, nil
			return homedir.Make(ctx, entry.Home, owner, rehearsal)
		}}
		listen := opts.Progress
		opts.Progress = func(p homedir.Progress) {
			listen(p)
			bar.show(p)
		}
		defer bar.clear()
	}
	return homedir.Make(ctx, entry.Home, owner, opts)
}

// enterRoot makes the tree of --root all that this process sees: a link in an image, /home to /data/home, is meant to lead
// to the image's.
func (h *homeMaker) enterRoot() error {
	if h.root == "" {
		return nil
	}
	if err := errors.Join(syscall.Chroot(string(h.root)), os.Chdir("/")); err != nil {
		return fmt.Errorf("--root %s: %w", h.root, err)
	}
	return nil
}

func (h *homeMaker) options() (homedir.Options, error) {
	warn := h.warn
	if warn == nil {
		warn = func(text string) { fmt.Fprintf(os.Stderr, "pwb: %s\n", text) }
	}
	opts, err := h.Request.Options(warn)
	opts.DryRun, opts.NoSync = h.dryRun, h.noSync
	return opts, err
}

// lookUp finds the account: the machine's, or with --root the one in that tree's passwd file, whose other sources are not
// running.
func (h *homeMaker) lookUp() (passwd.Entry, error) {
	if h.root == "" {
		return passwd.ByName(h.User)
	}
	f, err := os.Open("/etc/passwd")
	if err != nil {
		return passwd.Entry{}, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		field := strings.Split(lines.Text(), ":")
		if len(field) != 7 || field[0] != h.User {
			continue
		}
		uid, uidErr := strconv.ParseUint(field[2], 10, 32)
		gid, gidErr := strconv.ParseUint(field[3], 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return passwd.Entry{}, fmt.Errorf("look up %q: %w", h.User, err)
		}
		return passwd.Entry{Name: field[0], UID: account.UID(uid), GID: account.GID(gid), Home: field[5]}, nil
	}
	if err := lines.Err(); err != nil { // what follows has not been seen
		return passwd.Entry{}, fmt.Errorf("look up %q in /etc/passwd: %w", h.User, err)
	}
	return passwd.Entry{}, fmt.Errorf("look up %q: %w", h.User, passwd.ErrNotFound)
}

// print says what was done. Of what was not, a person reads on standard error; a script has it all in one place.
func (h *homeMaker) print(w io.Writer, r homedir.Result, failed error, asJSON bool) error {
	if asJSON {
		out := map[string]any{
			"user": h.User, "home": r.Path, "made": r.Made, "existed": r.Existed, "no_home": r.NoHome, "dry_run": h.dryRun,
			"entries": r.Entries, "bytes": r.Bytes, "skipped": r.Skipped,
		}
		if failed != nil {
			out["error"] = failed.Error()
		}
		return json.NewEncoder(w).Encode(out)
	}
	if failed != nil {
		return nil
	}
	switch {
	case r.Made:
		fmt.Fprintf(w, "%s: made, %d entries, %d bytes\n", r.Path, r.Entries, r.Bytes)
	case r.NoHome:
		fmt.Fprintf(w, "%s: no home by convention; nothing made\n", r.Path)
	case h.dryRun && !r.Existed:
		fmt.Fprintf(w, "%s: would be made, %d entries, %d bytes\n", r.Path, r.Entries, r.Bytes)
	default:
		fmt.Fprintf(w, "%s: is there; left alone\n", r.Path)
	}
	if r.Skipped > 0 {
		fmt.Fprintf(w, "%d sockets, FIFOs or devices of the skeleton were left out\n", r.Skipped)
	}
	return nil
}

func homeStatus(err error) int {
	switch {
	case errors.Is(err, passwd.ErrNotFound):
		return statusUnknown
	case errors.Is(err, homedir.ErrUmask), errors.Is(err, homedir.ErrPath), errors.Is(err, homedir.ErrRelative):
		return statusSession
	}
	return statusDenied
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// progressBar draws on a terminal, once a copy has taken a second. What there is to copy is counted only then: most homes are
// there before anybody could read a bar.
type progressBar struct {
	w     io.Writer
	began time.Time
	count func() (homedir.Result, error)

	once  sync.Once
	mu    sync.Mutex // guards what follows
	total homedir.Result
	drawn bool
}

func (b *progressBar) show(p homedir.Progress) {
	took := time.Since(b.began)
	if took < time.Second {
		return
	}
	b.once.Do(func() { go b.learn() })
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drawn = true
	doing := "copying"
	if p.Syncing {
		doing = "writing to the disk"
	}
	fmt.Fprintf(b.w, "\r\x1b[K%s%s: %d entries, %.1f MiB, %d s", b.bar(p), doing, p.Entries, float64(p.Bytes)/(1<<20), int(took.Seconds()))
}

func (b *progressBar) learn() {
	total, err := b.count()
	if err != nil { // the copy will meet it too
		return
	}
	b.mu.Lock()
	b.total = total
	b.mu.Unlock()
}

// bar is nothing until the whole is known. A small file costs about as much as 4 KiB of a large one.
func (b *progressBar) bar(p homedir.Progress) string {
	const width, entry = 24, 4096
	whole := b.total.Bytes + b.total.Entries*entry
	if whole == 0 {
		return ""
	}
	done := min(float64(p.Bytes+p.Entries*entry)/float64(whole), 1)
	filled := int(done * width)
	return fmt.Sprintf("[%s%s] %3d %% ", strings.Repeat("#", filled), strings.Repeat(".", width-filled), int(done*100))
}

func (b *progressBar) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.drawn {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}
