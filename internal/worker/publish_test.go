package worker

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pampwb "github.com/pwb-project/pwb/pam_pwb"
)

// Whoever asks to publish hears when it is done, and when it could not be.
func TestPublish(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the worker that is asked must be root's")
	}
	path := t.TempDir() + "/socket"
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	var publish atomic.Pointer[func(context.Context) error]
	does := func(do func(context.Context) error) { publish.Store(&do) }
	w := &Worker{
		Rules: func(context.Context) (*Rules, error) { return &Rules{Publish: *publish.Load()}, nil },
		Log:   slog.New(slog.DiscardHandler),
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- w.Serve(ctx, l, time.Second) }()
	defer func() {
		stop()
		<-served
	}()
	var asked atomic.Int32
	does(func(context.Context) error { asked.Add(1); return nil })
	if err := pampwb.AskToPublish(t.Context(), path); err != nil || asked.Load() != 1 {
		t.Errorf("AskToPublish = %v, asked %d times", err, asked.Load())
	}
	does(func(context.Context) error { return errors.New("the disk is full") })
	if err := pampwb.AskToPublish(t.Context(), path); err == nil || !strings.Contains(err.Error(), "its answer is PAM_AUTHINFO_UNAVAIL") {
		t.Errorf("a full disk: %v", err)
	}
	does(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := pampwb.AskToPublish(short, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a worker that does not end: %v", err)
	}
	if err := pampwb.AskToPublish(t.Context(), path+"x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no worker: %v", err)
	}
}
