package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/web"
)

// renewBefore is when a certificate should long have been renewed: certbot does it thirty days before the end.
const renewBefore = 14 * 24 * time.Hour

// checkServe looks at what people's browsers and providers meet.
func checkServe(ctx context.Context, r config.Root, cfg *config.Config) (all []finding) {
	if !cfg.OpenID && !cfg.Provisions() {
		return nil
	}
	if err := checkPlainHTTP(cfg.Web); err != nil {
		all = append(all, finding{"serve", serious, err.Error(), ""})
	}
	all = append(all, checkHealth(ctx, cfg.Web))
	if cfg.Web.TLS {
		all = append(all, checkCertificate(r, cfg.Web, time.Now()))
	}
	if !cfg.OpenID {
		return all
	}
	all = append(all, checkFrontDoor(cfg.Web)...)
	return append(all, checkSecretOwner(r)...)
}

// checkHealth asks pwb serve itself, on this machine. Whose certificate it shows is checkCertificate's to say: it names the front
// door, and not the address that is asked here.
func checkHealth(ctx context.Context, w config.Web) finding {
	at := w.Listen()
	if at.Addr().IsUnspecified() {
		at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
	}
	address := "http://" + at.String() + "/health-check"
	if w.TLS {
		address = "https" + strings.TrimPrefix(address, "http")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return finding{"serve", serious, err.Error(), ""}
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // nothing is sent, and no answer is believed
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return finding{"serve", odd, "pwb serve does not answer at " + address + ": nobody can sign in with a browser, and no provider can manage accounts",
			"run: systemctl enable --now pwb-serve; journalctl -u pwb-serve says why it does not start"}
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	if resp.StatusCode != http.StatusOK {
		return finding{"serve", serious, fmt.Sprintf("%s answers with status %d: %.200q", address, resp.StatusCode, strings.TrimSpace(string(said))), "see journalctl -u pwb-serve"}
	}
	return finding{"serve", fine, "answers at " + address, ""}
}

func checkCertificate(r config.Root, w config.Web, now time.Time) finding {
	cert, err := web.OpenCertificate(r.Join(w.Certificate), r.Join(w.PrivateKey), func(error) {}) // that it is over is said below
	if err != nil {
		return finding{"certificate", serious, err.Error(), ""}
	}
	end := cert.Expires()
	says := fmt.Sprintf("%s is good until %s", r.Join(w.Certificate), end.UTC().Format(time.DateOnly))
	switch left := end.Sub(now); {
	case left <= 0:
		return finding{"certificate", serious, fmt.Sprintf("%s has expired on %s", r.Join(w.Certificate), end.UTC().Format(time.DateOnly)), "renew it; it is taken within a minute"}
	case left < renewBefore:
		return finding{"certificate", odd, says, "renew it; it is taken within a minute"}
	}
	return finding{"certificate", fine, says, ""}
}

// checkFrontDoor looks for addresses that people's browsers cannot come back to, and for proxies that speak for everybody.
func checkFrontDoor(w config.Web) (all []finding) {
	const missing = "launcher-sessions-callback-address is missing: the provider sends people back to "
	switch url := w.URL(hostname()); {
	case w.PublicAddress != "":
	case len(w.Proxies) > 0:
		all = append(all, finding{"front door", serious, missing + url + ", past the proxy", "set it to the proxy's address, such as https://workbench.example.com"})
	case !w.TLS:
		all = append(all, finding{"front door", odd, missing + url + ", where only browsers on this machine find it", "set it to the address that people open"})
	}
	if strings.HasPrefix(w.PublicAddress, "https:") && !w.TLS && len(w.Proxies) == 0 {
		all = append(all, finding{"front door", odd, "trusted-proxies is empty: all people have the proxy's address in the log, and one limit together", "name the proxy there, as 127.0.0.1 when it is on this machine"})
	}
	if len(all) == 0 {
		all = append(all, finding{"front door", fine, "register with the provider: " + w.URL(hostname()) + "/openid/callback", ""})
	}
	return all
}

// checkSecretOwner finds files that root can read and pwb serve cannot.
func checkSecretOwner(r config.Root) (all []finding) {
	if r != "" {
		return nil // an image's numbers are not this machine's
	}
	user, err := others.ByName(serviceUser)
	if err != nil {
		return []finding{{"secret", odd, fmt.Sprintf("the user %s: %v; pwb serve runs as it", serviceUser, err), "run: useradd --system --no-create-home " + serviceUser}}
	}
	for _, name := range []string{config.SecretFile, config.KeyFile} {
		if err := readableBy(r.Join(name), user.UID); errors.Is(err, os.ErrNotExist) {
			continue // that the configuration needs it, its own check says
		} else if err != nil {
			all = append(all, finding{"secret", serious, err.Error() + ": nobody can sign in with a browser", fmt.Sprintf("run: chown %s: %s; chmod 0600 %[2]s", serviceUser, r.Join(name))})
		}
	}
	return all
}

// readableBy knows the form that the guide demands, an owner and mode 0600, and no cleverer one: with others' read permission the
// file is refused anyway.
func readableBy(path string, uid account.UID) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if owner := st.Sys().(*syscall.Stat_t).Uid; owner != uint32(uid) || st.Mode().Perm()&0o400 == 0 {
		return fmt.Errorf("%s belongs to uid %d, mode %04o, and %s (uid %d) cannot read it", path, owner, st.Mode().Perm(), serviceUser, uid)
	}
	return nil
}

// checkTokens warns of tokens of the provider's whose end would stop its whole job.
func checkTokens(ctx context.Context, s *store.Store, now time.Time) (all []finding) {
	warnings, err := expiring(ctx, s, now)
	if err != nil {
		return []finding{{"scim tokens", serious, err.Error(), ""}}
	}
	for _, w := range warnings {
		all = append(all, finding{"scim tokens", odd, w, ""})
	}
	return all
}
