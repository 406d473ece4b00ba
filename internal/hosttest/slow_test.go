package hosttest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	slowMost  = 4000             // connections at once
	slowShed  = 10 * time.Second // web's time for a request's header
	slowSpare = 500              // descriptors for everything else
)

// slowly are connections on each of which a request comes a byte at a time, and never to its end.
type slowly struct {
	conns []net.Conn
	open  atomic.Int64
	early atomic.Int64 // were closed before their time was over
}

// connectSlowly opens as many as the descriptors allow, which it raises first.
func connectSlowly(t *testing.T, address string) *slowly {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for _, most := range []uint64{max(limit.Max, slowMost+slowSpare), limit.Max} { // only root with CAP_SYS_RESOURCE gets more than Max
		limit.Cur, limit.Max = most, most
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
			break
		}
	}
	s := &slowly{conns: make([]net.Conn, min(slowMost, limit.Cur-slowSpare))}
	t.Cleanup(func() {
		for _, c := range s.conns {
			if c != nil {
				c.Close()
			}
		}
	})
	const lanes = 16
	var dialling sync.WaitGroup
	for lane := range lanes {
		dialling.Go(func() {
			for i := lane; i < len(s.conns); i += lanes {
				begun := time.Now() // the other side begins to count before this one hears of it
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				s.conns[i] = c
				s.open.Add(1)
				go s.watch(c, begun)
				io.WriteString(c, "GET /scim/v2/Users HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
			}
		})
	}
	dialling.Wait()
	if t.Failed() {
		t.FailNow()
	}
	go s.drip(t)
	return s
}

// watch notes when the other side has had enough.
func (s *slowly) watch(c net.Conn, begun time.Time) {
	io.Copy(io.Discard, c)
	if time.Since(begun) < slowShed {
		s.early.Add(1)
	}
	s.open.Add(-1)
}

func (s *slowly) drip(t *testing.T) {
	for tick := time.Tick(time.Second); ; {
		select {
		case <-t.Context().Done():
			return
		case <-tick:
		}
		for _, c := range s.conns {
			c.Write([]byte("x"))
		}
	}
}

// Thousands of connections that hold on, and say next to nothing, cost themselves alone: directories and people are answered
// meanwhile, and the front ends what takes too long.
func TestSlowConnections(t *testing.T) {
	m := registering(t, "")
	m.withServiceUser()
	m.start()
	front := m.serve()
	go front.listened()
	d := m.directory(front.url)
	slow := connectSlowly(t, strings.TrimPrefix(front.url, "http://"))
	answered := 0
	for end := time.Now().Add(time.Minute); slow.open.Load() > 0; answered++ {
		if time.Now().After(end) {
			t.Fatalf("%d of %d connections are still open", slow.open.Load(), len(slow.conns))
		}
		id := d.send("POST", "/Users", fmt.Sprintf(`{"userName":"person%d@example.com","externalId":"%d"}`, answered, answered), http.StatusCreated)["id"].(string)
		d.setActive(id, "False")
		m.expect(m.ticketOf("carol")+"\n", 0, "", pamtester("carol", "authenticate", "acct_mgmt")...)
	}
	if early := slow.early.Load(); early > 0 {
		t.Errorf("%d of %d connections were refused, not heard out", early, len(slow.conns))
	}
	t.Logf("%d connections, %d rounds of answers meanwhile", len(slow.conns), answered)
}
