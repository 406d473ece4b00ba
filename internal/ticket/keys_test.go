package ticket

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/ticket/oidctest"
)

// clock is the time that a verifier sees; the issuer's tokens are of the real one.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// at returns claims of a token issued at the clock's time.
func (c *clock) claims() map[string]any {
	return map[string]any{"iat": c.now().Unix(), "exp": c.now().Add(time.Hour).Unix()}
}

func TestKeysServeWhileTheProviderIsDown(t *testing.T) {
	i := oidctest.New(t, "")
	c := &clock{at: time.Now()}
	v := open(t, i, func(cfg *Config) { cfg.Now = c.now; cfg.KeysMaxStale = 12 * time.Hour })
	if _, err := verify(v, i.Mint("alice")); err != nil {
		t.Fatal(err)
	}
	i.Stop()
	c.add(11 * time.Hour)
	if _, err := verify(v, i.Mint("alice", c.claims())); err != nil {
		t.Errorf("after 11 hours: %v", err)
	}
	c.add(2 * time.Hour)
	if _, err := verify(v, i.Mint("alice", c.claims())); !errors.Is(err, ErrUnreachable) {
		t.Errorf("after 13 hours: %v, want %v", err, ErrUnreachable)
	}
	i.Start()
	c.add(2 * time.Second)
	if _, err := verify(v, i.Mint("alice", c.claims())); err != nil {
		t.Errorf("with the provider back: %v", err)
	}
}

func TestNeverReachedIsCannotTell(t *testing.T) {
	i := oidctest.New(t, "")
	v := open(t, i, nil)
	i.Stop()
	if _, err := verify(v, i.Mint("alice")); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Verify = %v, want %v", err, ErrUnreachable)
	}
}

func TestKeysTurn(t *testing.T) {
	i := oidctest.New(t, "")
	c := &clock{at: time.Now()}
	v := open(t, i, func(cfg *Config) { cfg.Now = c.now })
	old := i.Mint("alice")
	if _, err := verify(v, old); err != nil {
		t.Fatal(err)
	}
	i.Rotate(false)
	if _, err := verify(v, i.Mint("alice")); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if _, err := verify(v, old); err != nil {
		t.Errorf("the old key, still published: %v", err)
	}
	i.Rotate(true)
	c.add(61 * time.Minute)
	if _, err := verify(v, i.Mint("alice", c.claims())); err != nil {
		t.Errorf("a key after a withdrawal: %v", err)
	}
	if _, err := verify(v, old); !errors.Is(err, ErrExpired) {
		t.Errorf("an old token: %v, want %v", err, ErrExpired)
	}
	if keys := v.keys.current().matching(header{"ES256", "1"}); len(keys) != 0 {
		t.Error("a withdrawn key still serves")
	}
}

// Anybody can make up key ids.
func TestUnknownKeyIDsAskAtABoundedRate(t *testing.T) {
	i := oidctest.New(t, "")
	c := &clock{at: time.Now()}
	dir := t.TempDir()
	change := func(cfg *Config) { cfg.Now = c.now; cfg.CacheDir = dir }
	if _, err := verify(open(t, i, change), i.Mint("alice")); err != nil {
		t.Fatal(err)
	}
	before := i.Fetches()
	for n := range 200 {
		// Each time another process, as when no worker is resident.
		v := open(t, i, change)
		if _, err := verify(v, i.Sign(mustClaims(i), map[string]any{"kid": fmt.Sprint("made-up-", n)})); !errors.Is(err, ErrSignature) {
			t.Fatalf("Verify = %v, want %v", err, ErrSignature)
		}
	}
	if n := i.Fetches() - before; n != unknownBurst {
		t.Errorf("%d fetches for 200 unknown key ids, want %d", n, unknownBurst)
	}
	c.add(unknownEvery + time.Second)
	i.Rotate(false)
	if _, err := verify(open(t, i, change), i.Mint("alice", c.claims())); err != nil {
		t.Errorf("a new key later: %v", err)
	}
}

func TestOneSlowProviderBlocksNobodyElse(t *testing.T) {
	i := oidctest.New(t, "")
	v := open(t, i, nil)
	good := i.Mint("alice")
	if _, err := verify(v, good); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	defer close(release)
	asked := make(chan struct{}, 10)
	i.Lie(func(w http.ResponseWriter, r *http.Request, _ []byte) { asked <- struct{}{}; <-release })
	ctx, cancel := context.WithCancel(context.Background())
	stuck := make(chan error, 1)
	go func() {
		_, err := v.Verify(ctx, []byte(i.Sign(mustClaims(i), map[string]any{"kid": "new"})), Expect{})
		stuck <- err
	}()
	<-asked
	began := time.Now()
	if _, err := verify(v, good); err != nil || time.Since(began) > 4*time.Second {
		t.Errorf("a login with known keys took %v: %v", time.Since(began), err)
	}
	cancel()
	if err := <-stuck; !errors.Is(err, ErrUnreachable) {
		t.Errorf("the login that waited for the provider: %v, want %v", err, ErrUnreachable)
	}
}

