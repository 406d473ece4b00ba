package config

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pwb-project/pwb/internal/secret"
)

// The files, below Root.
const (
	ServerFile = "/etc/rstudio/rserver.conf"
	SecretFile = "/etc/rstudio/openid-client-secret"
	OwnFile    = "/etc/rstudio/pwb.conf"
	KeyFile    = "/etc/rstudio/pwb-secret.key"
	CookieKey  = "/etc/rstudio/secure-cookie-key" // Workbench's
	loginDefs  = "/etc/login.defs"

	maxFile = 1 << 20
)

// ErrNotConfigured is returned when OpenID Connect is not switched on (auth-openid).
var ErrNotConfigured = errors.New("OpenID Connect is not configured")

// Config is what the files say. A value that Load has returned with an error must not be used to decide about people.
type Config struct {
	OpenID        bool
	Issuer        string
	ClientID      string
	ClientSecret  string // as written; Secret decrypts it
	UsernameClaim string
	GroupsClaim   string
	Scopes        []string

	MinUID         uint32
	RequiredGroups []string

	Provisioning         bool
	RegisterOnFirstLogin bool
	PAMSessions          bool
	StartUID             uint32
	StartGID             uint32
	HomePath             string

	AllowLoopbackHTTP    bool
	TicketMaxAge         time.Duration
	TicketAlgorithms     []string
	TicketRequireNonce   bool
	KeysMaxStale         time.Duration
	KeysHost             string
	UsernameDomains      []string // nil: any, removed
	KeepDomain           bool
	InsecureReuseTickets bool

	InForce  []InForce // every setting that pwb knows, in the order of the manual
	Foreign  int       // keys of rserver.conf that are not pwb's
	Warnings Problems

	root Root
}

// InForce is one setting and where it comes from; File is empty for a default.
type InForce struct {
	Key, Value, File string
	Line             int
}

// Loader reads the files.
type Loader struct {
	Root       Root
	ServiceUID func() int // of rstudio-server, who may own the files; -1 when there is no such user. Asked only when it matters
}

// Load reads the three files. The error is ErrNotConfigured, or Problems with everything that is wrong in all of them.
func (l Loader) Load() (*Config, error) {
	c := &Config{root: l.Root}
	r := &reading{config: c, loader: l, given: map[string]setting{}, file: map[string]string{}}
	r.read(ServerFile, serverKeys, l.othersMayRead)
	r.read(SecretFile, secretKeys, l.nobodyElseMayRead)
	r.read(OwnFile, ownKeys, l.othersMayRead)
	r.apply()
	if !c.OpenID && !r.problems.serious() {
		return c, fmt.Errorf("%w: %s does not say auth-openid=1", ErrNotConfigured, l.Root.Join(ServerFile))
	}
	r.cross()
	if r.problems.serious() {
		return c, r.problems
	}
	c.Warnings = r.problems
	return c, nil
}

// reading collects settings and problems of one Load.
type reading struct {
	config   *Config
	loader   Loader
	given    map[string]setting
	file     map[string]string // key to the file it stands in
	problems Problems
}

func (r *reading) read(name string, keys []key, check func(name string, st os.FileInfo) error) {
	path := r.loader.Root.Join(name)
	text, err := readFile(path, check)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		r.problem(path, 0, "%v", err)
		return
	}
	settings, problems := parse(path, text)
	r.problems = append(r.problems, problems...)
	if name == SecretFile {
		settings = r.splitLine(path, settings)
	}
	for _, s := range settings {
		r.take(name, path, s, keys)
	}
}

func (r *reading) take(name, path string, s setting, keys []key) {
	if slices.ContainsFunc(keys, func(k key) bool { return k.name == s.key }) {
		r.given[s.key], r.file[s.key] = s, path
		return
	}
	near := nearest(s.key, names(keys))
	if name == ServerFile {
		r.config.Foreign++ // Workbench has hundreds
		if near != "" && editDistance(near, s.key) <= 2 {
			r.warning(path, s.line, "%s is not a key of pwb's; did you mean %s?", s.key, near)
		}
		return
	}
	advice := "see pwb.conf(5)"
	if near != "" {
		advice = "did you mean " + near + "?"
	}
	r.problem(path, s.line, "unknown key %q; %s", s.key, advice)
}

