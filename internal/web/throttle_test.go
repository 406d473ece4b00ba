package web

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

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
