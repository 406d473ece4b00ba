package homemaker

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseOddjob(t *testing.T) {
	for args, want := range map[string]string{
		"": `"" "" false false`, "-q": `"" "" false true`, "-nq": `"" "" true true`, "-u 0077 -s /skel": `"0077" "/skel" false false`,
		"-qu0077": `"0077" "" false true`, "-f -s/skel": `"" "/skel" false false`, "-- -q": `"" "" false false`,
		"-s -- -q": `"" "--" false true`,
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
	if r, err := ParseOddjob([]string{"-s", ""}, "alice"); err != nil || !r.Empty {
		t.Errorf("no skeleton, as the helper and the worker take it: %+v, %v", r, err)
	}
	if _, err := ParseOddjob(nil, "\r\n"); !errors.Is(err, ErrNobody) {
		t.Errorf("no name: %v", err)
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
