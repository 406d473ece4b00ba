package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/urfave/cli/v2"

	"github.com/pwb-project/pwb/internal/audit"
	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/metrics"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/web"
)

const (
	// serveAuditPath is the front's own: who faces the network never writes in the file of who is root.
	serveAuditPath = "/var/log/pwb/serve/audit.log"
	serveGrace     = 10 * time.Second // for requests in progress at the end
)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "serve sign-in and SCIM over HTTP (a service of the user " + serviceUser + ")",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "allow-root", Usage: "run as root all the same; a hole in it is then a hole in the machine"}},
		Action: func(c *cli.Context) error {
			r, err := root(c)
			if err != nil {
				return err
			}
			// With --root the tree is a test's or an image's, and so is whatever could be done to it.
			if os.Geteuid() == 0 && r == "" && !c.Bool("allow-root") {
				return fmt.Errorf("serve faces the network and does not run as root; run: systemctl start pwb-serve, "+
					"or: setpriv --reuid %s --regid %s --clear-groups pwb serve", serviceUser, serviceUser)
			}
			log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: plainTime}))
			return (&front{root: r, log: log, notes: web.NewNotes(), metrics: metrics.New()}).run(c.Context)
		},
	}
}

// front is "pwb serve": the doors that face the network, over one store.
type front struct {
	root    config.Root
	log     *slog.Logger
	notes   *web.Notes
	metrics *metrics.Set
	store   *store.Store
	cert    *web.Certificate
	server  *web.Server
}

func (f *front) run(ctx context.Context) (err error) {
	hardenProcess()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	cfg, err := f.config()
	if err != nil {
		return err
	}
	if f.store, err = openStore(ctx, f.root, false); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.store.Close()) }()
	serverConfig := web.Config{Proxies: cfg.Web.Proxies, OnlyProxies: !cfg.Web.TLS, Log: f.log}
	if cfg.Web.TLS {
		f.cert, err = web.OpenCertificate(f.root.Join(cfg.Web.Certificate), f.root.Join(cfg.Web.PrivateKey), func(err error) {
			f.log.Error("the certificate before stays in force", "error", err.Error())
		})
		if err != nil {
			return err
		}
		serverConfig.Certificate = f.cert
		f.metrics.Gauge("pwb_certificate_expires_seconds", func() float64 { return float64(f.cert.Expires().Unix()) })
	}
	handler, err := f.handler(ctx, cfg)
	if err != nil {
		return err
	}
	f.server = web.New(serverConfig, handler)
	return f.listen(ctx, cfg)
}

// config reads the files. Without OpenID Connect there is no sign-in, and SCIM all the same: whoever generated a token wants it.
func (f *front) config() (*config.Config, error) {
	cfg, err := loadConfig(f.root)
	if err != nil && !errors.Is(err, config.ErrNotConfigured) {
		return nil, err
	}
	for _, w := range cfg.Warnings {
		f.log.Warn("configuration", "problem", w.String())
	}
	if err := checkPlainHTTP(cfg.Web); err != nil {
		return nil, err
	}
	return cfg, nil
}

// checkPlainHTTP refuses plain HTTP that leaves this machine, unless proxies alone are served.
func checkPlainHTTP(w config.Web) error {
	at := w.Listen()
	if w.TLS || at.Addr().Unmap().IsLoopback() || len(w.Proxies) > 0 {
		return nil
	}
	return fmt.Errorf("plain HTTP on %s would show tokens and cookies to everybody on the way; set ssl-enabled=1 with a certificate, "+
		"www-address=127.0.0.1 for a proxy on this machine, or trusted-proxies in pwb.conf for one elsewhere", at)
}

