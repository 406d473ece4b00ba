package worker

import (
	"context"
	"errors"
	"log/slog"

	"github.com/pwb-project/pwb/homedir"
	"github.com/pwb-project/pwb/internal/oauth"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
	pampwb "github.com/pwb-project/pwb/pam_pwb"
)

var (
	errPanic      = errors.New("a bug ended this call; the log has the details")
	errNotAllowed = errors.New("the peer may not ask this")
	errNotForUs   = errors.New("not a question for pwb")
	errEmpty      = errors.New("an empty ticket")
	errNoRules    = errors.New("pwb cannot decide about people on this machine")
	errGuessing   = errors.New("too many wrong codes in a minute")
	errTooMany    = errors.New("too many sign-ins at another device in a minute")
)

// verdict is what the three listeners hear: PAM its code, the person a sentence (empty says nothing), the log a level.
type verdict struct {
	code     pampwb.Code
	sentence string
	level    slog.Level
}

func (v verdict) priority() pampwb.Priority {
	switch {
	case v.level >= slog.LevelError:
		return pampwb.LogErr
	case v.level >= slog.LevelWarn:
		return pampwb.LogWarning
	}
	return pampwb.LogNotice
}

const (
	again      = "This sign-in was not accepted. Sign in again to get a new ticket."
	cannotTell = "Sign-in cannot be checked right now. Try again in a minute; if it goes on, tell your administrator."
	// Another try with the same ticket would only be told that it is wrong.
	spentInVain = "Your sign-in was accepted, but this machine could not finish it. Sign in again in a minute to get a new ticket; if it goes on, tell your administrator."
)

// judge is the only place where an error becomes a PAM code. Unknown means no. Until someone is authenticated a wrong
// ticket, an unknown user and somebody else's ticket sound the same to the person; only what they themselves can mend
// without learning anything is said. "Cannot tell" is never "wrong": hosts lock people out for wrong.
func judge(op pampwb.Op, err error) verdict {
	var host pampwb.HostError
	switch {
	case err == nil && op == pampwb.OpPublish:
		return verdict{pampwb.Success, "", slog.LevelDebug} // many a second, while a provider sends its people
	case err == nil:
		return verdict{pampwb.Success, "", slog.LevelInfo}
	case errors.As(err, &host):
		return verdict{hostCode(host.Code), "", slog.LevelInfo}
	case errors.Is(err, errNotForUs):
		return verdict{pampwb.Ignore, "", slog.LevelDebug}
	case errors.Is(err, errNotAllowed):
		return verdict{pampwb.PermDenied, "", slog.LevelWarn}
	case errors.Is(err, errPanic):
		return verdict{unavailable(op), "", slog.LevelError}
	case errors.Is(err, pampwb.ErrHostLeft):
		return verdict{unavailable(op), "", slog.LevelInfo}
	case errors.Is(err, pampwb.ErrProtocol):
		return verdict{unavailable(op), "", slog.LevelWarn}
	}
	switch op {
	case pampwb.OpAuthenticate:
		return judgeTicket(err)
	case pampwb.OpAcctMgmt:
		return judgeAccount(err)
	case pampwb.OpOpenSession:
		return judgeSession(err)
	}
	return verdict{unavailable(op), "", slog.LevelError}
}

