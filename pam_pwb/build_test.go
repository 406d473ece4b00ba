package pampwb

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pwb-project/pwb/internal/nstest"
)

// The tests drive the real module through the real libpam, with a service directory, a socket and a worker of their own on
// a tmpfs in a private namespace. Module and host are built with the address and undefined-behaviour sanitizers.
const (
	stage       = "/mnt"
	confDir     = stage + "/pam.d"
	testSocket  = stage + "/worker.sock"
	testWorker  = stage + "/safe/bin/pwb"
	workMillis  = "600"  // in place of ten seconds
	startMillis = "3000" // in place of five
)

func TestMain(m *testing.M) {
	if strings.Join(os.Args, " ") == "pwb worker --call" {
		playWorker()
		return
	}
	nstest.Main(m, stage)
}

// built builds the module and the host once, and writes the services.
var built = sync.OnceValue(func() error {
	sources, err := filepath.Glob("shim/*.c")
	if err != nil {
		return err
	}
	sanitize := []string{"-g", "-O1", "-std=c11", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"}
	module := append([]string{"-shared", "-fPIC", "-o", stage + "/pam_pwb.so", "-DFRAME_WORK_MS=" + workMillis, "-DFRAME_START_MS=" + startMillis,
		`-DPWB_SOCKET="` + testSocket + `"`, `-DPWB_WORKER="` + testWorker + `"`}, sanitize...)
	host := append([]string{"-o", stage + "/host", "testdata/host.c"}, sanitize...)
	for _, args := range [][]string{append(append(module, sources...), "-lpam"), append(host, "-lpam")} {
		cmd := exec.Command("cc", args...)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(confDir, 0o755); err != nil {
		return err
	}
	service := ""
	for _, kind := range []string{"auth", "account", "session", "password"} {
		service += kind + " required " + stage + "/pam_pwb.so umask=0077\n"
	}
	if err := os.WriteFile(confDir+"/other", []byte(service), 0o644); err != nil {
		return err
	}
	return os.WriteFile(confDir+"/test", []byte(service), 0o644)
})

func need(t testing.TB) {
	t.Helper()
	nstest.Need(t)
	if err := built(); err != nil {
		t.Fatalf("build the module: %v", err)
	}
}

// runHost runs the host for a user that exists everywhere and is not root, and returns what it printed.
func runHost(t testing.TB, user, ticket string, ops ...string) string {
	t.Helper()
	cmd := hostCommand(user, ticket, ops...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("host: %v\n%s", err, out)
	}
	return string(out)
}

func hostCommand(user, ticket string, ops ...string) *exec.Cmd {
	cmd := exec.Command(stage+"/host", append([]string{confDir, "test", user}, ops...)...)
	// libpam loads what the service file names with dlopen and unloads it in pam_end, before the leak check can name it.
	cmd.Env = []string{"TICKET=" + ticket, "ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99"}
	return cmd
}
