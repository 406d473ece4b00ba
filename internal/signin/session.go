package signin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
)

const (
	touchEvery  = time.Minute
	browserLife = 24 * time.Hour // of a session that ends with the browser, which may never be closed
)

var (
	errNoSession = errors.New("nobody is signed in")
	errForm      = errors.New("a form that is not from this session")
)

// visit is a request of somebody who is signed in.
type visit struct {
	id      string // what the cookie says
	session store.WebSession
	account store.Account
	admin   func() error // why there are no administrator's pages for this person; asked at most once
}

// Name is the account's.
func (v *visit) Name() account.Name { return v.account.Name }

// token is in each form of a session; another session, or another site, has not got it.
func (v *visit) token() string {
	sum := derived("form", v.id)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func sessionID(cookie string) [32]byte { return sha256.Sum256([]byte(cookie)) }

func (d *Door) longest() time.Duration {
	if d.cfg.StaySignedIn == 0 {
		return browserLife
	}
	return d.cfg.StaySignedIn
}

// over says whether a session has ended by itself. The settings of today count, not those of its beginning.
func (d *Door) over(s store.WebSession, now time.Time) bool {
	return d.cfg.Idle > 0 && now.Sub(s.Used) >= d.cfg.Idle || now.Sub(s.Created) >= d.longest()
}

// beginSession signs a browser in, always under a new name: one that was there before could be somebody else's gift.
func (d *Door) beginSession(w http.ResponseWriter, r *http.Request, name account.Name, who account.Identity, idToken []byte) error {
	if before := d.cookie(r, sessionCookie); before != "" {
		if err := d.cfg.Store.EndSession(r.Context(), sessionID(before)); err != nil {
			return err
		}
	}
	id, now := random(), d.cfg.Now()
	s := store.WebSession{ID: sessionID(id), Account: name, Identity: who, Created: now, Used: now}
	if len(idToken) <= maxHint {
		s.Hint = []byte(hintKey(id).Seal("id_token_hint", string(idToken)))
	}
	idle := now.Add(-d.longest())
	if d.cfg.Idle > 0 {
		idle = now.Add(-d.cfg.Idle)
	}
	if err := d.cfg.Store.PutSession(r.Context(), s, idle, now.Add(-d.longest())); err != nil {
		return err
	}
	d.setCookie(w, sessionCookie, id, d.cfg.StaySignedIn)
	return nil
}

// visit says who sends a request. The account is looked at each time: whose access has ended is out at the next click.
func (d *Door) visit(r *http.Request) (*visit, error) {
	v := &visit{id: d.cookie(r, sessionCookie)}
	if !looksRandom(v.id) {
		return v, errNoSession
	}
	var err error
	v.session, err = d.cfg.Store.FindSession(r.Context(), sessionID(v.id))
	if errors.Is(err, store.ErrNoSession) {
		return v, errNoSession
	} else if err != nil {
		return v, err
	}
	now := d.cfg.Now()
	if d.over(v.session, now) {
		return v, errors.Join(errNoSession, d.cfg.Store.EndSession(r.Context(), v.session.ID))
	}
	v.account, err = d.cfg.Accounts.Find(r.Context(), v.session.Account)
	switch bound := v.account.Identity; {
	case errors.Is(err, store.ErrUnavailable):
		return v, err
	case err != nil:
		return v, errors.Join(err, d.cfg.Store.EndSession(r.Context(), v.session.ID))
	case bound.Issuer != v.session.Identity.Issuer, bound.Subject != v.session.Identity.Subject, bound.Issuer != d.cfg.Issuer:
		return v, errors.Join(errNoSession, d.cfg.Store.EndSession(r.Context(), v.session.ID))
	}
	if now.Sub(v.session.Used) >= touchEvery {
		if err := d.cfg.Store.TouchSession(r.Context(), v.session.ID, now); err != nil {
			return v, err
		}
	}
	return v, nil
}

// signedIn lets those through who are signed in, and asks the others to be. A form must be one of this session's pages.
func (d *Door) signedIn(h func(http.ResponseWriter, *http.Request, *visit)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := d.visit(r)
		if err == nil && r.Method == http.MethodPost {
			err = d.checkForm(w, r, v)
		}
		switch {
		case err == nil:
			v.admin = sync.OnceValue(func() error { return d.mayAdminister(r, v) })
			h(w, r, v)
			return
		case errors.Is(err, store.ErrInactive), errors.Is(err, errNoSession), errors.Is(err, store.ErrNotFound):
			if d.cookie(r, sessionCookie) != "" {
				d.setCookie(w, sessionCookie, "", -time.Second)
			}
		}
		if errors.Is(err, errNoSession) && r.Method != http.MethodPost {
			d.ask(w, r, local(r.URL.RequestURI()))
			return
		}
		d.note(r, "request", err)
		d.refuse(w, r, err)
	}
}

func (d *Door) checkForm(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return fmt.Errorf("%w: %.100q", errForm, err.Error())
	}
	if subtle.ConstantTimeCompare([]byte(r.PostForm.Get("token")), []byte(v.token())) != 1 {
		return errForm
	}
	return nil
}

// signOut ends the session here and then at the provider, which a page leads to: browsers hold the redirects behind a form to
// form-action, and where a provider redirects to is not for us to know.
func (d *Door) signOut(w http.ResponseWriter, r *http.Request, v *visit) {
	d.leave(w, r, v, d.cfg.Store.EndSession(r.Context(), v.session.ID), "sign-out")
}

func (d *Door) signOutEverywhere(w http.ResponseWriter, r *http.Request, v *visit) {
	d.leave(w, r, v, d.cfg.Store.EndSessions(r.Context(), v.account.Name), "sign-out-everywhere")
}

func (d *Door) leave(w http.ResponseWriter, r *http.Request, v *visit, err error, event string) {
	if err != nil {
		d.note(r, event, err)
		d.refuse(w, r, err)
		return
	}
	d.setCookie(w, sessionCookie, "", -time.Second)
	d.record(r, event, nil, "user", string(v.account.Name))
	hint := ""
	if len(v.session.Hint) > 0 {
		if text, err := hintKey(v.id).Open("id_token_hint", string(v.session.Hint)); err == nil {
			hint = text.Reveal()
		}
	}
	back := ""
	if d.cfg.SignOutBack {
		back = d.redirectURI()
	}
	there, err := d.cfg.Provider.LogoutURL(r.Context(), hint, back, "")
	if err != nil { // here it is done
		d.note(r, event, err)
		there = ""
	}
	if there == "" {
		d.redirect(w, "/signed-out")
		return
	}
	w.Header().Set("Refresh", "0; url="+there)
	d.show(w, r, http.StatusOK, "leave", "Signing out", nil, there)
}

func (d *Door) signedOut(w http.ResponseWriter, r *http.Request) {
	d.show(w, r, http.StatusOK, "signed-out", "You are signed out", nil, nil)
}

// redirect goes to one of our pages.
func (d *Door) redirect(w http.ResponseWriter, path string) {
	w.Header().Set("Location", d.to(path))
	w.WriteHeader(http.StatusSeeOther)
}
