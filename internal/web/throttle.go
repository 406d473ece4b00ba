package web

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

const maxBuckets = 1 << 16

// Throttle lets so many through at once, and one more each time, of everybody who has a name. It is safe for concurrent use, and
// strangers cannot make it grow without end.
type Throttle struct {
	burst int
	every time.Duration

	mu    sync.Mutex           // guards what follows
	until map[string]time.Time // when a bucket is empty again: it holds (until - now) / every
}

// NewThrottle makes a throttle that has let nobody through yet.
func NewThrottle(burst int, every time.Duration) *Throttle {
	return &Throttle{burst: burst, every: every, until: map[string]time.Time{}}
}

// Allow says whether one more may come from who, and if not, how long to wait.
func (t *Throttle) Allow(who string, now time.Time) (wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
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
func (t *Throttle) forget(now time.Time) {
	for who, until := range t.until {
		if !until.After(now) {
			delete(t.until, who)
		}
	}
	if len(t.until) >= maxBuckets {
		clear(t.until)
	}
}

// Network is what one customer of a provider has: an IPv4 address, or an IPv6 network of 64 bits, by its first address.
func Network(addr netip.Addr) netip.Addr {
	if !addr.Is6() {
		return addr
	}
	p, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return addr
	}
	return p.Addr()
}

// How many lines strangers may have in a log: those of one network, and those of all.
const (
	notesOfOne      = 100
	notesOfOneEvery = time.Second
	notesOfAll      = 1000
	notesOfAllEvery = time.Second / 2
)

// Notes keeps strangers, each and all together, from filling a log. It is safe for concurrent use.
type Notes struct{ one, all *Throttle }

// NewNotes makes notes that nothing is said in yet.
func NewNotes() *Notes {
	return &Notes{NewThrottle(notesOfOne, notesOfOneEvery), NewThrottle(notesOfAll, notesOfAllEvery)}
}

// Level is the level of a line about a stranger: the one that is meant, or slog.LevelDebug when enough has been said.
func (n *Notes) Level(meant slog.Level, from netip.Addr, now time.Time) slog.Level {
	if _, ok := n.one.Allow(Network(from).String(), now); !ok {
		return slog.LevelDebug
	}
	if _, ok := n.all.Allow("", now); !ok {
		return slog.LevelDebug
	}
	return meant
}
