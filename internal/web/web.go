// Package web serves HTTP for the doors that face the network. It promises that a slow, silent or greedy client costs one
// connection and a bounded time; that a reload, of handlers or of a certificate, drops no request; that a stop lets requests in
// progress finish; and that a door hears who the client is from those alone who may say so.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"
)

// Limits of a connection. A request is read within readTime, so a body arrives within it too.
const (
	headerTime = 10 * time.Second
	readTime   = 30 * time.Second
	writeTime  = 60 * time.Second
	idleTime   = 120 * time.Second // Entra ID keeps a connection through a cycle
	maxHeader  = 32 << 10          // the URL, at most 16 KiB of it, is a part
	maxURL     = 16 << 10
)

// Config is how a Server serves. The zero value of everything but Log is the strict one.
type Config struct {
	Proxies     []netip.Prefix // whose X-Forwarded headers count
	OnlyProxies bool           // nobody else and no loopback address is served: plain HTTP on an open address
	Certificate *Certificate   // nil is plain HTTP
	Log         *slog.Logger
}

// Server serves one handler at a time on any number of listeners.
type Server struct {
	cfg     Config
	handler atomic.Pointer[http.Handler]
	http    *http.Server
	notes   *Notes
}

// New makes a server of a handler.
func New(cfg Config, handler http.Handler) *Server {
	s := &Server{cfg: cfg, notes: NewNotes()}
	s.Swap(handler)
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug), // handshakes of scanners, mostly
	}
	if cfg.Certificate != nil {
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cfg.Certificate.get, NextProtos: []string{"h2", "http/1.1"}}
	}
	return s
}

// Swap puts another handler in the place of the one before. Requests in progress stay with theirs.
func (s *Server) Swap(handler http.Handler) { s.handler.Store(&handler) }

// Serve serves l until ctx ends; then it takes no more, and waits for requests in progress, at most grace.
func (s *Server) Serve(ctx context.Context, grace time.Duration, l net.Listener) error {
	done := make(chan error, 1)
	go func() {
		l := s.limited(l)
		if s.cfg.Certificate != nil {
			done <- s.http.ServeTLS(l, "", "")
			return
		}
		done <- s.http.Serve(l)
	}()
	select {
	case err := <-done:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := s.http.Shutdown(late)
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.Join(fmt.Errorf("requests were still in progress after %v", grace), s.http.Close())
	}
	return err
}

// serve is around every request: who asks, under which number, and what came of it.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	client, err := s.client(r)
	if err != nil {
		peer, _ := netip.ParseAddrPort(r.RemoteAddr)
		s.cfg.Log.Log(r.Context(), s.notes.Level(slog.LevelWarn, peer.Addr().Unmap(), time.Now()), "request", "peer", r.RemoteAddr, "reason", err.Error())
		http.Error(w, "This address serves a proxy alone.", http.StatusForbidden)
		return
	}
	w.Header().Set("X-Request-Id", client.Request)
	if len(r.RequestURI) > maxURL {
		http.Error(w, "The address is longer than 16 KiB.", http.StatusRequestURITooLong)
		return
	}
	begun := time.Now()
	seen := &observed{ResponseWriter: w}
	defer func() {
		bug := recover()
		if bug != nil && bug != http.ErrAbortHandler { // a bug ends this request, and no other
			s.cfg.Log.Error("a bug ended a request", "request", client.Request, "panic", fmt.Sprint(bug), "stack", stack())
			if seen.status == 0 {
				http.Error(seen, "Something went wrong. Request "+client.Request+".", http.StatusInternalServerError)
			}
		}
		s.cfg.Log.Debug("request", "request", client.Request, "client", client.Addr.String(), "method", r.Method, "path", r.URL.Path,
			"status", seen.status, "took", time.Since(begun))
		if bug == http.ErrAbortHandler {
			panic(bug)
		}
	}()
	(*s.handler.Load()).ServeHTTP(seen, r.WithContext(context.WithValue(r.Context(), clientKey{}, client)))
}

// observed remembers what was answered.
type observed struct {
	http.ResponseWriter
	status int
}

func (o *observed) WriteHeader(status int) {
	if o.status == 0 || o.status < 200 {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *observed) Write(b []byte) (int, error) {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	return o.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (o *observed) Unwrap() http.ResponseWriter { return o.ResponseWriter }
