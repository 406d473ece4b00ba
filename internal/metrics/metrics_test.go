package metrics

import (
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	s := New()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				s.Count(`pwb_signins_total{result="accepted"}`)
			}
		})
	}
	wg.Wait()
	s.Count(`pwb_signins_total{result="refused"}`)
	s.Took(`pwb_http_request_seconds{door="scim"}`, 2*time.Millisecond)
	s.Took(`pwb_http_request_seconds{door="scim"}`, time.Minute)
	s.Took("pwb_publish_seconds", 5*time.Millisecond) // the end of a bucket belongs to it
	s.Gauge("pwb_sessions", func() float64 { return 1 })
	s.Gauge("pwb_sessions", func() float64 { return 2.5 })
	w := httptest.NewRecorder()
	s.ServeHTTP(w, nil)
	for _, want := range []string{
		"# TYPE pwb_signins_total counter\npwb_signins_total{result=\"accepted\"} 800\npwb_signins_total{result=\"refused\"} 1\n",
		"# TYPE pwb_http_request_seconds histogram\npwb_http_request_seconds_bucket{door=\"scim\",le=\"0.001\"} 0\n" +
			"pwb_http_request_seconds_bucket{door=\"scim\",le=\"0.0025\"} 1\n",
		"pwb_http_request_seconds_bucket{door=\"scim\",le=\"10\"} 1\npwb_http_request_seconds_bucket{door=\"scim\",le=\"+Inf\"} 2\n" +
			"pwb_http_request_seconds_sum{door=\"scim\"} 60.002\npwb_http_request_seconds_count{door=\"scim\"} 2\n",
		"pwb_publish_seconds_bucket{le=\"0.0025\"} 0\npwb_publish_seconds_bucket{le=\"0.005\"} 1\n",
		"# TYPE pwb_sessions gauge\npwb_sessions 2.5\n",
		"\nprocess_open_fds ", "\nprocess_resident_memory_bytes ",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %q in:\n%s", want, w.Body)
		}
	}
	var none *Set
	none.Count("x")
	none.Took("x", 1)
	none.Gauge("x", nil)
}
