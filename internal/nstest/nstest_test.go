package nstest

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

// Tests that a background job or nohup(1) runs send their programs signals too.
func TestIgnoredSignals(t *testing.T) {
	const inside = "PWB_NSTEST_IGNORED"
	if os.Getenv(inside) != "" {
		out, err := exec.Command("sed", "-n", `s/^SigIgn:\t/0x/p`, "/proc/self/status").Output()
		ignored, err2 := strconv.ParseUint(strings.TrimSpace(string(out)), 0, 64)
		if err := errors.Join(err, err2); err != nil || ignored&(1<<(syscall.SIGINT-1)|1<<(syscall.SIGHUP-1)) != 0 {
			t.Errorf("a test's program ignores the signals %#x, %v", ignored, err)
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
