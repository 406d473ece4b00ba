package ticket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pwb-project/pwb/internal/ticket/oidctest"
)

// wire is an issuer without a network between, for tests in which time is not the real one.
type wire struct {
	issuer *oidctest.Issuer

	mu    sync.Mutex // guards what follows
	hangs bool
	asked []time.Time // for the key set
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	hangs := w.hangs
	if strings.HasSuffix(r.URL.Path, "/keys") {
		w.asked = append(w.asked, time.Now())
	}
	w.mu.Unlock()
	if hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	answer := httptest.NewRecorder()
	w.issuer.ServeHTTP(answer, r)
	return answer.Result(), nil
}

func (w *wire) hang(yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hangs = yes
}

func (w *wire) times() []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// settle lets fetches that nobody waits for end.
func settle() {
	time.Sleep(2 * fetchLimit)
	synctest.Wait()
}

// fresh returns claims of a token that is issued now, in the time of a test's bubble.
func fresh() map[string]any { return (&clock{at: time.Now()}).claims() }

// "Refresh hourly": the resident worker does it before a login would have to.
func TestMaintainRenewsAheadOfTime(t *testing.T) {
	i := oidctest.New(t, "")
	synctest.Test(t, func(t *testing.T) {
		w := &wire{issuer: i}
		v := open(t, i, func(c *Config) { c.Client = &http.Client{Transport: w} })
		ctx, stop := context.WithCancel(t.Context())
		go v.Maintain(ctx)
		time.Sleep(12 * time.Hour)
		stop()
		synctest.Wait()
		asked := w.times()
		for n := range asked[1:] {
			if gap := asked[n+1].Sub(asked[n]); gap < 50*time.Minute || gap > 55*time.Minute {
				t.Errorf("%v between two fetches, want 50 to 55 minutes", gap)
			}
		}
		if len(asked) < 13 {
			t.Errorf("%d fetches in twelve hours", len(asked))
		}
	})
}

func TestNobodyWaitsWhereMaintainRuns(t *testing.T) {
	i := oidctest.New(t, "")
	synctest.Test(t, func(t *testing.T) {
		w := &wire{issuer: i}
		v := open(t, i, func(c *Config) { c.Client = &http.Client{Transport: w} })
		ctx, stop := context.WithCancel(t.Context())
		go v.Maintain(ctx)
		synctest.Wait()
		w.hang(true)
		for range 20 {
			time.Sleep(time.Hour + time.Second)
			began := time.Now()
			if _, err := verify(v, i.Mint("alice", fresh())); err != nil || time.Since(began) != 0 {
				t.Errorf("a login took %v: %v", time.Since(began), err)
			}
		}
		stop()
		settle()
	})
}

// Without a resident worker each login is a process of its own; one of them a minute waits a moment for the provider.
func TestOldKeysCostOneLoginAMinuteAMoment(t *testing.T) {
	i := oidctest.New(t, "")
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &wire{issuer: i}
		change := func(c *Config) { c.Client = &http.Client{Transport: w}; c.CacheDir = dir }
		if _, err := verify(open(t, i, change), i.Mint("alice", fresh())); err != nil {
			t.Fatal(err)
		}
		w.hang(true)
		time.Sleep(2 * time.Hour)
		for _, want := range []time.Duration{renewLimit, 0, 0} {
			began := time.Now()
			if _, err := verify(open(t, i, change), i.Mint("alice", fresh())); err != nil || time.Since(began) != want {
				t.Errorf("a login took %v, want %v: %v", time.Since(began), want, err)
			}
		}
		time.Sleep(time.Minute)
		w.hang(false)
		settle()
		verify(open(t, i, change), i.Mint("alice", fresh()))
		if v := open(t, i, change); v.keys.current().age(time.Now()) != 0 {
			t.Errorf("a minute after the provider came back, the keys are %v old", v.keys.current().age(time.Now()))
		}
	})
}

