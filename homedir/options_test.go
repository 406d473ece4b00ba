package homedir

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// A disk may need much longer than the copy: whoever looks on sees that something happens.
func TestProgress(t *testing.T) {
	p := newPlace(t)
	p.opts.NoSync = false
	for n := range 4 {
		p.skel(fmt.Sprintf("file%d", n), "x", 0o644)
	}
	var copying, syncing int
	p.opts.Progress = func(now Progress) {
		time.Sleep(110 * time.Millisecond) // a slow terminal: the next report is due
		if !now.Syncing {
			copying++
			return
		}
		if syncing++; now.Entries != 4 || now.Bytes != 4 {
			t.Errorf("%+v", now)
		}
	}
	p.make()
	if copying < 2 || syncing < 2 {
		t.Errorf("told %d times of the copy, %d of the disk", copying, syncing)
	}
}

func TestDryRun(t *testing.T) {
	p := newPlace(t)
	p.skel("dir/file", "hello", 0o644)
	p.opts.DryRun, p.opts.Progress = true, func(Progress) { t.Error("told of a copy that nobody makes") }
	for home, want := range map[string]error{p.home(): nil, p.dir + "/home/new/parents/alice": nil, p.dir + "/skel/alice": ErrInside} {
		r, err := Make(ctx, home, owner, p.opts)
		if !errors.Is(err, want) || err == nil && (r.Made || r.Entries != 2 || r.Bytes != 5 || r.Path != home) {
			t.Errorf("%s: %+v, %v; want %v", home, r, err, want)
		}
	}
	p.nothing()
	if exists(p.dir + "/locks") {
		t.Error("there are locks")
	}
}

// Three folders are not worth another thread.
func TestThreadsOfAWalk(t *testing.T) {
	for _, tt := range []struct{ folders, threads, want int }{{3, 4, 0}, {100, 1, 0}, {100, 4, 3}} {
		hands := make(chan struct{}, 100)
		w := &walk{threads: tt.threads, hand: func() *hand { hands <- struct{}{}; return &hand{} }}
		w.visit = func(_ *hand, f *folder) error {
			for n := 0; f.parent == nil && n < tt.folders; n++ {
				w.push(&folder{f, fmt.Sprint(n)})
			}
			return nil
		}
		if err := w.run(&hand{}); err != nil || len(hands) != tt.want {
			t.Errorf("%d folders: %d threads helped of %d, %v; want %d", tt.folders, len(hands), tt.threads, err, tt.want)
		}
	}
}
