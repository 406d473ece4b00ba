package ticket

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKit runs a table of adversarial tokens, and a list of misbehaving providers, that lie outside this project: the folder
// in PWB_OIDC_KIT. Without one it is not asked for.
func TestKit(t *testing.T) {
	dir := os.Getenv("PWB_OIDC_KIT")
	if dir == "" {
		t.Skip("PWB_OIDC_KIT names no kit")
	}
	k := startKit(t, dir)
	t.Run("table", k.table)
	t.Run("modes", k.modes)
	t.Run("unknown key ids", k.flood)
	k.canary(t)
}

// canary: nothing was fetched from where tokens and forged documents point. A reset of the kit forgets it, so it is asked before.
func (k *kit) canary(t *testing.T) {
	t.Helper()
	if n, called := k.stats(t)["canary"]; called && n != 0.0 {
		t.Errorf("the canary was called %v times", n)
	}
}

type kit struct {
	Issuer, Tenant, Control string
	Client                  string `json:"client_id"`
}

func startKit(t *testing.T, dir string) *kit {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "faketoken")
	build := exec.Command("go", "build", "-o", bin, "./cmd/faketoken")
	build.Dir, build.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the kit: %v\n%s", err, out)
	}
	cmd := exec.Command(bin, "serve")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	k := &kit{}
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(k); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *kit) ctl(t *testing.T, what string) string {
	t.Helper()
	resp, err := http.Get(k.Control + what)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 {
		t.Fatalf("%s: %s %s", what, resp.Status, b)
	}
	return string(b)
}

func (k *kit) stats(t *testing.T) map[string]any {
	m := map[string]any{}
	if err := json.Unmarshal([]byte(k.ctl(t, "stats")), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func (k *kit) open(t *testing.T, c *clock) *Verifier {
	t.Helper()
	cfg := Config{Issuer: k.Issuer, ClientID: k.Client, AllowLoopbackHTTP: true, GroupsClaim: "groups"}
	if c != nil {
		cfg.Now = c.now
	}
	v, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (k *kit) table(t *testing.T) {
	const nonce = "n-0S6_WzA2Mj"
	v := k.open(t, nil)
	seen := 0
	for line := range strings.Lines(k.ctl(t, "table?set=all&nonce="+nonce)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) < 6 {
			t.Fatalf("line %q", line)
		}
		label, token, verdict, layer, grade := f[0], f[1], f[2], f[4], f[5]
		if rest, ok := strings.CutPrefix(token, "json:"); ok {
			if err := json.Unmarshal([]byte(rest), &token); err != nil {
				t.Fatal(err)
			}
		}
		seen++
		got, err := v.Verify(context.Background(), []byte(token), Expect{Nonce: nonce})
		switch layer {
		case "identity", "username":
			if err == nil {
				t.Logf("%-28s %-8s subject %s, username %q", label, layer, got.Identity.Subject, got.Identity.Username)
			}
		default:
			want := verdict == "accept" || layer == "groups"
			if (err == nil) != want {
				t.Errorf("%s (%s, %s): %v; want %s", label, layer, grade, err, verdict)
			}
			if layer == "groups" && err == nil && got.GroupsComplete {
				t.Logf("%-28s groups taken: %.80v", label, got.Groups)
			}
		}
		if err != nil {
			t.Logf("%-28s %.160v", label, err)
		}
	}
	t.Logf("%d cases", seen)
}

func (k *kit) token(t *testing.T) string {
	for line := range strings.Lines(k.ctl(t, "table?set=all&case=good&nonce=x")) {
		if f := strings.Split(line, "\t"); f[0] == "good" {
			return f[1]
		}
	}
	for line := range strings.Lines(k.ctl(t, "table?set=all&nonce=x")) {
		if f := strings.Split(line, "\t"); f[2] == "accept" && f[4] == "control" {
			return f[1]
		}
	}
	t.Fatal("no good token")
	return ""
}

func (k *kit) keyID(t *testing.T, token string) string {
	t.Helper()
	taken, err := take([]byte(token), []string{"RS256"}, idTokenType)
	if err != nil {
		t.Fatal(err)
	}
	return taken.header.kid
}

// modes: the keys that are known go on serving, a verifier without keys cannot tell, both are well again afterwards, and
// nobody waits long.
func (k *kit) modes(t *testing.T) {
	modes := map[string]string{
		"jwks":      "slow hang drip reset garbage html truncated empty null oversize:64 gzipbomb redirect redirectloop status:500 status:404 nokeys keys-null keys-object unknown-kty bad-key oct weak-rsa e-one many x5c-bad no-type dupkid",
		"discovery": "hang reset garbage html truncated empty null oversize:64 gzipbomb redirect redirectloop status:500 templated issuer-mismatch issuer-slash foreign-jwks file-jwks no-jwks algs-none algs-hs types",
	}
	for endpoint, list := range modes {
		for mode := range strings.FieldsSeq(list) {
			t.Run(endpoint+" "+mode, func(t *testing.T) {
				k.canary(t)
				k.ctl(t, "reset")
				c := &clock{at: time.Now()}
				warm, token := k.open(t, c), k.token(t)
				if _, err := verify(warm, token); err != nil {
					t.Fatalf("before: %v", err)
				}
				k.ctl(t, "mode?endpoint="+endpoint+"&mode="+mode+"&delay=20s")
				c.add(time.Minute)
				began := time.Now()
				if _, err := verify(warm, token); err != nil {
					t.Errorf("known keys: %v", err)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("known keys: took %v", took)
				}
				c.add(2 * time.Hour)
				began = time.Now()
				if _, err := warm.keys.find(context.Background(), header{"RS256", k.keyID(t, token)}); err != nil {
					t.Errorf("old keys: %v", err)
				}
				if took := time.Since(began); took > 4*time.Second {
					t.Errorf("old keys: took %v", took)
				}
				c.add(-2 * time.Hour)
				began = time.Now()
				cold := k.open(t, c)
				_, err := verify(cold, token)
				if took := time.Since(began); took > 11*time.Second {
					t.Errorf("no keys: took %v", took)
				}
				t.Logf("no keys: %.200v", err)
				k.ctl(t, "mode?endpoint="+endpoint+"&mode=ok")
				c.add(2 * time.Second)
				if _, err := verify(cold, token); err != nil {
					t.Errorf("healed: %v", err)
				}
			})
		}
	}
	k.canary(t)
	k.ctl(t, "reset")
}

func (k *kit) flood(t *testing.T) {
	v := k.open(t, nil)
	if _, err := verify(v, k.token(t)); err != nil {
		t.Fatal(err)
	}
	before := k.stats(t)
	for line := range strings.Lines(k.ctl(t, "table?set=all&nonce=x")) {
		if f := strings.Split(line, "\t"); strings.HasPrefix(f[0], "kid-") {
			for range 100 {
				verify(v, f[1])
			}
		}
	}
	after := k.stats(t)
	if n := after["jwks"].(float64) - before["jwks"].(float64); n > unknownBurst {
		t.Errorf("%v fetches for unknown key ids, want %d at most", n, unknownBurst)
	}
	t.Logf("before %v, after %v", before, after)
}
