package config

import (
	"strings"
	"testing"
)

func TestIssuers(t *testing.T) {
	const tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47"
	for _, tt := range []struct{ issuer, own, want string }{
		{issuer, "", ""},
		{"https://idp.example.com", "", ""},
		{"https://idp.example.com/realms/people/", "", ""},
		{"https://login.partner.microsoftonline.cn/" + tenant + "/v2.0", "", ""},
		{"http://127.0.0.1:9998", "allow-loopback-http=1", ""},
		{"http://[::1]:9998", "allow-loopback-http=1", ""},
		{"http://localhost:9998", "allow-loopback-http=1", ""},
		{"http://127.0.0.1:9998", "", "set allow-loopback-http=1 in pwb.conf"},
		{"http://idp.example.com", "allow-loopback-http=1", "not https"},
		{"http://127.0.0.1.example.com", "allow-loopback-http=1", "not https"},
		{"http://localhost.example.com", "allow-loopback-http=1", "not https"},
		{"http://127.0.0.1@idp.example.com", "allow-loopback-http=1", "not an absolute URL"},
		{"http://10.0.0.1", "allow-loopback-http=1", "not https"},
		{"ftp://127.0.0.1", "allow-loopback-http=1", "not https"},
		{"idp.example.com", "", "not an absolute URL"},
		{"https://idp.example.com?tenant=1", "", "not an absolute URL"},
		{"https://idp.example.com/.well-known/openid-configuration", "", "what stands before /.well-known"},
		{"https://login.microsoftonline.com/common/v2.0", "", `"common" stands for every tenant there is`},
		{"https://login.microsoftonline.com/Organizations/v2.0", "", `"Organizations" stands for every tenant there is`},
		{"https://LOGIN.microsoftonline.com/consumers/v2.0", "", `"consumers" stands for every tenant there is`},
		{"https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", "", "stands for every tenant there is"},
		{"https://login.microsoftonline.us/common/v2.0", "", "stands for every tenant there is"},
		{"https://sts.windows.net/common/", "", "stands for every tenant there is"},
		{"https://login.microsoftonline.com/contoso.onmicrosoft.com/v2.0", "", "not a tenant's GUID"},
		{"https://login.microsoftonline.com/<tenant-id>/v2.0", "", "not a tenant's GUID"},
		{"https://login.microsoftonline.com/xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx/v2.0", "", "not a tenant's GUID"},
		{"https://login.microsoftonline.com/" + strings.ToUpper(tenant) + "/v2.0", "", "in small letters; write " + tenant},
		{"https://login.microsoftonline.com/" + tenant, "", "ends in /v2.0"},
		{"https://login.microsoftonline.com/" + tenant + "/v2.0/", "", "no slash at the end"},
		{"https://sts.windows.net/" + tenant + "/", "", "the issuer of version 1.0"},
	} {
		files := guide("", tt.own)
		files[ServerFile] = "auth-openid=1\nauth-openid-issuer=" + tt.issuer + "\n"
		_, err := tree(t, files).Load()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("issuer %s with %q: %v; want %q", tt.issuer, tt.own, err, tt.want)
		}
	}
}
