package ticket

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/pwb-project/pwb/internal/account"
)

// Tenant returns the tenant of an Entra ID issuer, or "" for other providers.
func Tenant(issuer string) (string, error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return "", err
	}
	return entraTenant(u)
}

// Subject completes what an operator writes for a person's stable name at an issuer: for Entra ID an object id, to which the
// tenant belongs; for others the sub claim as it is.
func Subject(issuer, written string) (string, error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return "", err
	}
	tenant, err := entraTenant(u)
	switch {
	case err != nil:
		return "", err
	case tenant == "":
		if !clean(written, maxSubject) {
			return "", fmt.Errorf("%q is no sub claim", written)
		}
		return written, nil
	}
	object := strings.ToLower(strings.TrimPrefix(strings.ToLower(written), tenant+"/"))
	if !account.IsGUID(object) {
		return "", fmt.Errorf("%q is not a person's Object ID, as Entra ID shows it", written)
	}
	return tenant + "/" + object, nil
}