func TestABadAnswerChangesNothing(t *testing.T) {
	write := func(s string) func(http.ResponseWriter, *http.Request, []byte) {
		return func(w http.ResponseWriter, r *http.Request, truth []byte) {
			if !strings.HasSuffix(r.URL.Path, "/keys") {
				w.Write(truth)
				return
			}
			w.Write([]byte(s))
		}
	}
	for name, lie := range map[string]func(http.ResponseWriter, *http.Request, []byte){
		"no keys":     write(`{"keys":[]}`),
		"keys null":   write(`{"keys":null}`),
		"null":        write(`null`),
		"empty":       write(``),
		"garbage":     write("\x00\x01\x02"),
		"a weak key":  write(`{"keys":[{"kty":"RSA","kid":"1","n":"AQAB","e":"AQAB"}]}`),
		"a symmetric": write(`{"keys":[{"kty":"oct","kid":"1","k":"c2VjcmV0"}]}`),
		"no object":   write(`{"keys":{"kid":"1"}}`),
		"over a mebi": write(`{"keys":[` + strings.Repeat(" ", documentMax) + `]}`),
		"status 500":  func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(500) },
		"a redirect": func(w http.ResponseWriter, r *http.Request, _ []byte) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		},
		"a web page": func(w http.ResponseWriter, _ *http.Request, b []byte) {
			w.Header().Set("Content-Type", "text/html")
			w.Write(b)
		},
		"gzip": func(w http.ResponseWriter, _ *http.Request, b []byte) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			z.Write(b)
			z.Close()
		},
		"another issuer": func(w http.ResponseWriter, _ *http.Request, b []byte) {
			w.Write([]byte(strings.Replace(string(b), `"issuer":"http`, `"issuer":"https`, 1)))
		},
		"foreign keys": func(w http.ResponseWriter, r *http.Request, b []byte) {
			w.Write([]byte(strings.Replace(string(b), `"jwks_uri":"http://127.0.0.1`, `"jwks_uri":"http://127.0.0.2`, 1)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := oidctest.New(t, "")
			c := &clock{at: time.Now()}
			v := open(t, i, func(cfg *Config) { cfg.Now = c.now })
			if _, err := verify(v, i.Mint("alice")); err != nil {
				t.Fatal(err)
			}
			i.Lie(lie)
			c.add(25 * time.Hour) // discovery document and keys are old
			if _, err := verify(v, i.Mint("alice", c.claims())); !errors.Is(err, ErrUnreachable) {
				t.Errorf("without a good answer: %v, want %v", err, ErrUnreachable)
			}
			i.Lie(nil)
			c.add(2 * time.Second)
			if _, err := verify(v, i.Mint("alice", c.claims())); err != nil {
				t.Errorf("healed: %v", err)
			}
		})
	}
}

// One bad key does not spoil the set.
func TestABadKeyBesideAGoodOne(t *testing.T) {
	i := oidctest.New(t, "")
	i.RotateRSA(1024)
	i.Lie(func(w http.ResponseWriter, r *http.Request, b []byte) {
		w.Write([]byte(strings.Replace(string(b), `"keys":[`, `"keys":[{"kty":"RSA","kid":"x","n":"!","e":"AQAB"},{"kty":"new"},`, 1)))
	})
	v := open(t, i, nil)
	if _, err := verify(v, i.Mint("alice")); err == nil {
		t.Error("a signature of a 1024-bit key was accepted")
	}
	i.Rotate(false)
	if _, err := verify(v, i.Mint("alice")); err != nil {
		t.Errorf("the good key: %v", err)
	}
}

func TestTheCacheServesAnotherProcess(t *testing.T) {
	i := oidctest.New(t, "")
	dir := t.TempDir()
	change := func(cfg *Config) { cfg.CacheDir = dir }
	if _, err := verify(open(t, i, change), i.Mint("alice")); err != nil {
		t.Fatal(err)
	}
	i.Stop()
	if _, err := verify(open(t, i, change), i.Mint("alice")); err != nil {
		t.Errorf("a new process with the provider down: %v", err)
	}
	files, _ := filepath.Glob(dir + "/*")
	if len(files) != 1 {
		t.Fatalf("the cache holds %v", files)
	}
	if st, _ := os.Stat(files[0]); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	for name, spoil := range map[string]func(){
		"writable by others": func() { os.Chmod(files[0], 0o602) },
		"a link":             func() { os.Rename(files[0], dir+"/moved"); os.Symlink(dir+"/moved", files[0]) },
		"cut":                func() { os.Truncate(files[0], 100) },
	} {
		spoil()
		if _, err := verify(open(t, i, change), i.Mint("alice")); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: %v, want %v", name, err, ErrUnreachable)
		}
		os.Chmod(files[0], 0o600)
	}
}

func TestAHerdIsOneQuestion(t *testing.T) {
	i := oidctest.New(t, "")
	v := open(t, i, nil)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := verify(v, i.Mint("alice")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := i.Fetches(); n > 3 {
		t.Errorf("%d fetches for 50 logins at once", n)
	}
}

func TestAClockThatIsSetBackMakesKeysOld(t *testing.T) {
	i := oidctest.New(t, "")
	c := &clock{at: time.Now().Add(20 * time.Minute)}
	v := open(t, i, func(cfg *Config) { cfg.Now = c.now })
	if _, err := verify(v, i.Mint("alice", c.claims())); err != nil {
		t.Fatal(err)
	}
	c.add(-20 * time.Minute)
	before := i.Fetches()
	if _, err := verify(v, i.Mint("alice")); err != nil || i.Fetches() == before {
		t.Errorf("keys of the future served: %v, %d fetches", err, i.Fetches()-before)
	}
}
