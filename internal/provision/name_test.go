package provision

import (
	"errors"
	"fmt"
	"testing"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
)

// Whoever gets a login name gets it by one list of refusals: by a first login, in its preview, or from the provider's directory.
func TestAllDoorsRefuseTheSameNames(t *testing.T) {
	for _, tt := range []struct {
		username string
		suffix   bool
		want     account.Name
		wantErr  error
	}{
		{"carol@example.com", false, "carol", nil},
		{"taken@other.example", false, "", ErrNameTaken},
		{"taken@other.example", true, "taken-2", nil},
		{"local@example.com", true, "", ErrNameTaken},
		{"data@example.com", true, "", ErrNameTaken},
		{"slow@example.com", true, "", store.ErrUnavailable},
		{"root@example.com", true, "", account.ErrName},
		{"a:b@example.com", true, "", account.ErrName},
		{"12345@example.com", true, "", account.ErrName},
	} {
		for door, enter := range map[string]func(*Provisioner) (account.Name, error){
			"first login": func(p *Provisioner) (account.Name, error) { return p.Login(ctx, evidence("2", "s", tt.username), "") },
			"preview": func(p *Provisioner) (account.Name, error) {
				one := p.Preview(ctx, []string{tt.username})[0]
				return one.Name, one.Err
			},
			"directory": func(p *Provisioner) (account.Name, error) {
				u, err := p.CreateUser(ctx, person("2", tt.username, "oid-2"), Actor{})
				return u.Account.Name, err
			},
		} {
			p, _, _ := managed(t, true)
			if _, err := p.Login(ctx, evidence("1", "t", "taken@example.com"), ""); err != nil {
				t.Fatal(err)
			}
			p.Register.Suffix, p.Directory.Suffix = tt.suffix, tt.suffix
			if name, err := enter(p); name != tt.want || !errors.Is(err, tt.wantErr) {
				t.Errorf("%s, %s: %q, %v; want %q, %v", tt.username, door, name, err, tt.want, fmt.Sprint(tt.wantErr))
			}
		}
	}
}
