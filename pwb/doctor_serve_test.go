package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/config"
	"github.com/pwb-project/pwb/internal/store"
)

func TestCheckFrontDoor(t *testing.T) {
	proxy := []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}
	for _, tt := range []struct {
		web  config.Web
		want string
	}{
		{config.Web{PublicAddress: "https://w.example", Proxies: proxy, RootPath: "/"}, "ok: register with the provider: https://w.example/openid/callback"},
		{config.Web{PublicAddress: "https://w.example", RootPath: "/pwb", TLS: true}, "ok: register with the provider: https://w.example/pwb/openid/callback"},
		{config.Web{PublicAddress: "https://w.example", RootPath: "/"}, "warning: trusted-proxies is empty"},
		{config.Web{Proxies: proxy, Port: 8787}, "PROBLEM: launcher-sessions-callback-address is missing: the provider sends people back to http://127.0.0.1:8787, past the proxy"},
		{config.Web{Port: 8787}, "warning: launcher-sessions-callback-address is missing"},
		{config.Web{Port: 443, TLS: true}, "ok: register"},
	} {
		if got := says(checkFrontDoor(tt.web)); len(got) != 1 || !strings.HasPrefix(got[0], tt.want) {
			t.Errorf("%+v: %q; want %q", tt.web, got, tt.want)
		}
	}
}

func (r *tree) certificate(until time.Time) {
	r.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"w.example"}, NotBefore: until.Add(-90 * 24 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		r.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("/cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
	r.write("/key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), 0o600)
}

func TestCheckCertificate(t *testing.T) {
	r := newTree(t)
	w, now := config.Web{Certificate: "/cert.pem", PrivateKey: "/key.pem"}, time.Now()
	for left, want := range map[time.Duration]string{
		15 * 24 * time.Hour: "ok: ", 13 * 24 * time.Hour: "warning: ", -time.Hour: "PROBLEM: " + r.dir + "/cert.pem has expired on ",
	} {
		r.certificate(now.Add(left))
		if got := says([]finding{checkCertificate(root0(r), w, now)})[0]; !strings.HasPrefix(got, want) {
			t.Errorf("%v left: %s; want %s", left, got, want)
		}
	}
	if err := os.Chmod(filepath.Join(r.dir, "key.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := says([]finding{checkCertificate(root0(r), w, now)})[0]; !strings.HasPrefix(got, "PROBLEM: ") || !strings.Contains(got, "readable by everybody") {
		t.Errorf("a key that everybody reads: %s", got)
	}
}

func TestReadableBy(t *testing.T) {
	r := newTree(t)
	r.write("/secret", "", 0o600)
	path, me := filepath.Join(r.dir, "secret"), account.UID(os.Getuid())
	if err := readableBy(path, me); err != nil {
		t.Error(err)
	}
	if err := readableBy(path, me+1); err == nil || !strings.Contains(err.Error(), "cannot read it") {
		t.Errorf("another's: %v", err)
	}
	if err := os.Chmod(path, 0o200); err != nil {
		t.Fatal(err)
	}
	if err := readableBy(path, me); err == nil {
		t.Error("a mode without reading is good")
	}
}

func TestCheckTokens(t *testing.T) {
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "pwb.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	for i, days := range []int{20, 40} {
		token := store.Token{ID: fmt.Sprintf("token%03d", i), Name: fmt.Sprint("in ", days), Hash: [32]byte{byte(i)}, Created: now, Expires: now.Add(time.Duration(days) * 24 * time.Hour)}
		if err := s.PutToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	if got := says(checkTokens(t.Context(), s, now)); len(got) != 1 || !strings.HasPrefix(got[0], `warning: token "in 20"`) {
		t.Errorf("%q", got)
	}
}

// What serve refuses doctor names, and a server that answers is seen.
func TestDoctorAsksServe(t *testing.T) {
	r, port := newTree(t), freePort(t)
	settings := fmt.Sprintf("auth-openid=1\nauth-openid-issuer=%s\nwww-port=%d\n", entra, port)
	r.write("/etc/rstudio/rserver.conf", settings, 0o644)
	r.write("/etc/rstudio/openid-client-secret", "client-id=a\nclient-secret=b\n", 0o600)
	doctor := func(want string) {
		t.Helper()
		if out, _, _ := r.pwb("", "doctor", "--offline"); !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	doctor("warning serve         pwb serve does not answer at http://127.0.0.1")
	r.serve()
	doctor("ok      serve         answers at http://127.0.0.1")
	r.write("/etc/rstudio/rserver.conf", settings+"www-address=0.0.0.0\n", 0o644)
	doctor("PROBLEM serve         plain HTTP on 0.0.0.0")
	r.write("/etc/rstudio/rserver.conf", settings+"ssl-enabled=1\nssl-certificate=/cert.pem\nssl-certificate-key=/key.pem\n", 0o644)
	doctor("PROBLEM certificate")
}
