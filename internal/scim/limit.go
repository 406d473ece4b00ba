package scim

import (
	"context"
	"net/http"
	"time"

	"github.com/pwb-project/pwb/internal/web"
)

// A token may make so many requests a second without waiting for anybody. What comes beside that is not refused, since providers
// put jobs into quarantine for that, but shares a few places: a flood by a valid token waits for itself, and not logins for it.
const (
	tokenBurst  = 400
	tokenEvery  = time.Second / 200
	extraPlaces = 8
	extraWait   = 10 * time.Second
)

type limiter struct {
	tokens *web.Throttle
	extra  chan struct{}
}

func newLimiter() *limiter {
	return &limiter{tokens: web.NewThrottle(tokenBurst, tokenEvery), extra: make(chan struct{}, extraPlaces)}
}

// enter lets a request in, when it is time. leave ends it.
func (l *limiter) enter(ctx context.Context, token string, now time.Time) (leave func(), err error) {
	if _, ok := l.tokens.Allow(token, now); ok {
		return func() {}, nil
	}
	late := time.NewTimer(extraWait)
	defer late.Stop()
	select {
	case l.extra <- struct{}{}:
		return func() { <-l.extra }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-late.C:
		return nil, &fault{status: http.StatusTooManyRequests, detail: "too many requests at once with this token", header: map[string]string{"Retry-After": "1"}}
	}
}