// listen serves until ctx ends.
func (f *front) listen(ctx context.Context, cfg *config.Config) error {
	l, err := f.listener(ctx, cfg.Web.Listen())
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	var side sync.WaitGroup
	defer side.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if cfg.Web.MetricsEnabled {
		at := netip.AddrPortFrom(cfg.Web.Listen().Addr(), cfg.Web.MetricsPort)
		ml, err := net.Listen("tcp", at.String())
		if err != nil {
			return errors.Join(fmt.Errorf("listen for /metrics: %w", err), l.Close())
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", f.metrics)
		side.Go(func() {
			if err := web.New(web.Config{Log: f.log}, mux).Serve(ctx, time.Second, ml); err != nil {
				f.log.Error("metrics", "error", err.Error())
			}
		})
	}
	side.Go(func() { f.reloadOnHangup(ctx) })
	side.Go(func() { feedWatchdog(ctx) })
	side.Go(func() { f.warnOfTokens(ctx) })
	daemon.SdNotify(false, daemon.SdNotifyReady)
	f.log.Info("serving", "address", l.Addr().String(), "url", cfg.Web.URL(hostname()), "tls", cfg.Web.TLS, "version", version)
	err = f.server.Serve(ctx, serveGrace, l)
	daemon.SdNotify(false, daemon.SdNotifyStopping)
	return err
}

// listener takes the socket from systemd, or opens one.
func (f *front) listener(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
	if files := activation.Files(true); len(files) > 0 {
		defer files[0].Close()
		l, err := net.FileListener(files[0])
		if err != nil {
			return nil, fmt.Errorf("socket from systemd: %w", err)
		}
		return l, nil
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", at.String())
}

// reloadOnHangup reads the files again on SIGHUP, without dropping a request. Files that are wrong leave what was in force. Address,
// port and whether there is TLS are a restart's.
func (f *front) reloadOnHangup(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		}
		if err := f.reload(ctx); err != nil {
			f.log.Error("reload: what was in force stays", "error", err.Error())
			continue
		}
		f.log.Info("reloaded")
	}
}

func (f *front) reload(ctx context.Context) error {
	cfg, err := f.config()
	if err != nil {
		return err
	}
	handler, err := f.handler(ctx, cfg)
	if err != nil {
		return err
	}
	if f.cert != nil {
		if err := f.cert.Reload(); err != nil {
			return err
		}
	}
	f.server.Swap(handler)
	return nil
}

// handler puts the doors side by side, for one reading of the configuration.
func (f *front) handler(ctx context.Context, cfg *config.Config) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health-check", f.health)
	if cfg.Provisions() {
		door, err := f.scim(cfg)
		if err != nil {
			return nil, err
		}
		mux.Handle("/scim/v2/", door)
	}
	if cfg.OpenID {
		door, err := f.signIn(ctx, cfg)
		if err != nil {
			return nil, err
		}
		mux.Handle("/", door)
	} else {
		mux.HandleFunc("/", http.NotFound)
	}
	return belowRootPath(cfg.Web.RootPath, mux), nil
}

// belowRootPath serves both kinds of proxies: those that take the path which they have put before every other off again, and
// those that leave it.
func belowRootPath(prefix string, h http.Handler) http.Handler {
	if prefix == "/" {
		return h
	}
	below := http.StripPrefix(prefix, h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == prefix { // as people type it
			w.Header().Set("Location", prefix+"/")
			w.WriteHeader(http.StatusSeeOther)
			return
		}
		if strings.HasPrefix(r.URL.Path, prefix+"/") {
			below.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// health says whether requests about accounts can be answered: 200 when SCIM can.
func (f *front) health(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if _, _, err := f.store.Head(r.Context()); err != nil {
		f.log.Log(r.Context(), f.notes.Level(slog.LevelError, web.ClientOf(r).Addr, time.Now()), "health", "error", err.Error())
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "the account store does not answer")
		return
	}
	fmt.Fprintln(w, "ok")
	if warnings, err := expiring(r.Context(), f.store, time.Now()); err == nil && len(warnings) > 0 {
		fmt.Fprintln(w, "warning: a SCIM token expires soon; pwb user-service list-tokens says which")
	}
}

// publish returns how a door has accounts shown to every program: by itself where it is root, else by asking the worker.
func (f *front) publish(cfg *config.Config) func(context.Context) error {
	if os.Geteuid() == 0 {
		return publisher(f.root, cfg, f.store, func(err error) { f.log.Warn("accounts", "error", err.Error()) }).Publish
	}
	asker := &asker{path: f.root.Join(socketPath)}
	return asker.publish
}

// auditLog is the file that the front's decisions go to.
func (f *front) auditLog() *audit.Log {
	if os.Geteuid() == 0 {
		return auditLog(f.root)
	}
	return &audit.Log{Path: f.root.Join(serveAuditPath)}
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}