func judgeTicket(err error) verdict {
	switch {
	case errors.Is(err, provision.ErrSystemAccount):
		return verdict{pampwb.UserUnknown, "", slog.LevelInfo}
	case errors.Is(err, ticket.ErrExpired):
		return verdict{pampwb.AuthErr, "Your sign-in has expired. Sign in again to get a new ticket.", slog.LevelInfo}
	case errors.Is(err, ticket.ErrTruncated):
		return verdict{pampwb.AuthErr, "The ticket arrived incomplete: this program cannot carry one so long.", slog.LevelWarn}
	case errors.Is(err, provision.ErrNotShown):
		return verdict{pampwb.AuthinfoUnavail, spentInVain, slog.LevelError}
	case errors.Is(err, ticket.ErrUnreachable), errors.Is(err, store.ErrUnavailable), errors.Is(err, errNoRules),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return verdict{pampwb.AuthinfoUnavail, cannotTell, slog.LevelError}
	case errors.Is(err, oauth.ErrDenied), errors.Is(err, oauth.ErrTooLate):
		return verdict{pampwb.AuthErr, "The sign-in at the other device was not completed.", slog.LevelInfo}
	case errors.Is(err, oauth.ErrRefused), errors.Is(err, oauth.ErrNoDevice):
		return verdict{pampwb.AuthinfoUnavail, "Your organisation does not allow a sign-in at another device. Get a code from the sign-in page.", slog.LevelWarn}
	case errors.Is(err, oauth.ErrUnreachable), errors.Is(err, oauth.ErrAnswer), errors.Is(err, errTooMany):
		return verdict{pampwb.AuthinfoUnavail, cannotTell, slog.LevelError}
	case errors.Is(err, errGuessing), errors.Is(err, store.ErrSpent), errors.Is(err, provision.ErrWrongUser), errors.Is(err, store.ErrBound), errors.Is(err, provision.ErrNameTaken):
		return verdict{pampwb.AuthErr, again, slog.LevelWarn}
	case errors.Is(err, store.ErrExhausted), errors.Is(err, store.ErrTaken):
		return verdict{pampwb.AuthinfoUnavail, cannotTell, slog.LevelError}
	case errors.Is(err, errEmpty):
		return verdict{pampwb.AuthErr, "", slog.LevelInfo}
	}
	return verdict{pampwb.AuthErr, again, slog.LevelInfo}
}

func judgeAccount(err error) verdict {
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, passwd.ErrNotFound):
		return verdict{pampwb.UserUnknown, "", slog.LevelDebug}
	case errors.Is(err, store.ErrUnavailable): // before the rules: with half of what they ask they say no too
		return verdict{pampwb.AuthinfoUnavail, cannotTell, slog.LevelError}
	case errors.Is(err, provision.ErrNameTaken), errors.Is(err, provision.ErrForeign):
		return verdict{pampwb.PermDenied, "You may not log in here. Ask your administrator.", slog.LevelError}
	case errors.Is(err, provision.ErrNotAllowed):
		return verdict{pampwb.PermDenied, "You may not log in here. Ask your administrator.", slog.LevelInfo}
	case errors.Is(err, store.ErrInactive):
		return verdict{pampwb.AcctExpired, "This account is not active. Ask your administrator.", slog.LevelInfo}
	}
	return verdict{pampwb.AuthinfoUnavail, cannotTell, slog.LevelError}
}

func judgeSession(err error) verdict {
	switch {
	case errors.Is(err, passwd.ErrNotFound):
		return verdict{pampwb.UserUnknown, "", slog.LevelInfo}
	case errors.Is(err, homedir.ErrBusy):
		return verdict{pampwb.SessionErr, "Your home directory is being made by another login. Try again in a minute.", slog.LevelWarn}
	}
	return verdict{pampwb.SessionErr, "Your home directory could not be made. Tell your administrator.", slog.LevelError}
}

// hostCode passes a host's own failure back to it, as other modules do: a conversation that failed is not a wrong ticket.
func hostCode(c pampwb.Code) pampwb.Code {
	switch c {
	case pampwb.Success, pampwb.Ignore:
		return pampwb.AuthErr
	case pampwb.ConvAgain:
		return pampwb.Incomplete
	case pampwb.BufErr:
		return pampwb.AuthErr // longer than any ticket
	}
	return c
}

// unavailable is "cannot tell" in the words of each call; the module says the same when it reaches nobody.
func unavailable(op pampwb.Op) pampwb.Code {
	switch op {
	case pampwb.OpOpenSession:
		return pampwb.SessionErr
	case pampwb.OpChauthtok:
		return pampwb.AuthtokErr
	}
	return pampwb.AuthinfoUnavail
}
