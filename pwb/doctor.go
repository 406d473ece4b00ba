package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pwb-project/pwb/internal/config"
)

// level says how bad a finding is.
type level int

const (
	fine level = iota
	odd
	serious
)

func (l level) String() string { return []string{"ok", "warning", "PROBLEM"}[l] }

// finding is the result of one check: what was seen, and what to do about it.
type finding struct {
	check    string
	level    level
	says, do string
}

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "look at everything that a login needs, and say what is wrong and what to do",
		Flags: []cli.Flag{jsonFlag, &cli.BoolFlag{Name: "offline", Usage: "do not ask the identity provider"}},
		Action: func(c *cli.Context) error {
			r, err := root(c)
			if err != nil {
				return err
			}
			return printFindings(c, examine(c.Context, r, c.Bool("offline")))
		},
	}
}

func printFindings(c *cli.Context, all []finding) error {
	worst := fine
	rows := []map[string]string{}
	for _, f := range all {
		worst = max(worst, f.level)
		rows = append(rows, map[string]string{"check": f.check, "level": strings.ToLower(f.level.String()), "says": f.says, "do": f.do})
		if c.Bool("json") {
			continue
		}
		text := f.says
		if f.do != "" {
			text += "; " + f.do
		}
		fmt.Fprintf(c.App.Writer, "%-8s%-14s%s\n", f.level, f.check, strings.ReplaceAll(text, "\n", "; "))
	}
	if c.Bool("json") {
		d := desk{out: c.App.Writer}
		if err := d.json(rows); err != nil {
			return err
		}
	}
	if worst == serious {
		return cli.Exit("", 1)
	}
	return nil
}

func examine(ctx context.Context, r config.Root, offline bool) (all []finding) {
	cfg, err := loadConfig(r)
	all = append(all, checkConfiguration(cfg, err)...)
	ready := err == nil
	if ready && !offline {
		all = append(all, checkProvider(ctx, r, cfg)...)
	}
	all = append(all, checkServices(r)...)
	all = append(all, checkModules(r)...)
	if ready && cfg.Registers() {
		all = append(all, checkSwitch(r)...)
		all = append(all, checkCaches(r)...)
		all = append(all, checkHomes(r, cfg)...)
	}
	all = append(all, checkWorker(r), checkSSH(r))
	if ready {
		all = append(all, checkServe(ctx, r, cfg)...)
	}
	all = append(all, checkAccounts(ctx, r, cfg, ready)...)
	return append(all, checkAudit(r))
}

func checkConfiguration(cfg *config.Config, err error) (all []finding) {
	var found config.Problems
	switch {
	case errors.As(err, &found):
	case err != nil:
		return []finding{{"config", serious, err.Error(), "see pwb.conf(5)"}}
	}
	for _, p := range append(found, cfg.Warnings...) {
		f := finding{"config", serious, p.String(), ""}
		if p.Warning {
			f.level = odd
		}
		all = append(all, f)
	}
	if err == nil {
		all = append(all, finding{"config", fine, "in force; pwb config check shows it", ""})
	}
	return all
}

// maxSkew is what Microsoft's and our own checks forgive; a clock that is farther off refuses good tickets.
const maxSkew = 5 * time.Minute

func checkProvider(ctx context.Context, r config.Root, cfg *config.Config) []finding {
	if !cfg.OpenID {
		return []finding{{"provider", fine, "none: this machine takes session tickets and codes alone", ""}}
	}
	lines, err := askProvider(ctx, r, cfg)
	if err != nil {
		return []finding{{"provider", serious, err.Error(), "check the network, proxies and auth-openid-issuer"}}
	}
	all := []finding{{"provider", fine, strings.Join(lines, ", "), ""}}
	if skew, known := clockSkew(ctx, cfg.Issuer); known {
		f := finding{"clock", fine, fmt.Sprintf("%v off the provider's", skew.Round(time.Second)), ""}
		if skew.Abs() > time.Minute {
			f.level, f.do = odd, "synchronise it (chrony, systemd-timesyncd)"
		}
		if skew.Abs() > maxSkew {
			f.level = serious
		}
		all = append(all, f)
	}
	return all
}

