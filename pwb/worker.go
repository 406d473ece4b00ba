package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/evict"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
	"github.com/pwb-project/pwb/internal/worker"
	pampwb "github.com/pwb-project/pwb/pam_pwb"
)

// The files of the worker, below root. socketPath is the one that the module has compiled in; the build sets both.
var socketPath = "/run/pwb/worker.sock"

const (
	storePath   = "/var/lib/pwb/pwb.db"
	cachePath   = "/var/cache/pwb"
	auditPath   = "/var/log/pwb/audit.log"
	serviceUser = "rstudio-server"
	followEvery = 500 * time.Millisecond
	grace       = 10 * time.Second // for calls in progress at the end: what a host waits at most
)

func workerCommand() *cli.Command {
	return &cli.Command{
		Name:  "worker",
		Usage: "answer PAM calls (a service; pam_pwb.so also starts it by itself)",
		Action: func(c *cli.Context) error {
			r, err := root(c)
			if err != nil {
				return err
			}
			return serveCalls(c.Context, r)
		},
	}
}

// answerOneCall is "pwb worker --call": the module has started this process for one call, whose socket is descriptor 3. It
// stands before the command line's library because a person waits for it.
func answerOneCall() int {
	runtime.UnlockOSThread() // a session's need; here each wait for another goroutine would switch threads twice
	hardenProcess()
	leaveCgroup()          // where it cannot, as in a container, the call goes on (README: the risks)
	debug.SetGCPercent(-1) // it is over before there is anything to collect
	log := slog.New(slog.DiscardHandler)
	rules := &ruleBook{log: log}
	w := &worker.Worker{Rules: rules.get, Log: log, Build: version, HostLogs: true, Audit: auditLog("").Append}
	conn, err := pampwb.FileConn(os.NewFile(3, "call"))
	if err != nil {
		return 1
	}
	conn.Build = version
	w.ServeConn(context.Background(), conn)
	return 0 // the store is left open: closing it would cost the person a checkpoint, and nothing is lost without
}

// hardenProcess keeps tickets in memory out of core files and away from debuggers of the same user.
func hardenProcess() {
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

// serveCalls is the resident worker.
func serveCalls(ctx context.Context, r config.Root) error {
	hardenProcess()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: plainTime}))
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	l, err := listen(r)
	if err != nil {
		return fmt.Errorf("listen for calls: %w", err)
	}
	defer l.Close()
	rules := &ruleBook{root: r, log: log, resident: ctx}
	if _, err := rules.get(ctx); err != nil {
		log.Warn("no decisions about people until this is mended; homes are made", "error", err.Error())
	}
	w := &worker.Worker{
		Rules: rules.get, Log: log, Build: version, Audit: auditLog(r).Append, ServiceUID: serviceUID,
		Homes: worker.Homes{LoginDefs: r.Join("/etc/login.defs"), Warn: func(text string) { log.Warn(text) }},
	}
	// One processor judges a thousand tickets a second. With more, idle threads of the runtime look for work just when the
	// host wants to go on: a login took a tenth longer.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400) // a few megabytes more, and no collection in the middle of a login
	go rules.reloadOnHangup(ctx)
	go feedWatchdog(ctx)
	daemon.SdNotify(false, daemon.SdNotifyReady)
	log.Info("listening", "socket", l.Addr().String(), "version", version)
	// Not on this goroutine, which is locked to the main thread for the sake of sessions: each call would wait for that thread.
	served := make(chan error)
	go func() { served <- w.Serve(ctx, l, grace) }()
	err = <-served
	daemon.SdNotify(false, daemon.SdNotifyStopping)
	return errors.Join(err, rules.close())
}

func plainTime(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && len(groups) == 0 && os.Getenv("JOURNAL_STREAM") != "" {
		return slog.Attr{} // the journal has its own
	}
	return a
}

func feedWatchdog(ctx context.Context) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return
	}
	for tick := time.Tick(every / 2); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			daemon.SdNotify(false, daemon.SdNotifyWatchdog)
		}
	}
}

