package signin

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A scanner asks for pages that are not there, and cannot fill the disk with it: neither from one address nor from a network of many.
func TestStrangersDoNotFillTheLog(t *testing.T) {
	s := newSite(t, nil)
	noted := func(times int, from func(i int) string) int {
		s.log.Reset()
		for i := range times {
			r := httptest.NewRequest("GET", fmt.Sprintf("/wp-login-%d.php", i), nil)
			r.RemoteAddr = from(i)
			w := httptest.NewRecorder()
			s.door.ServeHTTP(w, r)
			if w.Code != 404 {
				t.Fatalf("%d", w.Code)
			}
		}
		return strings.Count(s.log.String(), "level=INFO")
	}
	one := func(int) string { return "192.0.2.1:1" }
	if n := noted(1, one); n != 1 {
		t.Errorf("one request has %d lines", n)
	}
	if n := noted(1000, one); n > 150 {
		t.Errorf("one address has %d lines of 1000", n)
	}
	if n := noted(5000, func(i int) string { return fmt.Sprintf("[2001:db8:0:%x::1]:1", i) }); n > 1100 {
		t.Errorf("a network of many has %d lines of 5000", n)
	}
	s.later(time.Hour)
	if n := noted(1, one); n != 1 {
		t.Errorf("an hour later one request has %d lines", n)
	}
}
