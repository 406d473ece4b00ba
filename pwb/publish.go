package main

import (
	"context"
	"sync"

	pampwb "github.com/pwb-project/pwb/pam_pwb"
)

// asker asks the worker to publish, on behalf of many requests at once: those that come while it is asked share the next
// question, since that one is answered for all that was written before it.
type asker struct {
	path string

	mu   sync.Mutex // guards what follows
	now  *question
	next *question
}

type question struct {
	done chan struct{}
	err  error
}

// publish returns when the worker has shown the store as it was at the call, or later.
func (a *asker) publish(ctx context.Context) error {
	q := a.join(ctx)
	select {
	case <-q.done:
		return q.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *asker) join(ctx context.Context) *question {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		a.next = &question{done: make(chan struct{})}
		if a.now == nil {
			a.begin(context.WithoutCancel(ctx))
			return a.now
		}
	}
	return a.next
}

// begin asks the next question. The caller holds the mutex.
func (a *asker) begin(ctx context.Context) {
	a.now, a.next = a.next, nil
	go func(q *question) {
		q.err = pampwb.AskToPublish(ctx, a.path)
		close(q.done)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.now = nil
		if a.next != nil {
			a.begin(ctx)
		}
	}(a.now)
}