// splitLine forgives the guide's web page, which shows both keys of the secret's file on one line.
func (r *reading) splitLine(path string, settings []setting) []setting {
	for i, s := range settings {
		id, rest, found := strings.Cut(s.value, " client-secret=")
		if s.key == "client-id" && found {
			r.warning(path, s.line, "client-id and client-secret stand on one line; give each its own")
			settings[i].value = unquote(strings.TrimSpace(id))
			settings = append(settings, setting{"client-secret", unquote(strings.TrimSpace(rest)), s.line})
		}
	}
	return settings
}

func (r *reading) apply() {
	for _, list := range [][]key{serverKeys, secretKeys, ownKeys} {
		for _, k := range list {
			s, given := r.given[k.name]
			value := k.fallback
			if given {
				value = s.value
			}
			if err := k.set(r.config, value); err != nil {
				r.problem(r.file[k.name], s.line, "%s=%s: %v", k.name, shown(k, value), err)
			}
			r.config.InForce = append(r.config.InForce, InForce{k.name, shown(k, value), r.file[k.name], s.line})
		}
	}
}

func shown(k key, value string) string {
	switch {
	case !k.secret || value == "":
		return value
	case secret.Sealed(value):
		return "[encrypted by pwb]"
	case secret.SealedByWorkbench(value):
		return "[encrypted by Workbench]"
	}
	return "[plain text; pwb encrypt-password encrypts it]"
}

// cross checks what needs more than one key.
func (r *reading) cross() {
	c := r.config
	server, secretFile, own := r.path(ServerFile), r.path(SecretFile), r.path(OwnFile)
	switch {
	case c.Issuer == "":
		r.problem(server, 0, "auth-openid-issuer is missing; for Entra ID it is https://login.microsoftonline.com/TENANT/v2.0")
	default:
		if err := checkIssuer(c.Issuer, c.AllowLoopbackHTTP); err != nil {
			r.problem(server, r.given["auth-openid-issuer"].line, "auth-openid-issuer=%s: %v", c.Issuer, err)
		}
	}
	if _, err := os.Lstat(secretFile); errors.Is(err, os.ErrNotExist) {
		r.problem(secretFile, 0, "does not exist; write client-id and client-secret into it, mode 0600")
	} else if c.ClientID == "" && !r.problems.about(secretFile) {
		r.problem(secretFile, 0, "client-id is missing")
	}
	if c.InsecureReuseTickets && (!c.AllowLoopbackHTTP || !isLoopbackURL(c.Issuer)) {
		r.problem(own, r.given["insecure-reuse-tickets"].line, "insecure-reuse-tickets is for tests against a provider on a loopback address only")
	}
	if c.InsecureReuseTickets {
		r.warning(own, r.given["insecure-reuse-tickets"].line, "tickets are not spent: who sees one can use it again")
	}
	if c.Provisioning {
		r.warning(server, r.given["user-provisioning-enabled"].line, "user-provisioning-enabled: this version creates no accounts; they must exist on the machine")
	}
}

func (r *reading) path(name string) string { return r.loader.Root.Join(name) }

func (p Problems) about(file string) bool {
	return slices.ContainsFunc(p, func(one Problem) bool { return one.File == file && !one.Warning })
}

func (r *reading) problem(file string, line int, format string, args ...any) {
	r.problems = append(r.problems, Problem{File: file, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (r *reading) warning(file string, line int, format string, args ...any) {
	r.problems = append(r.problems, Problem{File: file, Line: line, Warning: true, Text: fmt.Sprintf(format, args...)})
}

// readFile reads a regular file after a look at owner and mode on the open descriptor.
func readFile(path string, check func(string, os.FileInfo) error) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if err := check(path, st); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("over %d bytes", maxFile)
	}
	return text, nil
}

// othersMayRead trusts what only root, or who runs pwb, can write: these files say whose tickets are good.
func (l Loader) othersMayRead(path string, st os.FileInfo) error {
	if st.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("can be written by others (mode %04o); run: chmod 0644 %s", st.Mode().Perm(), path)
	}
	return l.owned(path, st, "root")
}

