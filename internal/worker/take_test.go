package worker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/oauth"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
	pampwb "github.com/pwb-project/pwb/pam_pwb"
	"github.com/pwb-project/pwb/pam_pwb/frametest"
)

// codes is an account store that knows one code.
type codes struct {
	panicking
	good ticket.Code
}

func (c codes) LoginCode(_ context.Context, code ticket.Code, _ account.Name, _ string) (store.Account, error) {
	if code == c.good {
		return store.Account{Name: "nobody-here"}, nil
	}
	return store.Account{}, store.ErrNoCode
}

// said is what a host saw of a call.
type said struct {
	code    pampwb.Code
	shown   []string // prompts and messages
	delayed uint32   // microseconds
	user    string
}

// talk plays the module and a person who answers the prompts, one after the other, and then with nothing.
func talk(t *testing.T, w *Worker, user string, answers ...string) (s said) {
	t.Helper()
	host, conn := pair(t)
	done := make(chan struct{})
	go func() {
		w.ServeConn(context.Background(), conn)
		close(done)
	}()
	defer func() { <-done }()
	defer host.Close()
	if _, err := host.Write(frametest.Hello(uint8(pampwb.OpAuthenticate), 0, "test", user)); err != nil {
		t.Fatal(err)
	}
	host.SetDeadline(time.Now().Add(30 * time.Second))
	for buf := make([]byte, 65536); ; {
		n, err := host.Read(buf)
		if err != nil || n < 12 {
			t.Fatalf("the worker left without a result: %v", err)
		}
		payload := buf[12:n]
		switch kind := buf[3]; kind {
		case 16, 17: // GET_AUTHTOK, PROMPT
			style := byte(1)
			if kind == 17 {
				style, payload = payload[0], payload[1:]
			}
			s.shown = append(s.shown, string(payload[4:]))
			answer := ""
			if style <= 2 && len(answers) > 0 {
				answer, answers = answers[0], answers[1:]
			}
			reply(host, buf[4:8], answer)
		case 18:
			s.user = string(payload[4:])
		case 20:
			s.delayed = binary.BigEndian.Uint32(payload)
		case 31:
			s.code = pampwb.Code(binary.BigEndian.Uint32(payload))
			return s
		}
	}
}

func reply(host net.Conn, seq []byte, text string) {
	b := append([]byte{'P', 'W', 1, 3}, seq...)
	b = binary.BigEndian.AppendUint32(b, uint32(8+len(text)))
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
	host.Write(append(b, text...))
}

func workerOf(r Rules) (*Worker, *strings.Builder) {
	var log strings.Builder
	return &Worker{Rules: func(context.Context) (*Rules, error) { return &r, nil }, Log: slog.New(slog.NewTextHandler(&log, nil))}, &log
}

// A code needs neither the provider nor its keys, and PAM_USER is set where the host has left it open.
func TestACodeIsTaken(t *testing.T) {
	text := ticket.NewCode()
	good, _ := ticket.ParseCode([]byte(text))
	w, log := workerOf(Rules{Accounts: codes{good: good}, MinUID: 1, Tickets: func() (Tickets, error) { return nil, errors.New("no provider") }})
	if s := talk(t, w, "nobody-here", strings.ToUpper(text)+"\r\n"); s.code != pampwb.Success || s.user != "" {
		t.Errorf("a good code: %+v\n%s", s, log)
	}
	if s := talk(t, w, "another", text); s.code != pampwb.AuthErr || s.user != "" { // codes has not looked
		t.Errorf("for another user: %+v", s)
	}
	if s := talk(t, w, "nobody-here", "not a code at all"); s.code != pampwb.AuthinfoUnavail {
		t.Errorf("a token without a provider: %+v", s)
	}
	if !strings.Contains(log.String(), "ticket=code") || strings.Contains(strings.ToLower(log.String()), text[4:18]) {
		t.Errorf("the log: %s", log)
	}
}

