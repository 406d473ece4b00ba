// Package scim is the HTTP door of the provider's directory: SCIM 2.0 (RFC 7643, 7644) for users and groups. It promises that it
// understands what Entra ID and Okta really send, and stores nothing but what the schemas say; that a PATCH happens whole or not
// at all; that a filter never becomes a part of SQL; and that who has no valid token learns nothing.
//
// It decides nothing about accounts: package provision does, which it calls once for each request that writes.
package scim

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/web"
)

// Accounts changes users and groups. provision.Provisioner is one, whose contract holds; it is called by many goroutines at once.
type Accounts interface {
	CreateUser(context.Context, store.ScimUser, provision.Actor) (store.ScimUser, error)
	ChangeUser(ctx context.Context, id string, edit func(*store.ScimUser) error, by provision.Actor) (store.ScimUser, error)
	DeleteUser(ctx context.Context, id string, may func(store.ScimUser) error, by provision.Actor) error
	CreateGroup(ctx context.Context, g store.ScimGroup, members []string, by provision.Actor) (store.ScimGroup, error)
	ChangeGroup(ctx context.Context, id string, edit func(*store.ScimGroup, func() ([]store.Member, error)) ([]store.MemberChange, error), by provision.Actor) (store.ScimGroup, error)
	DeleteGroup(ctx context.Context, id string, may func(store.ScimGroup) error, by provision.Actor) error
}

// Store is what the door reads. store.Store is one, whose contract holds.
type Store interface {
	ScimUser(ctx context.Context, id string, groups bool) (store.ScimUser, error)
	ScimUsers(context.Context, store.Listing) ([]store.ScimUser, int, error)
	ScimGroup(ctx context.Context, id string, members bool) (store.ScimGroup, error)
	ScimGroups(context.Context, store.Listing) ([]store.ScimGroup, int, error)
	Token(ctx context.Context, id string) (store.Token, error)
	TouchToken(ctx context.Context, id string, now time.Time) error
}

// Config is what a Handler works with.
type Config struct {
	Accounts  Accounts
	Store     Store
	Log       *slog.Logger
	URL       string                                              // of this service, without /scim/v2 and a slash; "" takes it from each request
	Prefix    string                                              // what a proxy has put before the path, for addresses that are taken from requests
	FileToken func() (hash [32]byte, ok bool)                     // of a token beside those of the store; nil: there is none
	LookUp    func(name string) (passwd.Entry, error)             // of accounts of the machine's own; nil shows nothing of them
	Observe   func(method string, status int, took time.Duration) // told of each answer; nil tells nobody
	Now       func() time.Time
}

// Handler answers below /scim/v2. It is safe for concurrent use.
type Handler struct {
	Config
	limiter  *limiter
	failures *web.Throttle // of tokens that were wrong, by client
	notes    *web.Notes

	mu      sync.Mutex // guards touched
	touched map[string]time.Time
}

// New makes a Handler.
func New(cfg Config) *Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Handler{Config: cfg, limiter: newLimiter(), failures: web.NewThrottle(maxFailures, failureEvery), notes: web.NewNotes(), touched: map[string]time.Time{}}
}

func (h *Handler) now() time.Time { return h.Now() }

const mount = "/scim/v2"

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	client := web.ClientOf(r)
	q := &request{Request: r, w: w, query: r.URL.Query(), base: h.base(r, client)}
	w.Header().Set("X-Request-Id", client.Request)
	w.Header().Set("Cache-Control", "no-store")
	q.actor = provision.Actor{Request: client.Request, Peer: client.Addr.String(), Method: r.Method}
	begun := time.Now()
	status := http.StatusOK
	err := h.serve(q, client)
	if err != nil {
		status = h.refuse(q, err)
	}
	if h.Observe != nil {
		h.Observe(r.Method, status, time.Since(begun))
	}
}

// serve asks in the order in which a request earns more trust: who it is, what it may, how much, then what it wants.
func (h *Handler) serve(q *request, client web.Client) error {
	token, reason, err := h.authenticate(q.Context(), q.Request, client.Addr)
	if err != nil {
		return err
	}
	if reason != "" {
		return h.unauthenticated(q, client, reason)
	}
	q.actor.Token = token.ID
	if err := may(token, q.Request); err != nil {
		return err
	}
	leave, err := h.limiter.enter(q.Context(), token.ID, h.now())
	if err != nil {
		return err
	}
	defer leave()
	return h.route(q)
}

func (h *Handler) unauthenticated(q *request, client web.Client, reason string) error {
	h.Log.Log(q.Context(), h.notes.Level(slog.LevelWarn, client.Addr, h.now()), "no valid token", "request", client.Request, "client", client.Addr.String(), "reason", reason, "agent", clip(q.UserAgent()))
	if wait, ok := h.failures.Allow(web.Network(client.Addr).String(), h.now()); !ok {
		return &fault{status: http.StatusTooManyRequests, detail: "too many wrong tokens from this address", header: map[string]string{"Retry-After": seconds(wait)}}
	}
	return refusal()
}

func (h *Handler) route(q *request) error {
	rest := strings.TrimPrefix(q.URL.Path, mount)
	part := strings.Split(strings.Trim(rest, "/"), "/")
	head, id := part[0], ""
	if len(part) == 2 {
		id = part[1]
	}
	if len(part) > 2 {
		return notFound("there is nothing at this address")
	}
	switch {
	case head == "Users" && id == "":
		return h.serveUsers(q)
	case head == "Groups" && id == "":
		return h.serveGroups(q)
	case head == "Users" && id == ".search":
		return h.serveSearch(q, []*resource{users})
	case head == "Groups" && id == ".search":
		return h.serveSearch(q, []*resource{groups})
	case head == ".search" && id == "":
		return h.serveSearch(q, []*resource{users, groups})
	case head == "Users":
		return h.serveUser(q, id)
	case head == "Groups":
		return h.serveGroup(q, id)
	case head == "Schemas", head == "ResourceTypes", head == "ServiceProviderConfig":
		return h.discover(q, head, id)
	case head == "Me", head == "Bulk" && id == "":
		return &fault{status: http.StatusNotImplemented, detail: "/" + head + " is not supported; see /ServiceProviderConfig"}
	}
	return notFound("there is nothing at this address; /Users, /Groups, /Schemas, /ResourceTypes and /ServiceProviderConfig are")
}

// base is the address of this service as the client knows it.
func (h *Handler) base(r *http.Request, client web.Client) string {
	if h.URL != "" {
		return h.URL + mount
	}
	scheme := "http"
	if client.Secure {
		scheme = "https"
	}
	for _, c := range []byte(r.Host) { // it goes into what is sent back
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"\<>@/?#`, c) >= 0 {
			return h.Prefix + mount
		}
	}
	return scheme + "://" + r.Host + h.Prefix + mount
}

// newID makes a UUID, version 4.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
