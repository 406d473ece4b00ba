package signin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/web"
)

// asking is a program on a person's computer (pwb login) that wants a code. It listens on a loopback port, which is the only
// place that its answer goes to; and it proves by a challenge that it is the one that asked.
type asking struct {
	Port             int
	State, Challenge string
	User             string // whom it wants a code for; "" is whoever is signed in
	Name             account.Name
}

var errAsking = errors.New("not what pwb login asks with")

func parseAsking(q url.Values) (a asking, err error) {
	for name, to := range map[string]*string{"state": &a.State, "challenge": &a.Challenge} {
		if *to, err = one(q, name, 43); err != nil || !looksRandom(*to) {
			return a, fmt.Errorf("%w: %s", errAsking, name)
		}
	}
	port, err := one(q, "port", 5)
	if err == nil {
		a.Port, err = strconv.Atoi(port)
	}
	if err != nil || a.Port < 1024 || a.Port > 65535 || strconv.Itoa(a.Port) != port {
		return a, fmt.Errorf("%w: port", errAsking)
	}
	if a.User, err = one(q, "user", 64); err != nil {
		return a, fmt.Errorf("%w: user", errAsking)
	}
	if a.User != "" {
		if name, err := (account.NamePolicy{Keep: true}).LoginName(a.User); err != nil || string(name) != a.User {
			return a, fmt.Errorf("%w: user", errAsking)
		}
	}
	return a, nil
}

func (a asking) query() string {
	q := url.Values{"port": {strconv.Itoa(a.Port)}, "state": {a.State}, "challenge": {a.Challenge}}
	if a.User != "" {
		q.Set("user", a.User)
	}
	return q.Encode()
}

// Other says that the program wants a code for somebody else than who is signed in.
func (a asking) Other() bool { return a.User != "" && a.User != string(a.Name) }

// Again is the address of the consent page, to come back to.
func (a asking) Again() string { return "/login/cli?" + a.query() }

func (d *Door) refuseAsking(w http.ResponseWriter, r *http.Request, err error) {
	d.note(r, "pwb-login", err)
	d.tell(w, r, problem{status: http.StatusBadRequest, Title: "This is not a request of pwb login", Text: "The address is incomplete or was changed.", Advice: "Run pwb login again."})
}

// consent asks a person, always: whoever can open a page in the browser could otherwise take a code without being seen.
func (d *Door) consent(w http.ResponseWriter, r *http.Request, v *visit) {
	a, err := parseAsking(r.URL.Query())
	if err != nil {
		d.refuseAsking(w, r, err)
		return
	}
	a.Name = v.account.Name
	// Browsers hold the redirect behind a form to form-action too.
	w.Header().Set("Content-Security-Policy", policy+" http://127.0.0.1:"+strconv.Itoa(a.Port))
	d.show(w, r, http.StatusOK, "consent", "Give a program a code", v, a)
}

func (d *Door) grant(w http.ResponseWriter, r *http.Request, v *visit) {
	a, err := parseAsking(r.PostForm)
	if err != nil {
		d.refuseAsking(w, r, err)
		return
	}
	if a.Name = v.account.Name; a.Other() {
		d.refuseAsking(w, r, fmt.Errorf("%w: for %q, and %q is signed in", errAsking, a.User, v.account.Name))
		return
	}
	answer := url.Values{"state": {a.State}}
	if r.PostForm.Get("answer") != "yes" {
		answer.Set("error", "access_denied")
		d.answerProgram(w, a, answer)
		return
	}
	wait, err := d.mayTake(r, v.account)
	if errors.Is(err, errTooMany) {
		d.tooMany(w, r, wait)
		return
	}
	if err == nil {
		issued, grantErr := d.cfg.Tickets.Grant(r.Context(), v.account.Name, a.Challenge)
		answer.Set("grant", issued.Text)
		err = grantErr
	}
	d.record(r, "pwb-login", err, "user", string(v.account.Name), "port", a.Port)
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	d.answerProgram(w, a, answer)
}

// answerProgram sends the browser to the program: to this machine's own loopback address, literally, and nowhere else.
func (d *Door) answerProgram(w http.ResponseWriter, a asking, answer url.Values) {
	w.Header().Set("Location", fmt.Sprintf("http://127.0.0.1:%d/callback?%s", a.Port, answer.Encode()))
	w.WriteHeader(http.StatusSeeOther)
}

// redeem gives the program its code. It has no cookie and needs none: it knows what the challenge was made of.
func (d *Door) redeem(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	say := func(status int, body map[string]string) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(body)
	}
	if wait, ok := d.starts.Allow(web.Network(web.ClientOf(r).Addr).String(), d.cfg.Now()); !ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		say(http.StatusTooManyRequests, map[string]string{"error": "temporarily_unavailable"})
		return
	}
	if err := r.ParseForm(); err != nil {
		say(http.StatusBadRequest, map[string]string{"error": "invalid_request"})
		return
	}
	grant, verifier := r.PostForm.Get("grant"), r.PostForm.Get("verifier")
	issued, name, err := d.cfg.Tickets.RedeemGrant(r.Context(), grant, verifier)
	switch {
	case errors.Is(err, store.ErrUnavailable):
		d.note(r, "pwb-login-code", err)
		say(http.StatusServiceUnavailable, map[string]string{"error": "temporarily_unavailable"})
	case err != nil:
		d.note(r, "pwb-login-code", err)
		say(http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
	default:
		d.record(r, "pwb-login-code", nil, "user", string(name))
		say(http.StatusOK, map[string]string{"code": issued.Text, "user": string(name), "expires": issued.Expires.UTC().Format(time.RFC3339)})
	}
}
