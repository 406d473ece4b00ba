package signin

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/oauth"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
)

// problem is what a person reads of an error: what happened, and what to do. The log has the rest, under the page's reference.
type problem struct {
	status  int
	Title   string
	Text    string
	Advice  string
	Retry   bool   // signing in again may help
	Details string // what an administrator will ask for: numbers, and nothing that a stranger wrote
}

const (
	tryAgain = "Sign in again. If it happens a second time, ask for help and give the reference below."
	tryLater = "Try again in a minute. If it goes on, ask for help and give the reference below."
	askHelp  = "Ask for help and give the reference below."
)

// judge is the only place where an error becomes a page. What is not known here says no more than that.
func judge(err error) problem {
	var refused refusal
	if errors.As(err, &refused) {
		return judgeRefusal(refused)
	}
	for _, known := range problems {
		for _, is := range known.errors {
			if errors.Is(err, is) {
				return known.problem
			}
		}
	}
	return problem{status: http.StatusInternalServerError, Title: "Something went wrong", Text: "The server could not do this, and cannot say why.", Advice: tryLater}
}

// problems in the order in which they count: "cannot tell" stands before what was found out.
var problems = []struct {
	errors []error
	problem
}{
	{[]error{errTooMany, store.ErrTooManyCodes}, problem{http.StatusTooManyRequests, "Too many at once",
		"More requests came from you, or from the network that you are in, than this server takes within a short time. Nothing is locked.", "Wait a minute and try again.", false, ""}},
	{[]error{errForm}, problem{http.StatusForbidden, "This form is out of date",
		"It comes from another session, or from another site.", "Go back to the first page and try again from there.", false, ""}},
	{[]error{errNoSession}, problem{http.StatusForbidden, "You are signed out",
		"Your session has ended, or was ended elsewhere.", "Sign in again.", true, ""}},
	{[]error{oauth.ErrUnreachable, ticket.ErrUnreachable}, problem{http.StatusServiceUnavailable, "The sign-in service does not answer",
		"This server could not reach your organisation's sign-in service.", tryLater, true, ""}},
	{[]error{store.ErrUnavailable}, problem{http.StatusServiceUnavailable, "Accounts cannot be looked up right now",
		"You may well be allowed in; the server cannot tell at the moment.", tryLater, true, ""}},
	{[]error{errNoFlow, store.ErrSpent, errTwice, oauth.ErrTooLate}, problem{http.StatusBadRequest, "This sign-in cannot be completed",
		"It took more than ten minutes, was used before, or was begun in another browser or window.", tryAgain, true, ""}},
	{[]error{oauth.ErrDenied}, problem{http.StatusForbidden, "You were not signed in",
		"The sign-in was cancelled, or your organisation does not let you use this server.", "If you did not cancel it, ask for access to this server.", true, ""}},
	{[]error{oauth.ErrRefused, oauth.ErrAnswer}, problem{http.StatusBadGateway, "The sign-in service did not accept this server",
		"Your organisation's sign-in service and this server do not agree. There is nothing wrong with your account.", tryAgain, true, ""}},
	{[]error{oauth.ErrIssuer, ticket.ErrIssuer, ticket.ErrAudience, ticket.ErrNonce, ticket.ErrSignature, ticket.ErrAlgorithm, ticket.ErrMalformed,
		ticket.ErrClaims, ticket.ErrNotYet, ticket.ErrExpired}, problem{http.StatusForbidden, "This sign-in was not accepted",
		"What the sign-in service sent does not belong to this sign-in.", tryAgain, true, ""}},
	{[]error{ticket.ErrUsername}, problem{http.StatusForbidden, "Your sign-in says no user name",
		"You have signed in, but your organisation's answer does not hold the name that this server looks for.", askHelp, false, ""}},
	{[]error{store.ErrInactive}, problem{http.StatusForbidden, "Your account is not active",
		"You have signed in, but your account on this server is locked.", "If you should have access, ask for help and give the reference below.", true, ""}},
	{[]error{provision.ErrNotAllowed}, problem{http.StatusForbidden, "You may not use this server",
		"You have signed in, but this server is for certain people or groups, and you are not among them. If you have just been added to a group, sign in again.", "Ask for access to this server, and give the reference below.", true, ""}},
	{[]error{provision.ErrNoAccount, store.ErrNotFound, passwd.ErrNotFound}, problem{http.StatusForbidden, "You have no account here",
		"You have signed in, but this server has no account for you and makes none by itself.", "Ask for an account, and give the reference below.", true, ""}},
	{[]error{provision.ErrNameTaken, store.ErrBound, store.ErrTaken, provision.ErrSystemAccount}, problem{http.StatusForbidden, "Your login name is taken",
		"You have signed in, but the login name that would be yours belongs to somebody else on this server, or to the server itself.", "An administrator can give you an account. " + askHelp, false, ""}},
	{[]error{account.ErrName}, problem{http.StatusForbidden, "There is no login name for you",
		"You have signed in, but your user name cannot become a login name on this server, or would be a reserved one.", "An administrator can give you an account. " + askHelp, false, ""}},
}

func judgeRefusal(e refusal) problem {
	p := problem{status: http.StatusBadGateway, Title: "The sign-in service refused", Text: "Your organisation's sign-in service did not complete the sign-in.", Advice: tryAgain, Retry: true}
	switch e.code {
	case "access_denied":
		p.status, p.Title = http.StatusForbidden, "You were not signed in"
		p.Text = "The sign-in was cancelled, or your organisation does not let you use this server."
		p.Advice = "If you did not cancel it, ask for access to this server."
	case "temporarily_unavailable", "server_error":
		p.status, p.Advice = http.StatusServiceUnavailable, tryLater
	}
	p.Details = e.code
	if e.number != "" {
		p.Details += ", " + e.number
	}
	if e.trace != "" {
		p.Details += ", trace " + e.trace
	}
	return p
}

// refuse shows what became of an error. Who logs it is its caller.
func (d *Door) refuse(w http.ResponseWriter, r *http.Request, err error) {
	d.tell(w, r, judge(err))
}

func (d *Door) tell(w http.ResponseWriter, r *http.Request, p problem) {
	d.show(w, r, p.status, "problem", p.Title, nil, p)
}

func (d *Door) notFound(w http.ResponseWriter, r *http.Request) {
	d.note(r, "request", fmt.Errorf("no such page: %.100q", r.URL.Path)) // the page has a reference
	d.tell(w, r, problem{status: http.StatusNotFound, Title: "There is no such page", Text: "The address may have been typed or copied wrongly."})
}

// foreignForm answers what http.CrossOriginProtection has stopped.
func (d *Door) foreignForm(w http.ResponseWriter, r *http.Request) {
	d.note(r, "request", fmt.Errorf("%w: from another site", errForm))
	d.refuse(w, r, errForm)
}

func (d *Door) tooMany(w http.ResponseWriter, r *http.Request, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
	d.note(r, "request", errTooMany)
	d.refuse(w, r, errTooMany)
}
