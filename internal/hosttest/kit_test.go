package hosttest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/pwb-project/pwb/internal/ticket/oidctest"
)

// TestKit runs a kit of hostile and real hosts that lies outside this project, the folder in PWB_KITS, with real tickets. The
// kit answers every prompt with the same ticket, so tickets are not spent for it; that they are is tested elsewhere.
func TestKit(t *testing.T) {
	kits := os.Getenv("PWB_KITS")
	if kits == "" {
		t.Skip("PWB_KITS names no kits")
	}
	for _, mode := range []string{"resident", "spawned"} {
		t.Run(mode, func(t *testing.T) { hostKit(t, filepath.Join(kits, "pamhosts", "run.sh"), mode == "resident") })
	}
}

const kitSetup = `
for d in usr var; do
	mkdir -p "$PAMHOSTS_WORK/run/o/$d.u" "$PAMHOSTS_WORK/run/o/$d.w"
	mount -t overlay overlay -o "lowerdir=/$d,upperdir=$PAMHOSTS_WORK/run/o/$d.u,workdir=$PAMHOSTS_WORK/run/o/$d.w" "/$d"
done
mount -t tmpfs -o mode=755 tmpfs /run
rm -rf /var/lib/pwb /var/cache/pwb
install -m 755 "$PWB_BUILD/pwb" /usr/bin/pwb
mkdir -p /etc/rstudio
cp "$PWB_CONF"/* /etc/rstudio/ && chmod 600 /etc/rstudio/openid-client-secret
if [ "$PWB_MODE" = true ]; then
	/usr/bin/pwb worker 2>"$PAMHOSTS_WORK/worker.log" &
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do [ -S /run/pwb/worker.sock ] && break; sleep 0.1; done
fi
"$PWB_BUILD/pamtester" pamhosts "$PAMHOSTS_USER" authenticate <"$PAMHOSTS_TICKET_FILE"
`

// cannotPass names hosts that fail without a resident worker: one that is not root cannot start a worker, and must not; and
// where root lacks CAP_SYS_RESOURCE, as in many containers, a worker cannot lift a limit of no bytes and has nowhere to write
// that a ticket is spent.
func cannotPass(host string, resident bool) bool {
	if resident {
		return false
	}
	return host == "unprivileged" || host == "fsize-zero" && !mayLiftLimits()
}

func mayLiftLimits() bool {
	status, _ := os.ReadFile("/proc/self/status")
	_, after, _ := strings.Cut(string(status), "CapEff:\t")
	caps, err := strconv.ParseUint(strings.SplitN(after, "\n", 2)[0], 16, 64)
	return err == nil && caps&(1<<24) != 0
}

func hostKit(t *testing.T, script string, resident bool) {
	idp := oidctest.New(t, "")
	conf := t.TempDir()
	for name, text := range map[string]string{
		"rserver.conf":         "auth-openid=1\nauth-openid-issuer=" + idp.URL + "\n",
		"openid-client-secret": "client-id=" + oidctest.ClientID + "\nclient-secret=none\n",
		"pwb.conf":             "allow-loopback-http=1\ninsecure-reuse-tickets=1\n",
	} {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(script, filepath.Join(builtFolder(), "pam_pwb.so"))
	cmd.Env = append(os.Environ(), "PAMHOSTS_REFUSES=1", "PAMHOSTS_TICKET="+idp.Mint("pamhosts"), "PAMHOSTS_SETUP="+kitSetup,
		"PWB_BUILD="+builtFolder(), "PWB_CONF="+conf, "PWB_MODE="+map[bool]string{true: "true", false: "false"}[resident])
	out, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	t.Log(lines[len(lines)-1])
	for _, line := range lines {
		if m := regexp.MustCompile(`^FAIL ([^:]+)`).FindStringSubmatch(line); m != nil && !cannotPass(m[1], resident) {
			t.Error(line)
		}
	}
	if err != nil && resident {
		t.Errorf("%v\n%s", err, out)
	}
}
