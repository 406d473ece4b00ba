package signin

import (
	"net/netip"
	"sync"
	"time"
)

// How often. Many people may share an address, so a start is held back only where a program makes them.
const (
	startBurst   = 100
	startEvery   = time.Second
	requestBurst = 20
	requestEvery = 3 * time.Second
	maxBuckets   = 1 << 16
)

// throttle lets so many through at once, and one more each time. It is safe for concurrent use.
type throttle struct {
	burst int
	every time.Duration
	now   func() time.Time

	mu    sync.Mutex           // guards what follows
	until map[string]time.Time // when a bucket is empty again: it holds (until - now) / every
}

func newThrottle(burst int, every time.Duration, now func() time.Time) *throttle {
	return &throttle{burst: burst, every: every, now: now, until: map[string]time.Time{}}
}

// allow says whether one more may come from who, and if not, how long to wait.
func (t *throttle) allow(who string) (wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	until := t.until[who]
	if until.Before(now) {
		until = now
	}
	until = until.Add(t.every)
	if over := until.Sub(now) - time.Duration(t.burst)*t.every; over > 0 {
		return over, false
	}
	if len(t.until) >= maxBuckets {
		t.forget(now)
	}
	t.until[who] = until
	return 0, true
}

// forget drops buckets that are empty and, where a stranger has filled all, any: the others begin anew, which is better than
// to hold back everybody.
func (t *throttle) forget(now time.Time) {
	for who, until := range t.until {
		if !until.After(now) {
			delete(t.until, who)
		}
	}
	if len(t.until) >= maxBuckets {
		clear(t.until)
	}
}

// network is what one customer of a provider has: an IPv4 address, or an IPv6 network of 64 bits.
func network(addr netip.Addr) string {
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}
