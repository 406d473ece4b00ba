package nstest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

// Tests that a background job or nohup(1) runs send their programs signals too.
func TestIgnoredSignals(t *testing.T) {
	const inside = "PWB_NSTEST_IGNORED"
	if os.Getenv(inside) != "" {
		ignored, err := exec.Command("grep", "SigIgn", "/proc/self/status").Output()
		if got := strings.Fields(string(ignored)); err != nil || len(got) != 2 || strings.Trim(got[1], "0") != "" {
			t.Errorf("a test's program ignores %q, %v", ignored, err)
		}
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("env", "-u", marker, "--ignore-signal=INT", "--ignore-signal=HUP", inside+"=1", self, "-test.run=^TestIgnoredSignals$")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
