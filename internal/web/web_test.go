package web

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

// serve runs a server on a loopback port until the test ends.
func serve(t *testing.T, cfg Config, h http.Handler) (s *Server, addr string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Log = quiet
	s = New(cfg, h)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, 5*time.Second, l) }()
	stop = func() error {
		cancel()
		err := <-done
		done <- err
		return err
	}
	t.Cleanup(func() { stop() })
	return s, l.Addr().String(), stop
}

func says(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// A request in progress stays with its handler over a reload, and is finished at a stop.
func TestNothingIsDropped(t *testing.T) {
	begun, end := make(chan bool), make(chan bool)
	s, addr, stop := serve(t, Config{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		begun <- true
		<-end
		io.WriteString(w, "old")
	}))
	answers := make(chan string, 1)
	go func() {
		_, body := get(t, "http://"+addr)
		answers <- body
	}()
	<-begun
	s.Swap(says("new"))
	if _, body := get(t, "http://"+addr); body != "new" {
		t.Errorf("after the reload: %q", body)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	close(end)
	if body := <-answers; body != "old" {
		t.Errorf("the request in progress: %q", body)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("it still listens")
	}
}

func TestWhoTheClientIs(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("127.0.0.1/32")}
	for _, tt := range []struct {
		name, peer, forwarded, proto string
		addr                         string
		secure                       bool
	}{
		{"a stranger", "192.0.2.1:1", "", "", "192.0.2.1", false},
		{"a stranger who says to be another", "192.0.2.1:1", "203.0.113.9", "https", "192.0.2.1", false},
		{"behind a proxy", "10.0.0.1:1", "203.0.113.9", "https", "203.0.113.9", true},
		{"behind two", "10.0.0.1:1", "203.0.113.9, 10.0.0.2", "https", "203.0.113.9", true},
		{"who writes the header himself", "10.0.0.1:1", "10.0.0.7, 203.0.113.9", "http", "203.0.113.9", false},
		{"with an address that is none", "10.0.0.1:1", "203.0.113.9, unknown", "https", "10.0.0.1", true},
		{"who asks for https himself", "10.0.0.1:1", "203.0.113.9", "https, http", "203.0.113.9", false},
		{"behind a proxy that writes ports", "10.0.0.1:1", "203.0.113.9:50123", "https", "203.0.113.9", true},
		{"behind one that writes ports of IPv6", "10.0.0.1:1", "[2001:db8::9]:50123, 10.0.0.2:443", "https", "2001:db8::9", true},
		{"an IPv4 address in IPv6", "[::ffff:192.0.2.1]:1", "", "", "192.0.2.1", false},
	} {
		r, _ := http.NewRequest("GET", "/", nil)
		r.RemoteAddr = tt.peer
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		if tt.proto != "" {
			r.Header.Set("X-Forwarded-Proto", tt.proto)
		}
		c, err := New(Config{Proxies: proxies, Log: quiet}, says("")).client(r)
		if err != nil || c.Addr.String() != tt.addr || c.Secure != tt.secure {
			t.Errorf("%s: %+v, %v; want %s, %v", tt.name, c, err, tt.addr, tt.secure)
		}
	}
}

func TestPlainHTTPServesProxiesAlone(t *testing.T) {
	s := New(Config{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, OnlyProxies: true, Log: quiet}, says(""))
	for peer, ok := range map[string]bool{"10.0.0.1:1": true, "127.0.0.1:1": true, "192.0.2.1:1": false} {
		r, _ := http.NewRequest("GET", "/", nil)
		r.RemoteAddr = peer
		if _, err := s.client(r); (err == nil) != ok {
			t.Errorf("%s: %v", peer, err)
		}
	}
}

func TestABugEndsOneRequest(t *testing.T) {
	_, addr, _ := serve(t, Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bug" {
			panic("a secret of the inside")
		}
	}))
	status, body := get(t, "http://"+addr+"/bug")
	if status != http.StatusInternalServerError || strings.Contains(body, "secret") || !strings.Contains(body, "Request ") {
		t.Errorf("%d, %q", status, body)
	}
	if status, _ := get(t, "http://"+addr+"/"); status != http.StatusOK {
		t.Errorf("the next request: %d", status)
	}
	if status, _ := get(t, "http://"+addr+"/?"+strings.Repeat("a", maxURL)); status != http.StatusRequestURITooLong {
		t.Errorf("a long address: %d", status)
	}
}