// clockSkew compares the clock with the Date that the provider sends, which may be off itself, but then it issues such tickets.
func clockSkew(ctx context.Context, issuer string) (time.Duration, bool) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", nil)
	if err != nil {
		return 0, false
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return 0, false
	}
	resp.Body.Close()
	theirs, err := http.ParseTime(resp.Header.Get("Date"))
	return time.Since(theirs), err == nil
}

// libraryFolders are where distributions have libraries.
func libraryFolders(r config.Root) (dirs []string) {
	for _, pattern := range []string{"/usr/lib64", "/usr/lib/*-linux-gnu", "/lib64", "/lib/*-linux-gnu", "/usr/lib", "/lib"} {
		found, _ := filepath.Glob(r.Join(pattern))
		dirs = append(dirs, found...)
	}
	return dirs
}

func checkModules(r config.Root) (all []finding) {
	for _, m := range []struct{ name, below, need string }{
		{"pam_pwb.so", "security", "no host can ask pwb"},
		{"libnss_pwb.so.2", "", "programs cannot see pwb's accounts"},
	} {
		at := ""
		for _, dir := range libraryFolders(r) {
			if path := filepath.Join(dir, m.below, m.name); at == "" && exists(path) {
				at = path
			}
		}
		if at == "" {
			all = append(all, finding{"modules", serious, m.name + " is not installed: " + m.need, "run: make install"})
			continue
		}
		all = append(all, ownedByRoot("modules", at, 0o022))
	}
	return all
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// ownedByRoot checks that only root can write a file or folder.
func ownedByRoot(check, path string, forbidden os.FileMode) finding {
	st, err := os.Stat(path)
	if err != nil {
		return finding{check, serious, err.Error(), ""}
	}
	uid := st.Sys().(*syscall.Stat_t).Uid
	switch {
	case uid != 0 && int(uid) != os.Geteuid():
		return finding{check, serious, fmt.Sprintf("%s belongs to uid %d", path, uid), "run: chown root: " + path}
	case st.Mode().Perm()&forbidden != 0:
		return finding{check, serious, fmt.Sprintf("%s has mode %04o", path, st.Mode().Perm()), fmt.Sprintf("run: chmod go-w %s", path)}
	}
	return finding{check, fine, path, ""}
}

// checkSwitch reads nsswitch.conf as the C library does: where pwb stands decides who answers for a name.
func checkSwitch(r config.Root) (all []finding) {
	path := r.Join("/etc/nsswitch.conf")
	text, err := os.ReadFile(path)
	if err != nil {
		return []finding{{"nsswitch", serious, err.Error(), "without it programs see no accounts of pwb's"}}
	}
	for _, db := range []string{"passwd", "group", "shadow"} {
		all = append(all, checkDatabase(path, db, switchLine(string(text), db)))
	}
	return all
}

func switchLine(text, db string) (services []string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if name, rest, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == db {
			return strings.Fields(strings.NewReplacer("[", " [", "]", "] ").Replace(rest))
		}
	}
	return nil
}

func checkDatabase(path, db string, services []string) finding {
	pwb, files, sss, systemd := slices.Index(services, "pwb"), slices.Index(services, "files"), slices.Index(services, "sss"), slices.Index(services, "systemd")
	f := finding{"nsswitch", serious, "", ""}
	want := map[string]string{"passwd": "files pwb systemd", "group": "files pwb systemd", "shadow": "files pwb"}[db]
	f.do = fmt.Sprintf("in %s write: %s: %s", path, db, want)
	switch {
	case pwb < 0:
		f.says = db + " does not ask pwb: programs do not see its accounts"
	case files < 0 || files > pwb:
		f.says = db + " asks pwb before files: an account of the machine's must win"
	case sss >= 0 && sss < pwb:
		f.says = db + " asks sss before pwb: a name of the directory's would win"
	case blocks(services[:pwb]):
		f.says = db + " stops before pwb: an action [NOTFOUND=return] or [UNAVAIL=return] ends the search"
	case systemd >= 0 && systemd < pwb:
		f.level, f.says = odd, fmt.Sprintf("%s asks systemd before pwb, which costs every look-up some 80 microseconds", db)
	default:
		return finding{"nsswitch", fine, db + ": " + strings.Join(services, " "), ""}
	}
	return f
}

