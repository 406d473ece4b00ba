package main

import (
	"os"
	"strings"
	"testing"

	"github.com/pwb-project/pwb/internal/audit"
)

// Root and the front have a file each; what was done to either is found.
func TestAuditVerify(t *testing.T) {
	r := registering(t)
	root, front := &audit.Log{Path: r.dir + auditPath}, &audit.Log{Path: r.dir + serveAuditPath}
	verify := func(status int, want string, files ...string) {
		t.Helper()
		out, errs, got := r.pwb("", append([]string{"audit", "verify"}, files...)...)
		if got != status || !strings.Contains(out+errs, want) {
			t.Errorf("audit verify %v: %d %q %q, want %d, %q", files, got, out, errs, status, want)
		}
	}
	verify(0, "0 lines, whole")
	for _, log := range []*audit.Log{root, front, front} {
		if err := log.Append("test", nil); err != nil {
			t.Fatal(err)
		}
	}
	verify(0, "3 lines, whole")
	verify(0, "1 lines, whole", root.Path)
	verify(0, "2 lines, whole", front.Path)
	verify(1, "no such file", r.dir+"/audit.log")
	if err := os.Truncate(front.Path, 0); err != nil {
		t.Fatal(err)
	}
	verify(1, "serve/audit.log: lines up to number 2 are missing at the end")
}
