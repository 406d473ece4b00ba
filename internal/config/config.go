package config

import (
	"errors"
	"fmt"
	"io/fs"
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
)

// ErrNotConfigured is returned when OpenID Connect is not switched on (auth-openid).
var ErrNotConfigured = errors.New("OpenID Connect is not configured")

// Config is what the files say. A value that Load has returned with an error must not be used to decide about people.
type Config struct {
	OpenID        bool
	Issuer        string
	ClientID      string
	UsernameClaim string
	GroupsClaim   string
	Scopes        []string

	MinUID         uint32
	RequiredGroups []string // nil: none is required

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
	FullUsernames        bool // alice_example.com, in accounts that pwb makes
	SuffixNames          bool // alice-2 where alice is another identity's; else a refusal
	RejectNames          bool // the refusal was asked for, so it is SCIM's answer too
	ExternalIsSubject    bool // SCIM's externalId is the sub claim; else only an Object ID of Entra ID says whose a user is
	Shell                string
	AllowUsers           []string // nil: all
	DenyUsers            []string
	DenyGroups           []string
	GroupMap             map[string]string // a provider's object to a group of the machine
	InsecureReuseTickets bool

	Web Web

	InForce  []InForce // every setting that pwb knows and that is right, in the order of the manual
	Foreign  []string  // keys of rserver.conf that are not pwb's, in the order of the file, each once
	Warnings Problems

	clientSecret secret.Text // as written; Secret decrypts it
	loader       Loader

	provisioningGiven bool
}

// Registers says whether a first login makes an account.
func (c *Config) Registers() bool { return c.Provisioning && c.RegisterOnFirstLogin }

// Provisions says whether an identity provider may manage accounts by SCIM. Whoever generates a token for it says so, unless
// the files say no.
func (c *Config) Provisions() bool { return c.Provisioning || !c.provisioningGiven }

// InForce is one setting and where it comes from; File is empty for a default.
type InForce struct {
	Key, Value, File string
	Line             int
}

// Loader reads the files.
type Loader struct {
	Root       Root
	ServiceUID func() int // of rstudio-server, who may own the files, or -1; asked only when it matters
}

// Load reads the three files. The error is ErrNotConfigured, or Problems with everything that is wrong in all of them.
// The Config is never nil: what was read up to an error is there to be shown.
func (l Loader) Load() (*Config, error) {
	r := newReading(l)
	for _, from := range sources {
		r.read(from)
	}
	r.minimumUserID()
	return r.finish()
}

// Secret decrypts the client secret. It is empty when there is none.
func (c *Config) Secret() (secret.Text, error) {
	text, err := c.openSecret(c.clientSecret.Reveal())
	if err != nil {
		return secret.Text{}, fmt.Errorf("decrypt client-secret: %w", err)
	}
	return text, nil
}

func (c *Config) openSecret(written string) (secret.Text, error) {
	switch {
	case secret.Sealed(written):
		key, err := c.loader.Key()
		if errors.Is(err, fs.ErrNotExist) {
			return secret.Text{}, fmt.Errorf("%w; it comes from the machine where pwb encrypt-password ran, or run that again", err)
		}
		if err != nil {
			return secret.Text{}, err
		}
		text, err := key.Open("client-secret", written)
		if err != nil {
			return secret.Text{}, fmt.Errorf("%w; run pwb encrypt-password again on this machine", err)
		}
		return text, nil
	case secret.SealedByWorkbench(written):
		key, err := c.loader.WorkbenchKey()
		if err != nil {
			return secret.Text{}, err
		}
		return secret.OpenWorkbench(key, written)
	}
	return c.clientSecret, nil
}

// Key reads the key that pwb encrypt-password has made. The error is fs.ErrNotExist before it has made one.
func (l Loader) Key() (*secret.Key, error) {
	path := l.Root.Join(KeyFile)
	text, err := readFile(path, l.private("key"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, err := secret.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// TicketKeys reads the file of session-ticket-keys, which says whose session tickets are good.
func (c *Config) TicketKeys() ([]byte, error) {
	path := c.loader.Root.Join(c.Web.TicketKeys)
	text, err := readFile(path, c.loader.rootsOwn)
	if err != nil {
		return nil, fmt.Errorf("session-ticket-keys: %s: %w", path, err)
	}
	return text, nil
}

// WorkbenchKey reads Workbench's secure-cookie-key, whose bytes count as they are.
func (l Loader) WorkbenchKey() ([]byte, error) {
	path := l.Root.Join(CookieKey)
	key, err := readFile(path, l.private("key"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}
