package scim

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
)

// fault is an error as the client reads it (RFC 7644, 3.12). Its detail is for an identity administrator, who reads it in the
// provider's provisioning log, and never says how this service works inside.
type fault struct {
	status int
	kind   string // scimType
	detail string
	header map[string]string
}

func (f *fault) Error() string { return f.detail }

func bad(kind, format string, args ...any) error {
	return &fault{status: http.StatusBadRequest, kind: kind, detail: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error { return bad("invalidValue", format, args...) }

func notFound(detail string) error { return &fault{status: http.StatusNotFound, detail: detail} }

// faultOf is the only place where an error of the rooms below becomes an answer. hidden is what the log alone hears.
func faultOf(err error) (f *fault, hidden error) {
	var conflict store.Conflict
	var strangers store.Strangers
	switch {
	case errors.As(err, &f):
		return f, nil
	case errors.As(err, &conflict):
		return &fault{status: http.StatusConflict, kind: "uniqueness", detail: conflict.Error()}, nil
	case errors.Is(err, provision.ErrNameTaken):
		return &fault{status: http.StatusConflict, kind: "uniqueness", detail: err.Error()}, nil
	case errors.Is(err, account.ErrName):
		return &fault{status: http.StatusBadRequest, kind: "invalidValue", detail: err.Error()}, nil
	case errors.As(err, &strangers):
		return &fault{status: http.StatusBadRequest, kind: "invalidValue", detail: "members: " + strangers.Error() + " here; groups in groups are not supported"}, nil
	case errors.Is(err, store.ErrNotFound):
		return &fault{status: http.StatusNotFound, detail: "there is no such resource, or no more"}, nil
	case errors.Is(err, store.ErrExhausted):
		return &fault{status: http.StatusServiceUnavailable, detail: "no user id is left to give; the operator of this machine has to widen the range"}, err
	}
	return &fault{status: http.StatusServiceUnavailable, detail: "this cannot be answered right now; try again",
		header: map[string]string{"Retry-After": "5"}}, err
}
