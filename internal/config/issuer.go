package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/pwb-project/pwb/internal/account"
)

// checkIssuer refuses what cannot be the issuer of one's own tickets. Tickets are compared with it byte by byte, so it
// also refuses what Entra ID never writes.
func checkIssuer(issuer string, allowLoopback bool) error {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("not an absolute URL without query")
	case strings.HasSuffix(u.Path, "/.well-known/openid-configuration"):
		return errors.New("the address of the discovery document; the issuer is what stands before /.well-known")
	case u.Scheme == "https":
		return checkEntra(u)
	case u.Scheme != "http" || !isLoopbackURL(issuer):
		return errors.New("not https; plain http is only for a provider on a loopback address")
	case !allowLoopback:
		return errors.New("plain http; if this provider is for tests, set allow-loopback-http=1 in pwb.conf")
	}
	return nil
}

var entraHosts = []string{
	"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn", "login.chinacloudapi.cn",
	"login.microsoft.com", "login.windows.net", "sts.windows.net",
}

// everybody are the names of all tenants, and the tenant of all of Microsoft's private customers.
var everybody = []string{"common", "organizations", "consumers", "9188040d-6c67-4c5b-b112-36a304b66dad"}

// checkEntra holds an issuer of Microsoft's to a single tenant. With the addresses that stand for all tenants, whoever
// has any Microsoft account could sign in.
func checkEntra(u *url.URL) error {
	host := strings.ToLower(u.Hostname())
	if !slices.Contains(entraHosts, host) {
		return nil
	}
	tenant, version, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	switch lower := strings.ToLower(tenant); {
	case slices.Contains(everybody, lower):
		return fmt.Errorf("%q stands for every tenant there is; write your own tenant's GUID (Directory ID) in its place", tenant)
	case host == "sts.windows.net":
		return errors.New("the issuer of version 1.0; write https://login.microsoftonline.com/TENANT-GUID/v2.0")
	case !account.IsGUID(lower):
		return fmt.Errorf("%q is not a tenant's GUID; the portal shows it as Directory (tenant) ID", tenant)
	case lower != tenant:
		return fmt.Errorf("tickets have the tenant's GUID in small letters; write %s", lower)
	case version == "v2.0/":
		return errors.New("tickets have no slash at the end; write it without")
	case version != "v2.0":
		return errors.New("the issuer of version 2.0 ends in /v2.0")
	}
	return nil
}

// isLoopbackURL says whether an URL stays on this machine. What localhost is, the machine's own /etc/hosts says.
func isLoopbackURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