// When the keys turn, everybody who comes then is let in, not the first few.
func TestAHerdWithANewKeyIsOneQuestion(t *testing.T) {
	i := oidctest.New(t, "")
	v := open(t, i, nil)
	if _, err := verify(v, i.Mint("alice")); err != nil {
		t.Fatal(err)
	}
	i.Rotate(false)
	before := i.Fetches()
	release := make(chan struct{})
	i.Lie(func(w http.ResponseWriter, _ *http.Request, truth []byte) { <-release; w.Write(truth) })
	var herd sync.WaitGroup
	for range 50 {
		token := i.Mint("alice")
		herd.Go(func() {
			if _, err := verify(v, token); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	herd.Wait()
	if n := i.Fetches() - before; n > unknownBurst {
		t.Errorf("%d fetches for one new key", n)
	}
}

// "'Cannot tell' (provider down) is never reported as 'wrong': hosts lock accounts for wrong" (STYLE 4).
func TestANewKeyDuringAnOutageIsCannotTell(t *testing.T) {
	i := oidctest.New(t, "")
	c := &clock{at: time.Now()}
	dir := t.TempDir()
	change := func(cfg *Config) { cfg.Now = c.now; cfg.CacheDir = dir }
	if _, err := verify(open(t, i, change), i.Mint("alice")); err != nil {
		t.Fatal(err)
	}
	i.Rotate(false)
	i.Stop()
	c.add(10 * time.Minute)
	for n := range unknownBurst + 3 {
		if _, err := verify(open(t, i, change), i.Mint("alice", c.claims())); !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrSignature) {
			t.Errorf("login %d: %v, want %v", n, err, ErrUnreachable)
		}
	}
}

func TestADocumentThatIsDownTakesNoKeysAway(t *testing.T) {
	i := oidctest.New(t, "")
	v := open(t, i, nil)
	if _, err := verify(v, i.Mint("alice")); err != nil {
		t.Fatal(err)
	}
	i.Rotate(false)
	i.Lie(func(w http.ResponseWriter, r *http.Request, truth []byte) {
		if !strings.HasSuffix(r.URL.Path, "/keys") {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Write(truth)
	})
	if _, err := verify(v, i.Mint("alice")); err != nil {
		t.Errorf("a new key, without the discovery document: %v", err)
	}
}

// A process whose fetch fails does not put its older keys over those that another has fetched meanwhile.
func TestAFailureOverwritesNoNewerKeys(t *testing.T) {
	i := oidctest.New(t, "")
	c := &clock{at: time.Now()}
	dir := t.TempDir()
	change := func(cfg *Config) { cfg.Now = c.now; cfg.CacheDir = dir }
	old := open(t, i, change)
	if _, err := verify(old, i.Mint("alice")); err != nil {
		t.Fatal(err)
	}
	i.Rotate(true)
	c.add(time.Minute)
	if err := open(t, i, change).keys.refresh(t.Context(), c.now(), false); err != nil {
		t.Fatal(err)
	}
	i.Stop()
	if err := old.keys.refresh(t.Context(), c.now(), false); err == nil {
		t.Fatal("a fetch from a dead provider")
	}
	if _, err := verify(open(t, i, change), i.Mint("alice", c.claims())); err != nil {
		t.Errorf("the newer keys: %v", err)
	}
}

// What is configured now decides, also for what was cached under another configuration.
func TestACachedPlaceForKeysIsJudgedAgain(t *testing.T) {
	i, elsewhere := oidctest.New(t, ""), oidctest.New(t, "")
	dir := t.TempDir()
	v := open(t, i, func(c *Config) { c.CacheDir = dir })
	if _, err := verify(v, i.Mint("alice")); err != nil {
		t.Fatal(err)
	}
	s := v.keys.current()
	s.KeysURL = elsewhere.URL + "/keys"
	v.keys.save(s)
	moved := open(t, i, func(c *Config) { c.CacheDir = dir })
	if err := moved.keys.refresh(t.Context(), time.Now(), false); err != nil || moved.keys.current().KeysURL != i.URL+"/keys" {
		t.Errorf("refresh = %v, keys from %s", err, moved.keys.current().KeysURL)
	}
}

// What a stranger answers goes into no log: neither as text nor as control characters.
func TestErrorsHoldNothingOfTheAnswer(t *testing.T) {
	const secret = "EVIL\x1b[31m"
	for name, answer := range map[string]string{
		"no HTTP":     secret + strings.Repeat("x", 5000) + "\r\n\r\n",
		"status line": "HTTP/1.1 abc" + secret + "\r\n\r\n",
		"a header":    "HTTP/1.1 200 OK\r\n" + secret + "\r\n\r\n",
		"length":      "HTTP/1.1 200 OK\r\nContent-Length: " + secret + "\r\n\r\n",
		"location":    "HTTP/1.1 302 Found\r\nLocation: http://[EVIL\r\nContent-Length: 0\r\n\r\n",
		"reason":      "HTTP/1.1 500 " + secret + "\r\nContent-Length: 4\r\n\r\nEVIL",
		"body":        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL",
		"chunks":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nEVIL\r\n",
		"encoding":    "HTTP/1.1 200 OK\r\nContent-Encoding: EVIL\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			v, err := Open(Config{Issuer: "http://" + speak(t, answer), ClientID: "c", AllowLoopbackHTTP: true})
			if err != nil {
				t.Fatal(err)
			}
			_, err = v.Check(t.Context())
			if !errors.Is(err, ErrUnreachable) || strings.Contains(err.Error(), "EVIL") || len(err.Error()) > 300 {
				t.Errorf("Check = %.400q", fmt.Sprint(err))
			}
		})
	}
}

// speak listens on loopback and says the same to everybody.
func speak(t *testing.T, answer string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 4096)) // the request: to close with it unread would reset the connection
			c.Write([]byte(answer))
			c.Close()
		}
	}()
	return l.Addr().String()
}
