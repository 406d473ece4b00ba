package web

import (
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// Connections at once. One address alone cannot take all of them, unless it is a proxy's or this machine's, behind which
// everybody may be. A network of 64 bits counts as one address: whoever has one of IPv6 has them all.
const (
	maxConns        = 32 << 10
	maxConnsOfOne   = 256
	spareDescribers = 256 // descriptors that files, the store and the provider need
)

// limiter refuses connections over the limits, by closing them.
type limiter struct {
	net.Listener
	most   int
	exempt func(netip.Addr) bool

	mu   sync.Mutex // guards what follows
	all  int
	from map[netip.Addr]int
}

func (s *Server) limited(l net.Listener) net.Listener {
	return &limiter{
		Listener: l, most: connections(), from: map[netip.Addr]int{},
		exempt: func(a netip.Addr) bool { return a.IsLoopback() || s.trusted(a) },
	}
}

// connections is how many fit into this process's descriptors.
func connections() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return maxConnsOfOne
	}
	return int(max(16, min(maxConns, int64(limit.Cur)-spareDescribers)))
}

func (l *limiter) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := addrOf(c)
		if l.take(addr) {
			return &limited{Conn: c, leave: sync.OnceFunc(func() { l.leave(addr) })}, nil
		}
		c.Close()
	}
}

func addrOf(c net.Conn) netip.Addr {
	peer, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}

func (l *limiter) take(addr netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := Network(addr)
	if l.all >= l.most || l.from[one] >= maxConnsOfOne && !l.exempt(addr) {
		return false
	}
	l.all++
	l.from[one]++
	return true
}

func (l *limiter) leave(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	one := Network(addr)
	if l.from[one]--; l.from[one] == 0 {
		delete(l.from, one)
	}
}

// limited gives its place back when it is closed.
type limited struct {
	net.Conn
	leave func()
}

func (c *limited) Close() error {
	c.leave()
	return c.Conn.Close()
}