// blocks says whether an action ends the search for a name that the services before do not know.
func blocks(before []string) bool {
	text := strings.ToUpper(strings.Join(before, " "))
	for _, status := range []string{"NOTFOUND=RETURN", "UNAVAIL=RETURN", "!SUCCESS=RETURN"} {
		if strings.Contains(text, status) {
			return true
		}
	}
	return false
}

// checkCaches finds an nscd that remembers who did not exist.
func checkCaches(r config.Root) []finding {
	if !exists(r.Join("/run/nscd/socket")) && !exists(r.Join("/var/run/nscd/socket")) {
		return []finding{{"nscd", fine, "does not run", ""}}
	}
	text, err := os.ReadFile(r.Join("/etc/nscd.conf"))
	if err != nil {
		return []finding{{"nscd", odd, "runs, and its configuration cannot be read: " + err.Error(), ""}}
	}
	var cached []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "enable-cache" && f[2] == "yes" && (f[1] == "passwd" || f[1] == "group") {
			cached = append(cached, f[1])
		}
	}
	if len(cached) == 0 {
		return []finding{{"nscd", fine, "runs, and leaves passwd and group alone", ""}}
	}
	return []finding{{"nscd", serious, "remembers " + strings.Join(cached, " and ") + ": a new account is not seen, a changed one not at once",
		"in /etc/nscd.conf set enable-cache passwd no and enable-cache group no, then restart it"}}
}

func checkHomes(r config.Root, cfg *config.Config) []finding {
	all := []finding{}
	path := r.Join(cfg.HomePath)
	if st, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		all = append(all, finding{"homes", fine, path + " is made with the first home", ""})
	} else if err != nil || !st.IsDir() {
		all = append(all, finding{"homes", serious, fmt.Sprintf("user-homedir-path %s: %v", path, err), "it must be a folder"})
	} else {
		all = append(all, ownedByRoot("homes", path, 0o022))
	}
	if shell := r.Join(cfg.Shell); !exists(shell) {
		all = append(all, finding{"shell", serious, "default-shell " + shell + " is not there: nobody could log in", "install it, or set default-shell in pwb.conf"})
	} else if text, err := os.ReadFile(r.Join("/etc/shells")); err == nil && !slices.Contains(strings.Split(string(text), "\n"), cfg.Shell) {
		all = append(all, finding{"shell", odd, cfg.Shell + " is not in /etc/shells: some programs refuse such accounts", "add it there"})
	}
	return all
}

func checkWorker(r config.Root) finding {
	path := r.Join(socketPath)
	conn, err := net.DialTimeout("unixpacket", path, 2*time.Second)
	if err != nil {
		return finding{"worker", odd, "no resident worker answers at " + path + ": one is started for each call, which is slower, and needs a host that is root",
			"run: systemctl enable --now pwb-worker.socket"}
	}
	conn.Close()
	return finding{"worker", fine, "answers at " + path, ""}
}

func checkSSH(r config.Root) finding {
	text, err := os.ReadFile(r.Join("/etc/ssh/sshd_config"))
	if err != nil {
		return finding{"sshd", fine, "is not installed", ""}
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 2 && strings.EqualFold(f[0], "UsePAM") {
			if strings.EqualFold(f[1], "yes") {
				return finding{"sshd", fine, "asks PAM", ""}
			}
			break
		}
		if len(f) > 0 && strings.EqualFold(f[0], "Match") {
			break
		}
	}
	return finding{"sshd", serious, "does not ask PAM: keys of locked people keep working, and homes are not made", "set UsePAM yes in sshd_config"}
}
