package worker

import (
	"sync"
	"time"
)

// tally counts what callers did within the current minute. It is a resident worker's memory: one that is started for a call
// begins at nothing. The zero value is ready.
type tally struct {
	mu     sync.Mutex // guards what follows
	began  time.Time
	all    int
	byWhom map[string]int
}

// add counts one more, and returns how many that makes for the caller and for all.
func (t *tally) add(whom string, at time.Time) (mine, all int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn(at)
	t.all++
	if _, known := t.byWhom[whom]; known || len(t.byWhom) < tallyEntries {
		t.byWhom[whom]++
	}
	return t.byWhom[whom], t.all
}

// forget takes back what was counted for a caller.
func (t *tally) forget(whom string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all -= t.byWhom[whom]
	delete(t.byWhom, whom)
}

func (t *tally) count(whom string, at time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn(at)
	return t.byWhom[whom]
}

// turn begins a new minute when the old one is over, or when the clock was set back.
func (t *tally) turn(at time.Time) {
	if age := at.Sub(t.began); t.byWhom == nil || age < 0 || age >= tallyMinute {
		t.began, t.all, t.byWhom = at, 0, map[string]int{}
	}
}
