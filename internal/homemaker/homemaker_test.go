package homemaker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/pwb-project/pwb/homedir"
)

func TestParseOddjob(t *testing.T) {
	for args, want := range map[string]string{
		"": `"" "" false false`, "-q": `"" "" false true`, "-nq": `"" "" true true`, "-u 0077 -s /skel": `"0077" "/skel" false false`,
		"-qu0077": `"0077" "" false true`, "-f -s/skel": `"" "/skel" false false`, "-- -q": `"" "" false false`,
		"-s -- -q": `"" "--" false true`, "operand -n - -u 0077": `"0077" "" true false`, "-s /skel -n": `"" "/skel" true false`,
	} {
		r, err := ParseOddjob(strings.Fields(args), "\nalice\nignored\n")
		umask := ""
		if r.Umask != nil {
			umask = *r.Umask
		}
		if got := fmt.Sprintf("%q %q %v %v", umask, r.Skel, r.Empty, r.Silent); err != nil || got != want || r.User != "alice" {
			t.Errorf("%q: %s of %q, %v; want %s", args, got, r.User, err, want)
		}
	}
	for _, tt := range []struct {
		args  []string
		empty bool
	}{
		{[]string{"-s", ""}, true}, {[]string{"-s", "", "-s", "/skel"}, false}, {[]string{"-n", "-s", "/skel"}, true},
	} {
		if r, err := ParseOddjob(tt.args, "alice"); err != nil || r.Empty != tt.empty {
			t.Errorf("%q, as the helper and the worker take it: %+v, %v", tt.args, r, err)
		}
	}
	if _, err := ParseOddjob(nil, "\r\n"); !errors.Is(err, ErrNobody) {
		t.Errorf("no name: %v", err)
	}
}

func TestListenLate(t *testing.T) {
	processors := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(processors)
	ctx, cancel := context.WithCancelCause(t.Context())
	tell := ListenLate(cancel)
	tell(homedir.Progress{Entries: 63, Bytes: 64<<20 - 1})
	if n := runtime.GOMAXPROCS(0); n != processors {
		t.Errorf("a small home has %d processors of %d", n, processors)
	}
	tell(homedir.Progress{Entries: 64})
	tell(homedir.Progress{Bytes: 64 << 20})
	if n := runtime.GOMAXPROCS(0); n != processors+1 {
		t.Errorf("a large home has %d processors, want %d", n, processors+1)
	}
	syscall.Kill(os.Getpid(), syscall.SIGTERM)
	<-ctx.Done()
	if err := context.Cause(ctx); err != Stopped(syscall.SIGTERM) || err.Error() != "stopped: terminated" {
		t.Errorf("stopped by %v", err)
	}
}

func TestParseHelper(t *testing.T) {
	for _, n := range []int{0, 5} {
		if _, err := ParseHelper(make([]string, n)); !errors.Is(err, ErrUsage) {
			t.Errorf("%d arguments: %v", n, err)
		}
	}
	r, err := ParseHelper([]string{"alice", "0077", "", "0700"})
	if err != nil || r.User != "alice" || *r.Umask != "0077" || !r.Empty || r.HomeMode != "0700" {
		t.Errorf("%+v, %v", r, err)
	}
}
