package config

import (
	"errors"
	"io/fs"
	"strings"
)

// cross checks what needs more than one key, or a key that must be there.
func (r *reading) cross() {
	r.issuer()
	r.client()
	r.tests()
	r.provisioning()
}

func (r *reading) issuer() {
	c := r.config
	if c.Issuer == "" {
		if _, given := r.given["auth-openid-issuer"]; !given && r.unread[r.path(ServerFile)] == nil {
			r.problem(r.path(ServerFile), 0,
				"auth-openid-issuer is missing; for Entra ID it is https://login.microsoftonline.com/TENANT-GUID/v2.0")
		}
		return
	}
	if err := checkIssuer(c.Issuer, c.AllowLoopbackHTTP); err != nil {
		s := r.given["auth-openid-issuer"]
		r.problem(s.file, s.line, "auth-openid-issuer=%.200s: %v", c.Issuer, err)
	}
}

func (r *reading) client() {
	path := r.path(SecretFile)
	if err := r.unread[path]; errors.Is(err, fs.ErrNotExist) {
		r.problem(path, 0, "does not exist; write client-id and client-secret into it, mode 0600")
		return
	} else if err != nil {
		return
	}
	for _, name := range []string{"client-id", "client-secret"} {
		if s := r.given[name]; strings.HasPrefix(s.value, "<") && strings.HasSuffix(s.value, ">") {
			r.warning(path, s.line, "%s is still the guide's placeholder; it comes from the provider", name)
		}
	}
	if _, given := r.given["client-id"]; !given {
		r.problem(path, 0, "client-id is missing; Entra ID shows it as Application (client) ID")
	}
	if _, given := r.given["client-secret"]; !given {
		r.warning(path, 0,
			"client-secret is missing; tickets are judged without it, a browser's sign-in needs it")
	}
}

func (r *reading) tests() {
	c := r.config
	reuse := r.given["insecure-reuse-tickets"]
	if !c.InsecureReuseTickets {
		return
	}
	if !c.AllowLoopbackHTTP || !isLoopbackURL(c.Issuer) {
		r.problem(reuse.file, reuse.line,
			"insecure-reuse-tickets is for tests; it needs allow-loopback-http=1 and an issuer on a loopback address")
		return
	}
	r.warning(reuse.file, reuse.line, "tickets are not spent: who sees one can use it again")
}

func (r *reading) provisioning() {
	c := r.config
	switch {
	case !c.Provisioning && c.RegisterOnFirstLogin:
		s := r.given["user-provisioning-register-on-first-login"]
		r.warning(s.file, s.line,
			"user-provisioning-register-on-first-login does nothing without user-provisioning-enabled=1")
	}
	if !c.Provisioning && !r.problems.serious() {
		for _, name := range []string{"username-format", "username-collision", "default-shell", "group-map", "scim-external-id"} {
			if s, given := r.given[name]; given {
				r.warning(s.file, s.line, "%s is for accounts that pwb makes; it makes none without user-provisioning-enabled=1 in rserver.conf", name)
			}
		}
	}
}
