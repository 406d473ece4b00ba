package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestThrottle(t *testing.T) {
	th, now := NewThrottle(3, time.Second), time.Now()
	for n, ok := range []bool{true, true, true, false, false} {
		if _, got := th.Allow("a", now); got != ok {
			t.Errorf("request %d: %v", n+1, got)
		}
	}
	if wait, _ := th.Allow("a", now); wait != time.Second {
		t.Errorf("wait %v", wait)
	}
	if _, ok := th.Allow("b", now); !ok {
		t.Error("b waits for a")
	}
	now = now.Add(time.Second)
	for n, ok := range []bool{true, false} {
		if _, got := th.Allow("a", now); got != ok {
			t.Errorf("a second later, request %d: %v", n+1, got)
		}
	}
	for n := range maxBuckets + 100 {
		th.Allow(fmt.Sprint(n), now)
	}
	if n := len(th.until); n > maxBuckets {
		t.Errorf("strangers have made it grow to %d", n)
	}
}

func TestWhoIsNotServedDoesNotFillTheLog(t *testing.T) {
	var log strings.Builder
	s := New(Config{OnlyProxies: true, Log: slog.New(slog.NewTextHandler(&log, nil))}, says(""))
	r, _ := http.NewRequest("GET", "/", nil)
	r.RemoteAddr = "192.0.2.1:1"
	const times = 2000
	for range times {
		s.serve(httptest.NewRecorder(), r)
	}
	if n := strings.Count(log.String(), "\n"); n == 0 || n > times/2 {
		t.Errorf("%d requests have %d lines", times, n)
	}
}
