package oauth

import (
	"bytes"
	"io"
	"net/http"
)

// roundTrip is a provider without a network.
type roundTrip func(*http.Request) (int, []byte)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := f(r)
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}
