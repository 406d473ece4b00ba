package oauth

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/pwb-project/pwb/internal/ticket"
)

// Device is a sign-in that waits for a person at another device.
type Device struct {
	URL     string // where the person goes: printable ASCII
	Code    string // what the person types there: letters, digits, hyphens and blanks
	Expires time.Time

	answer *oauth2.DeviceAuthResponse
}

// What providers answer is held to these: the library panics for an interval below zero, and waits for years for a large one.
const (
	leastInterval   = 1
	mostInterval    = 60
	defaultInterval = 5
	deviceLife      = 15 * time.Minute
	maxDeviceCode   = 8 << 10
	maxURL          = 256
)

var userCode = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9 -]{0,38}[A-Za-z0-9])?$`) })

// BeginDevice asks for a code that a person types at another device. ErrNoDevice: the provider has no such door.
func (c *Client) BeginDevice(ctx context.Context) (*Device, error) {
	e, err := c.discover(ctx)
	if err != nil {
		return nil, err
	}
	if e.DeviceAuthorization == "" || e.Token == "" {
		return nil, ErrNoDevice
	}
	cfg, err := c.config(e)
	if err != nil {
		return nil, err
	}
	var opts []oauth2.AuthCodeOption
	if cfg.ClientSecret != "" { // the library leaves it out (golang/oauth2#685)
		opts = append(opts, oauth2.SetAuthURLParam("client_secret", cfg.ClientSecret))
	}
	answer, err := cfg.DeviceAuth(c.withHTTP(ctx), opts...)
	if err != nil {
		return nil, fmt.Errorf("begin a sign-in at another device: %w", classify(err))
	}
	d, err := c.device(answer)
	if err != nil {
		return nil, fmt.Errorf("begin a sign-in at another device: %w", err)
	}
	return d, nil
}

// device takes of an answer what can be shown and waited for.
func (c *Client) device(answer *oauth2.DeviceAuthResponse) (*Device, error) {
	now := c.cfg.Now()
	switch {
	case answer.DeviceCode == "" || len(answer.DeviceCode) > maxDeviceCode:
		return nil, fmt.Errorf("%w: no device code", ErrAnswer)
	case !userCode().MatchString(answer.UserCode):
		return nil, fmt.Errorf("%w: no code that a person could type", ErrAnswer)
	case len(answer.VerificationURI) > maxURL || ticket.CheckEndpoint(answer.VerificationURI, c.cfg.AllowLoopbackHTTP) != nil:
		return nil, fmt.Errorf("%w: no address that a person should go to", ErrAnswer)
	case !answer.Expiry.IsZero() && !answer.Expiry.After(now):
		return nil, fmt.Errorf("%w: over before it has begun", ErrAnswer)
	}
	if last := now.Add(deviceLife); answer.Expiry.IsZero() || answer.Expiry.After(last) {
		answer.Expiry = last
	}
	if answer.Interval == 0 {
		answer.Interval = defaultInterval
	}
	answer.Interval = min(max(answer.Interval, leastInterval), mostInterval)
	return &Device{URL: answer.VerificationURI, Code: answer.UserCode, Expires: answer.Expiry, answer: answer}, nil
}

// AwaitDevice returns the ID token when the person has signed in, which is still to be judged. It ends with ctx. A provider that
// is away for a moment is asked again (RFC 8628 3.5). ErrDenied: the person has declined. ErrTooLate: the code has expired.
func (c *Client) AwaitDevice(ctx context.Context, d *Device) ([]byte, error) {
	ctx, cancel := context.WithDeadlineCause(ctx, d.Expires, ErrTooLate)
	defer cancel()
	for {
		e, err := c.discover(ctx)
		if err != nil {
			return nil, ended(ctx, err)
		}
		cfg, err := c.config(e)
		if err != nil {
			return nil, err
		}
		token, err := cfg.DeviceAccessToken(c.withHTTP(ctx), d.answer) // waits before it asks
		if err == nil {
			return idToken(token)
		}
		err = classify(err)
		if !errors.Is(err, ErrUnreachable) || ctx.Err() != nil {
			return nil, fmt.Errorf("await a sign-in at another device: %w", ended(ctx, err))
		}
		d.answer.Interval = min(d.answer.Interval+5, mostInterval)
	}
}

// ended says why the wait was over, when the wait was what ended.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
