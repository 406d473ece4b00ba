package scim

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestAFloodByOneTokenWaitsForItself(t *testing.T) {
	l, now := newLimiter(), time.Now()
	gone, cancel := context.WithCancel(t.Context())
	cancel() // who would have to wait does not
	free := func(token string, at time.Time) (n int) {
		for ; len(l.extra) == 0; n++ {
			if _, err := l.enter(t.Context(), token, at); err != nil {
				t.Fatal(err)
			}
		}
		<-l.extra
		return n - 1
	}
	if n := free("a", now); n != tokenBurst {
		t.Errorf("%d at once, want %d", n, tokenBurst)
	}
	if n := free("a", now.Add(time.Second)); n != 200 {
		t.Errorf("a second later %d, want 200", n)
	}
	var leave []func()
	for range extraPlaces {
		end, err := l.enter(t.Context(), "a", now)
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, end)
	}
	if _, err := l.enter(gone, "a", now); !errors.Is(err, context.Canceled) {
		t.Errorf("without a place: %v", err)
	}
	if _, err := l.enter(gone, "b", now); err != nil {
		t.Errorf("another token: %v", err)
	}
	leave[0]()
	if _, err := l.enter(t.Context(), "a", now); err != nil {
		t.Errorf("with a place again: %v", err)
	}
}
