package main

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A person waits while the PAM module starts pwb for one call, so a room prepares what only its own commands need when they need
// it: sign-in's templates, parsed before main, were a fifth of every start. A package's allocations before main are the same on
// every machine, as times are not.
func TestStartPreparesNothingForOtherCommands(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "--version")
	cmd.Env = append(os.Environ(), "PWB_CHILD=pwb", "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const most = 1000
	found := regexp.MustCompile(`(?m)^init (github\.com/pwb-project/\S+) .* (\d+) allocs$`).FindAllStringSubmatch(string(out), -1)
	if len(found) == 0 {
		t.Fatalf("no package of ours in the runtime's list:\n%s", out)
	}
	for _, m := range found {
		if n, _ := strconv.Atoi(m[2]); n > most && !strings.HasSuffix(m[1], "test") {
			t.Errorf("%s allocates %d times before main, over %d", m[1], n, most)
		}
	}
}
