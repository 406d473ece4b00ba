package scim

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/pwb-project/pwb/internal/store"
)

// fileToken is the id of the token from a file.
const fileToken = "file"

// refusal is one text for a token that is missing, wrong, expired, revoked or from elsewhere: who guesses learns nothing.
func refusal() *fault {
	return &fault{
		status: http.StatusUnauthorized, detail: "a valid bearer token is needed; the operator of this machine makes one with: pwb user-service generate-token",
		header: map[string]string{"WWW-Authenticate": `Bearer realm="pwb"`},
	}
}

// authenticate returns the token of a request and what it may. reason is for the log.
func (h *Handler) authenticate(ctx context.Context, r *http.Request, from netip.Addr) (t store.Token, reason string, err error) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	text = strings.TrimSpace(text)
	if !strings.EqualFold(scheme, "Bearer") || text == "" {
		return t, "no bearer token", nil
	}
	hash := HashToken(text)
	if h.FileToken != nil {
		if want, ok := h.FileToken(); ok && subtle.ConstantTimeCompare(hash[:], want[:]) == 1 {
			return store.Token{ID: fileToken, Name: "PWB_SCIM_TOKEN_FILE", Scope: ScopeWrite}, "", nil
		}
	}
	id, err := parseToken(text)
	if err != nil {
		return t, err.Error(), nil
	}
	t, err = h.Store.Token(ctx, id)
	switch {
	case errors.Is(err, store.ErrNoToken):
		return t, "no such token", nil
	case err != nil:
		return t, "", err
	case subtle.ConstantTimeCompare(hash[:], t.Hash[:]) != 1:
		return t, "wrong secret of token " + id, nil
	case !t.Revoked.IsZero():
		return t, "token " + id + " is revoked", nil
	case !t.Live(h.now()):
		return t, "token " + id + " has expired", nil
	case !fromOne(t.CIDRs, from):
		return t, "token " + id + " may not come from here", nil
	}
	h.touch(ctx, t)
	return t, "", nil
}

func fromOne(allowed []netip.Prefix, from netip.Addr) bool {
	for _, p := range allowed {
		if p.Contains(from.Unmap()) {
			return true
		}
	}
	return len(allowed) == 0
}

// touch notes the use of a token, once a minute.
func (h *Handler) touch(ctx context.Context, t store.Token) {
	now := h.now()
	h.mu.Lock()
	last := h.touched[t.ID]
	due := now.Sub(last) >= time.Minute && now.Sub(t.LastUsed) >= time.Minute
	if due {
		h.touched[t.ID] = now
	}
	h.mu.Unlock()
	if !due {
		return
	}
	if err := h.Store.TouchToken(context.WithoutCancel(ctx), t.ID, now); err != nil {
		h.Log.Warn("the use of a token is not noted", "token", t.ID, "error", err.Error())
	}
}

// may holds a request to the scope of its token.
func may(t store.Token, r *http.Request) error {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodPost && strings.HasSuffix(strings.TrimSuffix(r.URL.Path, "/"), "/.search")
	if t.Scope == ScopeWrite || t.Scope == ScopeRead && reads {
		return nil
	}
	return &fault{status: http.StatusForbidden, detail: "this token may only read (scim:read); writing needs one of the scope scim:write"}
}

// Limits of wrong tokens. An address that has sent so many is told to wait, if it comes with a wrong one again: a valid token is
// never refused for its neighbours behind the same address.
const (
	maxFailures  = 20
	failureEvery = 3 * time.Second // one more
)
