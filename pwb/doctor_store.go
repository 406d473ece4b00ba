package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/snapshot"
)

// checkAccounts looks at the store, at what programs see of it, and at every account for somebody who has taken its name or uid.
func checkAccounts(ctx context.Context, r config.Root, cfg *config.Config, ready bool) (all []finding) {
	if !exists(r.Join(storePath)) {
		return []finding{{"store", fine, "is made with the first login", ""}}
	}
	s, err := openStore(ctx, r, true)
	if err != nil {
		return []finding{{"store", serious, err.Error(), ""}}
	}
	defer s.Close()
	accounts, err := s.Accounts(ctx)
	if err != nil {
		return []finding{{"store", serious, err.Error(), ""}}
	}
	origin, revision, err := s.Head(ctx)
	if err != nil {
		return []finding{{"store", serious, err.Error(), ""}}
	}
	ours := map[account.UID]bool{}
	for _, a := range accounts {
		if a.UID != 0 {
			ours[a.UID] = true
		}
	}
	all = append(all, finding{"store", fine, fmt.Sprintf("%d accounts, %d of them of pwb's making", len(accounts), len(ours)), ""})
	if len(ours) > 0 {
		all = append(all, checkSnapshot(r, origin, revision))
	}
	all = append(all, checkTokens(ctx, s, time.Now())...)
	if ready {
		p := provisioner(r, cfg, s, func(err error) { all = append(all, finding{"accounts", odd, err.Error(), ""}) })
		for _, a := range accounts {
			if err := p.Conflict(ctx, a.Name); err != nil && a.Deleted.IsZero() {
				all = append(all, finding{"accounts", serious, err.Error(), ""})
			}
		}
		all = append(all, checkOrphans(r, cfg, ours)...)
	}
	return all
}

func checkSnapshot(r config.Root, origin [16]byte, revision int64) finding {
	path := r.Join(snapshotPath)
	if f := ownedByRoot("snapshot", path, 0o022); f.level != fine {
		return f
	}
	of, shown, ok := snapshot.Shown(path)
	switch {
	case !ok:
		return finding{"snapshot", serious, path + " is damaged, or not written since the machine was started", "start the worker: systemctl start pwb-worker"}
	case of != origin || shown < revision:
		return finding{"snapshot", serious, fmt.Sprintf("%s shows revision %d, the store has %d", path, shown, revision), "start the worker: systemctl start pwb-worker"}
	}
	return finding{"snapshot", fine, fmt.Sprintf("%s shows revision %d", path, shown), ""}
}

// checkOrphans finds homes of uids that nobody has: files of somebody who was, waiting for somebody who gets the uid.
func checkOrphans(r config.Root, cfg *config.Config, ours map[account.UID]bool) (all []finding) {
	entries, err := os.ReadDir(r.Join(cfg.HomePath))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.IsDir() {
			continue
		}
		uid := account.UID(info.Sys().(*syscall.Stat_t).Uid)
		if ours[uid] || uid == 0 {
			continue
		}
		if _, err := others.ByUID(uid); errors.Is(err, passwd.ErrNotFound) {
			all = append(all, finding{"orphans", odd, fmt.Sprintf("%s belongs to uid %d, which nobody has", filepath.Join(cfg.HomePath, e.Name()), uid),
				"give it to whom it belongs, or put it away"})
		}
	}
	return all
}

func checkAudit(r config.Root) finding {
	log := auditLog(r)
	if !exists(log.Path) {
		return finding{"audit", fine, "is begun with the first decision", ""}
	}
	st, err := os.Stat(log.Path)
	if err != nil {
		return finding{"audit", serious, err.Error(), ""}
	}
	if st.Mode().Perm()&0o077 != 0 {
		return finding{"audit", odd, fmt.Sprintf("%s has mode %04o", log.Path, st.Mode().Perm()), "run: chmod 0600 " + log.Path}
	}
	lines, found, err := log.Verify(log.Path)
	switch {
	case err != nil:
		return finding{"audit", serious, err.Error(), ""}
	case len(found) > 0 && strings.Contains(found[0].Text, "older files come first"):
		return finding{"audit", fine, fmt.Sprintf("%d lines, after those of older files", lines), ""}
	case len(found) > 0:
		return finding{"audit", serious, found[0].String(), "see pwb audit verify; somebody has changed the file, or a crash has cut a line"}
	}
	return finding{"audit", fine, fmt.Sprintf("%d lines, whole", lines), ""}
}
