package scim

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// A token may make so many requests a second without waiting for anybody. What comes beside that is not refused, since providers
// put jobs into quarantine for that, but shares a few places: a flood by a valid token waits for itself, and not logins for it.
const (
	tokenRate   = 200.0
	tokenBurst  = 400.0
	extraPlaces = 8
	extraWait   = 10 * time.Second
)

// bucket counts what a token may do at once.
type bucket struct {
	left float64
	at   time.Time
}

type limiter struct {
	mu     sync.Mutex // guards tokens
	tokens map[string]bucket
	extra  chan struct{}
}

func newLimiter() *limiter {
	return &limiter{tokens: map[string]bucket{}, extra: make(chan struct{}, extraPlaces)}
}

// enter lets a request in, when it is time. leave ends it.
func (l *limiter) enter(ctx context.Context, token string, now time.Time) (leave func(), err error) {
	if l.within(token, now) {
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

func (l *limiter) within(token string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, known := l.tokens[token]
	if !known {
		b = bucket{tokenBurst, now}
	}
	b.left = min(tokenBurst, b.left+now.Sub(b.at).Seconds()*tokenRate)
	b.at = now
	ok := b.left >= 1
	if ok {
		b.left--
	}
	l.tokens[token] = b // as many as there are valid tokens
	return ok
}