// Guessing gets slower and is said once; a right code is taken all the same.
func TestGuessesAreSlowed(t *testing.T) {
	text := ticket.NewCode()
	good, _ := ticket.ParseCode([]byte(text))
	w, log := workerOf(Rules{Accounts: codes{good: good}, MinUID: 1})
	w.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	before := uint32(0)
	for n := 1; n <= manyGuesses+20; n++ {
		s := talk(t, w, "nobody-here", ticket.NewCode())
		if s.code != pampwb.AuthErr || n <= freeGuesses && s.delayed != 0 || n > freeGuesses && s.delayed < before || s.delayed > 5_000_000 {
			t.Fatalf("guess %d: %+v after a delay of %d", n, s, before)
		}
		before = s.delayed
	}
	if before != 5_000_000 || strings.Count(log.String(), "codes are being guessed") != 1 {
		t.Errorf("delayed %d; the log:\n%s", before, log)
	}
	if s := talk(t, w, "nobody-here", text); s.code != pampwb.Success {
		t.Errorf("a right code after %d wrong ones: %+v", manyGuesses, s)
	}
}

// A caller whom the kernel names is refused for its own wrong codes, and nobody for another's.
func TestGuessesOfAPerson(t *testing.T) {
	var w tally
	now := time.Now()
	for range maxGuesses {
		w.add("uid 1000", now)
	}
	if w.count("uid 1000", now) < maxGuesses || w.count("uid 1001", now) != 0 || w.count("uid 1000", now.Add(tallyMinute)) != 0 {
		t.Errorf("%+v", w.byWhom)
	}
	for n := range tallyEntries + 100 { // strangers cannot make it grow
		w.add(fmt.Sprint("host ", n), now.Add(2*tallyMinute))
	}
	if len(w.byWhom) > tallyEntries {
		t.Errorf("%d entries", len(w.byWhom))
	}
	if mine, all := w.add("host 5", now.Add(-time.Hour)); mine != 1 || all != 1 {
		t.Errorf("after the clock was set back: %d of %d", mine, all)
	}
}

// device is a provider's device flow.
type deviceFlow struct {
	begin, await error
	after        time.Duration
	raw          string
}

func (d deviceFlow) BeginDevice(context.Context) (*oauth.Device, error) {
	return &oauth.Device{URL: "https://idp.example/device", Code: "ABCD-EFGH", Expires: time.Now().Add(time.Hour)}, d.begin
}

func (d deviceFlow) AwaitDevice(ctx context.Context, _ *oauth.Device) ([]byte, error) {
	select {
	case <-time.After(d.after):
		return []byte(d.raw), d.await
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestASignInAtAnotherDevice(t *testing.T) {
	text := ticket.NewCode()
	good, _ := ticket.ParseCode([]byte(text))
	for _, tt := range []struct {
		name  string
		flow  Devices
		want  pampwb.Code
		shows string
	}{
		{"off", nil, pampwb.AuthErr, "Ticket: "},
		{"done at once", deviceFlow{raw: text}, pampwb.Success, "Press Enter when you have signed in there: "},
		{"done within the patience after an answer", deviceFlow{raw: text, after: 2 * time.Second}, pampwb.Success, "and type there the code ABCD-EFGH"},
		{"declined", deviceFlow{await: oauth.ErrDenied}, pampwb.AuthErr, "The sign-in at the other device was not completed."},
		{"not allowed", deviceFlow{begin: oauth.ErrRefused}, pampwb.AuthinfoUnavail, "does not allow a sign-in at another device"},
		{"the provider is down", deviceFlow{begin: oauth.ErrUnreachable}, pampwb.AuthinfoUnavail, cannotTell},
		{"nobody signs in", deviceFlow{after: time.Hour}, pampwb.AuthErr, "not completed"},
		{"a wrong token", deviceFlow{raw: ticket.NewCode()}, pampwb.AuthErr, again},
	} {
		w, log := workerOf(Rules{Accounts: codes{good: good}, MinUID: 1, Devices: tt.flow})
		began := time.Now()
		s := talk(t, w, "nobody-here")
		if s.code != tt.want || !strings.Contains(strings.Join(s.shown, "\n"), tt.shows) || time.Since(began) > 9*time.Second {
			t.Errorf("%s: %+v in %v\n%s", tt.name, s, time.Since(began), log)
		}
	}
	w, _ := workerOf(Rules{Accounts: codes{good: good}, MinUID: 1, Devices: deviceFlow{raw: text}})
	w.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	if s := talk(t, w, "nobody-here", text); s.code != pampwb.Success || len(s.shown) != 1 || s.shown[0] != devicePrompt {
		t.Errorf("a code in place of Enter: %+v", s)
	}
	for range maxDevices {
		talk(t, w, "nobody-here")
	}
	if s := talk(t, w, "nobody-here"); s.code != pampwb.AuthinfoUnavail {
		t.Errorf("begun too often: %+v", s)
	}
}
