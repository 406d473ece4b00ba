package ticket

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/pwb-project/pwb/internal/account"
)

var entraHosts = []string{
	"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn", "login.chinacloudapi.cn",
	"login.microsoft.com", "login.windows.net", "sts.windows.net",
}

// personalAccounts is the tenant of all of Microsoft's private customers: "consumers", written as a GUID.
const personalAccounts = "9188040d-6c67-4c5b-b112-36a304b66dad"

// entraTenant returns the tenant of an Entra ID issuer, "" for other providers, and an error with advice for the forms of
// an Entra ID issuer that stand for more or less than one tenant.
func entraTenant(issuer *url.URL) (string, error) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(issuer.Path, "/"), "/")
	entra := slices.Contains(entraHosts, strings.ToLower(issuer.Hostname()))
	switch everybody := []string{"common", "organizations", "consumers", personalAccounts}; {
	case (entra || rest == "v2.0") && slices.Contains(everybody, strings.ToLower(first)):
		return "", fmt.Errorf("%q stands for everybody's tenants; write the GUID of your own in its place", first)
	case account.IsGUID(first) && rest == "v2.0":
		return strings.ToLower(first), nil
	case !entra:
		return "", nil
	}
	if account.IsGUID(first) {
		return "", errors.New("the issuer of version 2.0 ends in /v2.0, without a slash after it")
	}
	return "", fmt.Errorf("the issuer has the tenant's GUID in place of %q: https://login.microsoftonline.com/GUID/v2.0", first)
}

// IsEntra says whether an issuer is a tenant of Entra ID's.
func IsEntra(issuer string) bool {
	u, err := url.Parse(issuer)
	if err != nil {
		return false
	}
	tenant, err := entraTenant(u)
	return err == nil && tenant != ""
}

var errPlainHTTP = errors.New("not https; plain http is for a provider on a loopback address, with allow-loopback-http=1 in pwb.conf")

// secureURL demands https, or http to this machine where that is allowed.
func secureURL(u *url.URL, allowLoopback bool) error {
	if u.Scheme == "https" {
		return nil
	}
	if u.Scheme == "http" && allowLoopback && loopback(u.Hostname()) {
		return nil
	}
	return errPlainHTTP
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
