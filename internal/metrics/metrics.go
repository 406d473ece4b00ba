// Package metrics counts what a service does, for Prometheus to read. It promises that a name is counted wherever it is used
// first, and that counting never fails and never waits. Labels are the caller's constants: nothing that a stranger sends may
// become one.
package metrics

import (
	"net/http"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Set is one process's figures. It is safe for concurrent use; the nil Set counts nothing.
type Set struct{ set *metrics.Set }

// New returns an empty set.
func New() *Set { return &Set{metrics.NewSet()} }

// Count adds one to a counter, such as `pwb_signins_total{result="accepted"}`.
func (s *Set) Count(name string) {
	if s != nil {
		s.set.GetOrCreateCounter(name).Inc()
	}
}

// Took adds a time to a histogram in seconds, such as `pwb_http_request_seconds{door="scim"}`.
func (s *Set) Took(name string, d time.Duration) {
	if s != nil {
		s.set.GetOrCreatePrometheusHistogram(name).Update(d.Seconds())
	}
}

// Gauge has value asked whenever somebody reads. A later value of the same name takes its place.
func (s *Set) Gauge(name string, value func() float64) {
	if s != nil {
		s.set.UnregisterMetric(name)
		s.set.NewGauge(name, value)
	}
}

// ServeHTTP writes all figures in Prometheus' text format, those of the process among them.
func (s *Set) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	s.set.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
}
