package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	clientID     = "6731de76-14a6-49ae-97bc-6eba6914391e"
	clientSecret = "Dq8Q~what-the-portal-showed-once"
	password     = "correct horse battery staple"
)

// provider is zitadel/oidc's OpenID provider on a loopback port, with three people in it: alice, bob and carol.
type provider struct {
	issuer   string
	lifetime atomic.Int64 // of the ID tokens it issues, a time.Duration
	server   *http.Server
	address  string
}

// startProvider listens on a free loopback port. The provider runs until stop.
func startProvider() (*provider, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the provider: %w", err)
	}
	p := &provider{address: l.Addr().String(), issuer: "http://" + l.Addr().String()}
	p.lifetime.Store(int64(time.Hour))
	storage.RegisterClients(storage.WebClient(clientID, clientSecret, p.callback()))
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	store := people{storage.NewStorage(directory{}), p}
	p.server = &http.Server{
		Handler:           exampleop.SetupServer(p.issuer, store, quiet, false, op.WithLogger(quiet)),
		ReadHeaderTimeout: 5 * time.Second,
	}
	go p.server.Serve(l)
	return p, nil
}

// stop closes the port and every connection: the provider is down, as in a power cut.
func (p *provider) stop() { p.server.Close() }

// restart listens on the same port again, with the same keys.
func (p *provider) restart() error {
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		return fmt.Errorf("restart the provider: %w", err)
	}
	p.server = &http.Server{Handler: p.server.Handler, ReadHeaderTimeout: 5 * time.Second}
	go p.server.Serve(l)
	return nil
}

// callback is the redirect URI of the guide. Before the end, the person's browser is ours and reads the code off the redirect.
func (p *provider) callback() string { return front + "/openid/callback" }

// directory is what the organisation knows of its people. Ids are made from names, so that a restart changes nothing.
type directory struct{}

func (directory) GetUserByUsername(name string) *storage.User {
	id := sha256.Sum256([]byte(name))
	return &storage.User{ID: fmt.Sprintf("%x", id[:8]), Username: name, Password: password, FirstName: called(name), Email: name, EmailVerified: true}
}

// called is a person's name: Alice, of alice@example.com.
func called(name string) string {
	name, _, _ = strings.Cut(name, "@")
	if name == "" {
		return ""
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

func (d directory) GetUserByID(id string) *storage.User {
	for _, name := range []string{"alice@example.com", "bob@example.com", "carol@example.com"} {
		if u := d.GetUserByUsername(name); u.ID == id {
			return u
		}
	}
	return nil
}

func (directory) ExampleClientID() string { return storage.ServiceUserID }

// people is the library's own storage with two answers changed: the profile goes into the ID token, as Entra ID does it,
// and the demonstration sets how long a token lives.
type people struct {
	*storage.Storage
	p *provider
}

func (s people) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return client{c, time.Duration(s.p.lifetime.Load())}, nil
}

func (s people) CheckUsernamePassword(name, pass, id string) error {
	if (directory{}).GetUserByID((directory{}).GetUserByUsername(name).ID) == nil {
		return errors.New("nobody of that name")
	}
	return s.Storage.CheckUsernamePassword(name, pass, id)
}

// memberships are the groups by object id, as Entra ID sends them.
var memberships = map[string][]string{
	"alice@example.com": {"5f0d2c9e-6a3b-4c57-9d18-2b7e4f60a1c3", "c41f7b52-90de-4a6e-8f3d-7716b2d9e805"},
	"bob@example.com":   {"c41f7b52-90de-4a6e-8f3d-7716b2d9e805"},
}

// SetUserinfoFromScopes adds the groups to what the library says of a person.
func (s people) SetUserinfoFromScopes(ctx context.Context, info *oidc.UserInfo, userID, clientID string, scopes []string) error {
	if err := s.Storage.SetUserinfoFromScopes(ctx, info, userID, clientID, scopes); err != nil {
		return err
	}
	return s.groups(info, userID)
}

// SetUserinfoFromRequest does the same where the library asks with the request in hand.
func (s people) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, request op.IDTokenRequest, scopes []string) error {
	if err := s.Storage.SetUserinfoFromRequest(ctx, info, request, scopes); err != nil {
		return err
	}
	return s.groups(info, request.GetSubject())
}

func (people) groups(info *oidc.UserInfo, userID string) error {
	if u := (directory{}).GetUserByID(userID); u != nil {
		info.AppendClaims("groups", memberships[u.Username])
	}
	return nil
}

type client struct {
	op.Client
	lifetime time.Duration
}

func (client) IDTokenUserinfoClaimsAssertion() bool { return true }
func (c client) IDTokenLifetime() time.Duration     { return c.lifetime }
