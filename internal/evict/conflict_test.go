package evict

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/account"
)

// An account of the machine's own that was given the same uid since keeps its processes.
func TestSomebodyElsesProcessesAreLeftAlone(t *testing.T) {
	needRoot(t)
	b := newBench(t, "kill-now", 54415)
	b.session(false)
	b.Report = func(error) {}
	b.Conflict = func(context.Context, account.Name) error { return errors.New("the machine has one of its own") }
	b.after(time.Second).said("evict-failed")
	b.running(2)
}
