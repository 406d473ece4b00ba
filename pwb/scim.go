package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/scim"
	"github.com/pwb-project/pwb/internal/signin"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
)

// directory is how the provider's directory manages accounts, as the configuration says.
func directory(r config.Root, cfg *config.Config, s *store.Store, report func(error)) *provision.Directory {
	return &provision.Directory{
		Store: s, Issuer: cfg.Issuer, Subject: subjectOf(cfg), Suffix: !cfg.RejectNames, Report: report,
		Leave: provision.Leaving(string(cfg.Web.OnDeactivate), cfg.Web.DeactivateGrace), Audit: auditLog(r).Append,
	}
}

// subjectOf says which external ids mean a person: an Object ID of Entra ID does, whatever else an administrator may have mapped;
// at other providers none does, unless an operator says that it is the sub claim.
func subjectOf(cfg *config.Config) func(string) (string, bool) {
	tenant, err := ticket.Tenant(cfg.Issuer)
	if cfg.Issuer == "" || err != nil || tenant == "" && !cfg.ExternalIsSubject {
		return nil
	}
	return func(externalID string) (string, bool) {
		subject, err := ticket.Subject(cfg.Issuer, externalID)
		return subject, err == nil
	}
}

// scim makes the door of the provider's directory.
func (f *front) scim(cfg *config.Config) (http.Handler, error) {
	token, err := fileToken(os.Getenv("PWB_SCIM_TOKEN_FILE"))
	if err != nil {
		return nil, err
	}
	report := func(err error) { f.log.Warn("accounts", "error", err.Error()) }
	accounts := provisioner(f.root, cfg, f.store, report)
	accounts.Publish = f.publish(cfg)
	accounts.Directory.Audit = f.auditLog().Append
	door := scim.Config{
		Accounts: accounts, Store: f.store, Log: f.log, FileToken: token, LookUp: others.ByName, Prefix: strings.TrimSuffix(cfg.Web.RootPath, "/"),
		Observe: func(method string, status int, took time.Duration) {
			f.metrics.Took(fmt.Sprintf("pwb_scim_request_seconds{method=%q,status=%q}", method, fmt.Sprint(status/100)+"xx"), took)
		},
	}
	if cfg.Web.PublicAddress != "" {
		door.URL = cfg.Web.URL("")
	}
	return scim.New(door), nil
}

// fileToken reads the token that a cluster hands in as a file. It is read again at a reload.
func fileToken(path string) (func() ([32]byte, bool), error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("PWB_SCIM_TOKEN_FILE: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return nil, fmt.Errorf("PWB_SCIM_TOKEN_FILE: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < scim.MinFileToken || strings.ContainsAny(token, " \t\r\n") {
		return nil, fmt.Errorf("PWB_SCIM_TOKEN_FILE: %s must hold one token of at least %d characters, such as pwb user-service generate-token makes", path, scim.MinFileToken)
	}
	hash := scim.HashToken(token)
	return func() ([32]byte, bool) { return hash, true }, nil
}

// tokens are those in force, as an administrator's page shows them.
func (f *front) tokens(ctx context.Context) (shown []signin.ProviderToken, err error) {
	all, err := f.store.Tokens(ctx)
	for _, t := range all {
		if t.Live(time.Now()) {
			shown = append(shown, signin.ProviderToken{Name: t.Name, Shown: "pwb_scim_" + t.ID + "_…", Created: t.Created, Expires: t.Expires, LastUsed: t.LastUsed})
		}
	}
	return shown, err
}

// soon are the days before the end of a token on which it is worth a line.
var soon = []int{1, 7, 30}

// expiring returns a line for each token that ends within thirty days and has none beside it that goes on: an expired token stops
// the provider's whole job, hours before anybody looks.
func expiring(ctx context.Context, s *store.Store, now time.Time) (warnings []string, err error) {
	all, err := s.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	goesOn := map[string]bool{}
	for _, t := range all {
		if t.Live(now) && (t.Expires.IsZero() || t.Expires.Sub(now) > 30*24*time.Hour) {
			goesOn[t.Name] = true
		}
	}
	for _, t := range all {
		if !t.Live(now) || t.Expires.IsZero() || goesOn[t.Name] {
			continue
		}
		for _, days := range soon {
			if t.Expires.Sub(now) <= time.Duration(days)*24*time.Hour {
				warnings = append(warnings, fmt.Sprintf("token %q (id %s) expires within %d days, on %s; run: pwb user-service rotate-token %q --overlap 7",
					t.Name, t.ID, days, t.Expires.UTC().Format(time.DateOnly), t.Name))
				break
			}
		}
	}
	return warnings, nil
}

// warnOfTokens says once a day, and at the start, which tokens end soon.
func (f *front) warnOfTokens(ctx context.Context) {
	f.metrics.Gauge("pwb_scim_tokens_expiring", func() float64 {
		warnings, err := expiring(ctx, f.store, time.Now())
		if err != nil {
			return -1
		}
		return float64(len(warnings))
	})
	for tick := time.Tick(24 * time.Hour); ; {
		warnings, err := expiring(ctx, f.store, time.Now())
		if err != nil && !errors.Is(err, context.Canceled) {
			f.log.Error("tokens", "error", err.Error())
		}
		for _, w := range warnings {
			f.log.Warn("scim", "problem", w)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
	}
}
