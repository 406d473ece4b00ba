package signin

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
)

// home is what a person sees of the account.
type home struct {
	Account store.Account
	Entry   passwd.Entry
	Groups  []provision.Membership
	Stale   bool // the provider has left the groups out of the last sign-in
	Shown   *shown
}

// shown is a code or a ticket that has just been made: it is on this page, and nowhere else.
type shown struct {
	provision.Issued
	Ticket        bool // a session ticket, not a code
	Service, Host string
	Seconds       int
}

func (d *Door) home(w http.ResponseWriter, r *http.Request, v *visit) {
	h, err := d.look(r, v)
	if err != nil {
		d.note(r, "request", err)
		d.refuse(w, r, err)
		return
	}
	d.show(w, r, http.StatusOK, "home", "Your account on "+d.cfg.Host, v, h)
}

func (d *Door) look(r *http.Request, v *visit) (*home, error) {
	h := &home{Account: v.account, Stale: v.account.Groups == store.Stale}
	var err error
	if h.Entry, err = d.cfg.Accounts.LookUp(r.Context(), string(v.account.Name)); err != nil {
		return nil, err
	}
	h.Groups, err = d.cfg.Accounts.Memberships(r.Context(), v.account)
	return h, err
}

// serviceName is what a code may be held to, as a host's name is. Both are looked for as they are where the code is used; here they
// only have to be such names.
var serviceName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`) })

func (d *Door) code(w http.ResponseWriter, r *http.Request, v *visit) {
	service, host := r.PostForm.Get("service"), r.PostForm.Get("host")
	if service != "" && !serviceName().MatchString(service) || host != "" && (len(host) > 253 || !account.IsLabel(host, ".-")) {
		d.note(r, "code", fmt.Errorf("for no such place: service %.64q, host %.64q", service, host))
		d.tell(w, r, problem{status: http.StatusBadRequest, Title: "This is no name of a program or a server",
			Text: "A program is named as its PAM service, such as sshd; a server by its host name.", Advice: "Go back and correct it, or leave both empty."})
		return
	}
	d.give(w, r, v, "code", service, host, func() (provision.Issued, error) {
		return d.cfg.Tickets.Code(r.Context(), v.account.Name, provision.CodeFor{Service: service, Host: host, By: "web"})
	})
}

func (d *Door) sessionTicket(w http.ResponseWriter, r *http.Request, v *visit) {
	d.give(w, r, v, "session-ticket", "", "", func() (provision.Issued, error) {
		return d.cfg.Tickets.Session(r.Context(), v.account.Name, "")
	})
}

// mayTake holds an account to the rules of the machine before it gets anything that opens it, and to a pace.
func (d *Door) mayTake(r *http.Request, a store.Account) (wait time.Duration, err error) {
	if wait, ok := d.requests.Allow(string(a.Name), d.cfg.Now()); !ok {
		return wait, errTooMany
	}
	return 0, d.cfg.Accounts.Admit(r.Context(), a)
}

func (d *Door) give(w http.ResponseWriter, r *http.Request, v *visit, what, service, host string, issue func() (provision.Issued, error)) {
	who := []any{"user", string(v.account.Name)}
	if service != "" || host != "" {
		who = append(who, "service", service, "host", host)
	}
	wait, err := d.mayTake(r, v.account)
	if errors.Is(err, errTooMany) {
		d.tooMany(w, r, wait)
		return
	}
	var issued provision.Issued
	if err == nil {
		issued, err = issue()
	}
	var h *home
	if err == nil {
		h, err = d.look(r, v)
	}
	d.record(r, what, err, who...)
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	seconds := int(issued.Expires.Sub(d.cfg.Now()).Round(time.Second) / time.Second)
	h.Shown = &shown{Issued: issued, Ticket: what != "code", Service: service, Host: host, Seconds: seconds}
	title := "Your code"
	if h.Shown.Ticket {
		title = "Your session ticket"
	}
	d.show(w, r, http.StatusOK, "home", title, v, h)
}

// sessionKeys are public: nodes without the store verify session tickets by them.
func (d *Door) sessionKeys(w http.ResponseWriter, r *http.Request) {
	keys, err := d.cfg.Tickets.PublicKeys(r.Context())
	if err != nil {
		d.note(r, "session-keys", err)
		http.Error(w, "The keys cannot be had right now.", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "max-age=300")
	w.Write(keys)
}

// Name is what a page greets a person with. Some providers send an address where a name should be, and nobody is called that.
func (h *home) Name() string {
	if h.Account.Gecos != "" && !strings.Contains(h.Account.Gecos, "@") {
		return h.Account.Gecos
	}
	return string(h.Account.Name)
}
