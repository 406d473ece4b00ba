package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/audit"
	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
)

// provisioner is the accounts' room as the configuration says.
func provisioner(r config.Root, cfg *config.Config, s *store.Store, report func(error)) *provision.Provisioner {
	p := &provision.Provisioner{
		Store: s, Machine: &others, MinUID: account.UID(cfg.MinUID), HomePath: cfg.HomePath,
		Names: account.NamePolicy{Domains: cfg.UsernameDomains, Keep: cfg.KeepDomain, Full: cfg.FullUsernames},
		Admission: provision.Admission{
			RequiredGroups: cfg.RequiredGroups, AllowUsers: cfg.AllowUsers, DenyUsers: cfg.DenyUsers, DenyGroups: cfg.DenyGroups,
		},
		Hosts: hosts(cfg), BindSessions: cfg.Web.TicketKeys != "", InsecureReuseTickets: cfg.InsecureReuseTickets,
	}
	publisher := publisher(r, cfg, s, report)
	p.Publish = publisher.Publish
	if cfg.Provisions() {
		p.Directory = directory(r, cfg, s, report)
		p.Register = &provision.Register{
			FirstLogin: cfg.Registers(), Local: !cfg.Provisioning,
			StartUID: cfg.StartUID, StartGID: cfg.StartGID, HomePath: cfg.HomePath, Shell: cfg.Shell, Suffix: cfg.SuffixNames,
			Subordinate: func() []account.IDRange { return passwd.SubordinateIDs(r.Join("")) },
		}
	}
	return p
}

// publisher shows accounts of pwb's making to every program.
func publisher(r config.Root, cfg *config.Config, s *store.Store, report func(error)) *provision.Publisher {
	return &provision.Publisher{Path: r.Join(snapshotPath), Store: s, Machine: &others, HomePath: cfg.HomePath, GroupMap: cfg.GroupMap, Report: report}
}

// others are the accounts of the machine that are not of pwb's making.
var others passwd.Others

func auditLog(r config.Root) *audit.Log { return &audit.Log{Path: r.Join(auditPath)} }

func loadConfig(r config.Root) (*config.Config, error) {
	return config.Loader{Root: r, ServiceUID: serviceUID}.Load()
}

func serviceUID() int {
	entry, err := passwd.ByName(serviceUser)
	if err != nil {
		return -1
	}
	return int(entry.UID)
}

func openVerifier(r config.Root, cfg *config.Config, report func(error)) (*ticket.Verifier, error) {
	return openVerifierAt(r.Join(cachePath), cfg, report)
}

func openVerifierAt(cache string, cfg *config.Config, report func(error)) (*ticket.Verifier, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		report(fmt.Errorf("no cache for keys: %w", err))
		cache = ""
	}
	v, err := ticket.Open(ticket.Config{
		Issuer: cfg.Issuer, ClientID: cfg.ClientID, UsernameClaim: cfg.UsernameClaim, GroupsClaim: cfg.GroupsClaim,
		Algorithms: cfg.TicketAlgorithms, MaxAge: cfg.TicketMaxAge, KeysMaxStale: cfg.KeysMaxStale, KeysHost: cfg.KeysHost,
		CacheDir: cache, AllowLoopbackHTTP: cfg.AllowLoopbackHTTP, RequireNonce: cfg.TicketRequireNonce, Report: report,
	})
	if err != nil {
		return nil, fmt.Errorf("verifier: %w", err)
	}
	return v, nil
}

func openStore(ctx context.Context, r config.Root, oneCall bool) (*store.Store, error) {
	cfg := store.Config{Path: r.Join(storePath), Owner: storeOwner, OneCall: oneCall}
	if err := os.MkdirAll(filepath.Dir(filepath.Dir(cfg.Path)), 0o755); err != nil {
		return nil, fmt.Errorf("open the account store: %w: %w", store.ErrUnavailable, err)
	}
	return store.Open(context.WithoutCancel(ctx), cfg)
}

// storeOwner is the service user, or root where there is none yet.
func storeOwner() (uid, gid int) {
	entry, err := passwd.ByName(serviceUser)
	if err != nil {
		return 0, 0
	}
	return int(entry.UID), int(entry.GID)
}
