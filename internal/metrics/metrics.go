// Package metrics counts what a service does, for Prometheus to read. It promises that a name is counted wherever it is used
// first, and that counting never fails and never waits long. Labels are the caller's constants: nothing that a stranger sends may
// become one.
package metrics

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Set is one process's figures. It is safe for concurrent use; the nil Set counts nothing.
type Set struct {
	begun time.Time

	mu       sync.Mutex // guards what follows
	counters map[string]uint64
	times    map[string]*histogram
	gauges   map[string]func() float64
}

// New returns an empty set.
func New() *Set {
	return &Set{begun: time.Now(), counters: map[string]uint64{}, times: map[string]*histogram{}, gauges: map[string]func() float64{}}
}

// bounds are the upper ends of a histogram's buckets, in seconds; the last one, without an end, is not listed.
var bounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

type histogram struct {
	buckets [14]uint64
	sum     float64
}

// Count adds one to a counter, such as `pwb_signins_total{result="accepted"}`.
func (s *Set) Count(name string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counters[name]++
}

// Took adds a time to a histogram in seconds, such as `pwb_http_request_seconds{door="scim"}`.
func (s *Set) Took(name string, d time.Duration) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.times[name]
	if h == nil {
		h = new(histogram)
		s.times[name] = h
	}
	i, _ := slices.BinarySearch(bounds, d.Seconds())
	h.buckets[i]++
	h.sum += d.Seconds()
}

// Gauge has value asked whenever somebody reads. A later value of the same name takes its place.
func (s *Set) Gauge(name string, value func() float64) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gauges[name] = value
}

// ServeHTTP writes all figures in Prometheus' text format, those of the process among them.
func (s *Set) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write(s.text())
}

func (s *Set) text() []byte {
	var out bytes.Buffer
	s.mu.Lock()
	write(&out, "counter", s.counters, func(name string, n uint64) { fmt.Fprintf(&out, "%s %d\n", name, n) })
	write(&out, "histogram", s.times, func(name string, h *histogram) { h.write(&out, name) })
	gauges := maps.Clone(s.gauges) // asked without the lock: a value may take its time
	s.mu.Unlock()
	gauges["process_start_time_seconds"] = func() float64 { return float64(s.begun.UnixMilli()) / 1000 }
	gauges["process_resident_memory_bytes"] = residentMemory
	gauges["process_open_fds"] = openDescriptors
	write(&out, "gauge", gauges, func(name string, value func() float64) {
		fmt.Fprintf(&out, "%s %s\n", name, strconv.FormatFloat(value(), 'g', -1, 64))
	})
	return out.Bytes()
}

// write says each family's type once, before its first line.
func write[V any](out *bytes.Buffer, kind string, all map[string]V, line func(string, V)) {
	said := ""
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if family, _, _ := strings.Cut(name, "{"); family != said {
			fmt.Fprintf(out, "# TYPE %s %s\n", family, kind)
			said = family
		}
		line(name, all[name])
	}
}

func (h *histogram) write(out *bytes.Buffer, name string) {
	family, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
	between, around := labels, ""
	if labels != "" {
		between, around = labels+",", "{"+labels+"}"
	}
	total := uint64(0)
	for i, n := range h.buckets {
		total += n
		end := "+Inf"
		if i < len(bounds) {
			end = strconv.FormatFloat(bounds[i], 'g', -1, 64)
		}
		fmt.Fprintf(out, "%s_bucket{%sle=%q} %d\n", family, between, end, total)
	}
	fmt.Fprintf(out, "%s_sum%s %s\n%s_count%s %d\n", family, around, strconv.FormatFloat(h.sum, 'g', -1, 64), family, around, total)
}

func residentMemory() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 1 {
		pages, _ := strconv.ParseFloat(fields[1], 64)
		return pages * float64(os.Getpagesize())
	}
	return 0
}

func openDescriptors() float64 {
	names, _ := os.ReadDir("/proc/self/fd")
	return float64(len(names))
}