// 10,000 connections that say nothing, and others go on. As many descriptors as the process may have are used at most.
func TestManySilentConnections(t *testing.T) {
	_, addr, _ := serve(t, Config{}, says("here"))
	many := min(10_000, connections()/2-spareDescribers)
	for range many {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if _, body := get(t, "http://"+addr); body != "here" {
		t.Errorf("beside %d silent connections: %q", many, body)
	}
}

func TestOneAddressCannotTakeAllConnections(t *testing.T) {
	one, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	l := &limiter{most: maxConnsOfOne + 1, from: map[netip.Addr]int{}, exempt: netip.Addr.IsLoopback}
	for range maxConnsOfOne {
		if !l.take(one) {
			t.Fatal("refused below the limit")
		}
	}
	if l.take(one) {
		t.Error("one more than the limit")
	}
	if !l.take(other) {
		t.Error("another address is refused")
	}
	if l.take(netip.MustParseAddr("127.0.0.1")) {
		t.Error("over the limit of all")
	}
	l.leave(one)
	mine := &limiter{most: 2 * maxConnsOfOne, from: map[netip.Addr]int{}, exempt: netip.Addr.IsLoopback}
	taken := 0
	for i := range maxConnsOfOne + 1 { // one network of IPv6
		if mine.take(netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 13: 1, 14: byte(i >> 8), 15: byte(i)})) {
			taken++
		}
	}
	if taken != maxConnsOfOne || !mine.take(netip.MustParseAddr("2001:db8::1")) {
		t.Errorf("one network has %d connections", taken)
	}
	if !l.take(netip.MustParseAddr("127.0.0.1")) || len(l.from) != 3 {
		t.Errorf("a place that was given back: %v", l.from)
	}
}

// A client that sends its header a byte at a time, or not at all, is let go.
func TestASlowClientIsLetGo(t *testing.T) {
	s := New(Config{Log: quiet}, says(""))
	if s.http.ReadHeaderTimeout != headerTime || s.http.ReadTimeout != readTime || s.http.WriteTimeout != writeTime || s.http.IdleTimeout != idleTime {
		t.Error("a time-out is not set")
	}
	s.http.ReadHeaderTimeout, s.http.ReadTimeout = 200*time.Millisecond, 400*time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.Serve(ctx, time.Second, l)
	for _, sent := range []string{"", "GET / HT", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, sent)
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, bufio.NewReader(c)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: the connection is still open", sent)
		}
	}
}

// write puts a new self-signed pair into dir.
func write(t *testing.T, dir, name string, until time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	err = errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func TestARenewedCertificateIsTaken(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	cert, key := write(t, dir, "first", now.Add(time.Hour))
	var reported []error
	c, err := OpenCertificate(cert, key, func(err error) { reported = append(reported, err) })
	if err != nil {
		t.Fatal(err)
	}
	c.now = func() time.Time { return now }
	_, addr, _ := serve(t, Config{Certificate: c}, says("here"))
	presented := func() string {
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := presented(); got != "first" {
		t.Errorf("presented %q", got)
	}
	write(t, dir, "second", now.Add(2*time.Hour))
	now = now.Add(2 * lookEvery)
	if got := presented(); got != "second" {
		t.Errorf("a minute after the renewal %q is presented", got)
	}
	if err := os.WriteFile(cert, []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * lookEvery)
	if got := presented(); got != "second" || len(reported) != 1 {
		t.Errorf("beside a broken file %q is presented; reported %v", got, reported)
	}
	if _, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

func TestCertificatesThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	cert, key := write(t, dir, "one", time.Now().Add(time.Hour))
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := OpenCertificate(cert, key, nil)
	if want := fmt.Sprintf("run: chmod 0600 %s", key); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a key that everybody can read: %v, want %q", err, want)
	}
	if _, err := OpenCertificate(cert, filepath.Join(dir, "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no key: %v", err)
	}
}