// listen takes the socket from systemd, or makes it. A second worker is refused; what a dead one left is taken over.
func listen(r config.Root) (*net.UnixListener, error) {
	if files := activation.Files(true); len(files) > 0 {
		defer files[0].Close()
		l, err := net.FileListener(files[0])
		if err != nil {
			return nil, fmt.Errorf("socket from systemd: %w", err)
		}
		ul, ok := l.(*net.UnixListener)
		if !ok || ul.Addr().Network() != "unixpacket" {
			l.Close()
			return nil, errors.New("socket from systemd: not ListenSequentialPacket")
		}
		return ul, nil
	}
	path := r.Join(socketPath)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := lockInstance(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	was := unix.Umask(0o111) // 0666: a screen locker asks as its user
	defer unix.Umask(was)
	return net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
}

// lockInstance holds a lock for the life of this process.
func lockInstance(dir string) error {
	fd, err := unix.Open(filepath.Join(dir, "worker.lock"), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		unix.Close(fd)
		return errors.New("another worker is running")
	}
	return nil
}

// ruleBook keeps the rules in force. What could not be read is tried again at the next call: a mended file needs no restart.
type ruleBook struct {
	root     config.Root
	log      *slog.Logger
	resident context.Context // keeps keys fresh until it ends; nil in a worker for one call

	mu    sync.Mutex // guards what follows
	rules *worker.Rules
	store *store.Store
	stop  context.CancelFunc // of the keys' maintenance
}

func (b *ruleBook) get(ctx context.Context) (*worker.Rules, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rules != nil {
		return b.rules, nil
	}
	cfg, err := loadConfig(b.root)
	if err != nil {
		return nil, err
	}
	warn := func(err error) { b.log.Warn("keys", "error", err.Error()) }
	tickets := func() (worker.Tickets, error) { return openVerifier(b.root, cfg, warn) }
	if !cfg.OpenID {
		tickets = func() (worker.Tickets, error) { return noTokens{}, nil }
	}
	if b.store == nil {
		if b.store, err = openStore(ctx, b.root, b.resident == nil); err != nil {
			return nil, err
		}
	}
	accounts := provisioner(b.root, cfg, b.store, b.report)
	devices, err := devices(cfg)
	if err != nil {
		return nil, err
	}
	if b.resident != nil {
		var maintain context.Context
		maintain, b.stop = context.WithCancel(b.resident)
		if cfg.OpenID {
			verifier, err := openVerifier(b.root, cfg, warn)
			if err != nil {
				b.stop()
				return nil, err
			}
			tickets = func() (worker.Tickets, error) { return verifier, nil }
			go verifier.Maintain(maintain)
		}
		if b.root == "" { // the accounts of a tree are not this machine's, whose processes have the same numbers
			go b.evict(maintain, accounts)
		}
		go b.follow(maintain, publisher(b.root, cfg, b.store, b.report), len(cfg.GroupMap) > 0)
	}
	b.rules = &worker.Rules{
		Tickets: tickets, Accounts: accounts, Devices: devices,
		Sessions: func(ctx context.Context) (*ticket.SessionVerifier, error) {
			return sessionVerifier(cfg, func() (ticket.SessionKeys, error) { return accounts.SessionKeys(ctx) })
		},
		MinUID: account.UID(cfg.MinUID), Issuer: cfg.Issuer, Groups: cfg.GroupsClaim != "",
		Publish: publisher(b.root, cfg, b.store, b.report).Publish,
	}
	return b.rules, nil
}

func (b *ruleBook) report(err error) { b.log.Warn("accounts", "error", err.Error()) }

// follow shows what others have changed in the store: an operator's command, another node, a login that was killed before it
// could. Rules about what is shown may be new, so a snapshot that depends on them is written anew first.
func (b *ruleBook) follow(ctx context.Context, p *provision.Publisher, rewrite bool) {
	said := ""
	publish := p.Publish
	if rewrite {
		publish = p.Rewrite
	}
	for tick := time.Tick(followEvery); ; {
		switch err := publish(ctx); {
		case err == nil:
			publish, said = p.Publish, ""
		case ctx.Err() == nil && err.Error() != said: // once, not twice a second
			said = err.Error()
			b.log.Error("accounts are not shown to other programs", "error", said)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
	}
}

// evict ends the sessions that are to end.
func (b *ruleBook) evict(ctx context.Context, accounts *provision.Provisioner) {
	e := &evict.Evictor{
		Store: b.store, Processes: evict.Machine{}, Conflict: accounts.Conflict, Audit: auditLog(b.root).Append, Now: time.Now,
		Report: func(err error) { b.log.Error("sessions", "error", err.Error()) },
	}
	for tick := time.Tick(followEvery); ; {
		e.Work(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
	}
}

// reloadOnHangup reads the files again on SIGHUP. Files that are wrong leave the rules that were in force.
func (b *ruleBook) reloadOnHangup(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		}
		if _, err := loadConfig(b.root); err != nil {
			b.log.Error("reload: what was in force stays", "error", err.Error())
			continue
		}
		b.mu.Lock()
		if b.stop != nil {
			b.stop()
		}
		b.rules = nil
		b.mu.Unlock()
		if _, err := b.get(ctx); err != nil {
			b.log.Error("reload", "error", err.Error())
			continue
		}
		b.log.Info("reloaded")
	}
}

func (b *ruleBook) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.store == nil {
		return nil
	}
	return b.store.Close()
}