func (l Loader) nobodyElseMayRead(path string, st os.FileInfo) error {
	if st.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("client secret is readable by others (mode %04o); run: chmod 0600 %s", st.Mode().Perm(), path)
	}
	return l.owned(path, st, "rstudio-server:rstudio-server")
}

func (l Loader) owned(path string, st os.FileInfo, should string) error {
	uid := int(st.Sys().(*syscall.Stat_t).Uid)
	if uid == 0 || uid == os.Geteuid() || uid == l.ServiceUID() {
		return nil
	}
	return fmt.Errorf("belongs to uid %d; run: chown %s %s", uid, should, path)
}

// Secret decrypts the client secret. setting and key are what encrypt-password used.
func (c *Config) Secret() (secret.Text, error) {
	switch {
	case secret.Sealed(c.ClientSecret):
		key, err := secret.LoadKey(c.root.Join(KeyFile))
		if err != nil {
			return secret.Text{}, fmt.Errorf("decrypt client-secret: %w", err)
		}
		text, err := key.Open("client-secret", c.ClientSecret)
		if err != nil {
			return secret.Text{}, fmt.Errorf("decrypt client-secret: %w; run pwb encrypt-password again on this machine", err)
		}
		return text, nil
	case secret.SealedByWorkbench(c.ClientSecret):
		key, err := readFile(c.root.Join(CookieKey), func(string, os.FileInfo) error { return nil })
		if err != nil {
			return secret.Text{}, fmt.Errorf("decrypt client-secret: %w", err)
		}
		text, err := secret.OpenWorkbench(key, c.ClientSecret)
		if err != nil {
			return secret.Text{}, fmt.Errorf("decrypt client-secret: %w", err)
		}
		return text, nil
	}
	return secret.New(c.ClientSecret), nil
}

func checkIssuer(issuer string, allowLoopback bool) error {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("not an absolute URL without query")
	case u.Scheme == "http" && isLoopbackURL(issuer) && !allowLoopback:
		return errors.New("plain http; if this provider is for tests, set allow-loopback-http=1 in pwb.conf")
	case u.Scheme != "https" && !(u.Scheme == "http" && isLoopbackURL(issuer)):
		return errors.New("not https; plain http is only for a provider on a loopback address")
	}
	return checkEntra(u)
}

func checkEntra(u *url.URL) error {
	if !strings.HasPrefix(u.Hostname(), "login.microsoftonline.") && u.Hostname() != "sts.windows.net" {
		return nil
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	switch strings.ToLower(tenant) {
	case "common", "organizations", "consumers":
		return fmt.Errorf("%q stands for every tenant there is; write your own tenant's GUID (Directory ID) in its place", tenant)
	}
	if len(tenant) != 36 || strings.Count(tenant, "-") != 4 {
		return fmt.Errorf("%q is not a tenant's GUID; the portal shows it as Directory (tenant) ID", tenant)
	}
	if !strings.HasSuffix(u.Path, "/v2.0") {
		return errors.New("the issuer of version 2.0 ends in /v2.0")
	}
	return nil
}

func isLoopbackURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// uidMin reads UID_MIN of login.defs(5), or 1000.
func (c *Config) uidMin() uint32 {
	const fallback = 1000
	text, err := readFile(c.root.Join(loginDefs), func(string, os.FileInfo) error { return nil })
	if err != nil {
		return fallback
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) >= 2 && f[0] == "UID_MIN" {
			if n, err := strconv.ParseUint(f[1], 0, 32); err == nil && n > 0 {
				return uint32(n)
			}
		}
	}
	return fallback
}
