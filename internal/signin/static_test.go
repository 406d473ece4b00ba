package signin

import (
	"net/http"
	"strings"
	"testing"
)

func TestStaticFiles(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	_, names := assets()
	for name, file := range names {
		resp, _ := b.get("/static/" + file)
		if resp.StatusCode != 200 || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") || resp.Header.Get("Content-Type") == "" {
			t.Errorf("%s: %d, %v", name, resp.StatusCode, resp.Header)
		}
		if resp, _ := b.do("GET", "/static/"+file, nil, "If-None-Match", resp.Header.Get("ETag")); resp.StatusCode != http.StatusNotModified {
			t.Errorf("%s again: %d", name, resp.StatusCode)
		}
	}
	if resp, _ := b.get("/static/..%2fpage%2fhome.html"); resp.StatusCode != 404 {
		t.Errorf("a file outside: %d", resp.StatusCode)
	}
}
