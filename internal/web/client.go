package web

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
)

// Client is who sent a request, as far as it can be trusted.
type Client struct {
	Addr    netip.Addr // of the client itself, where a trusted proxy has said so; else of the peer
	Secure  bool       // it came by HTTPS, to us or to a trusted proxy
	Request string     // a name for this request, for logs and error pages
}

type clientKey struct{}

// ClientOf returns who sent a request. Without a Server around, as in tests, it is the peer.
func ClientOf(r *http.Request) Client {
	if c, ok := r.Context().Value(clientKey{}).(Client); ok {
		return c
	}
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	return Client{Addr: peer.Addr().Unmap(), Secure: r.TLS != nil, Request: rand.Text()}
}

// client believes the X-Forwarded headers of trusted proxies alone. The address is the rightmost that no trusted proxy has: what
// stands further left the client itself may have written.
func (s *Server) client(r *http.Request) (Client, error) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return Client{}, errors.New("the peer has no address")
	}
	c := Client{Addr: peer.Addr().Unmap(), Secure: r.TLS != nil, Request: rand.Text()}
	if s.cfg.OnlyProxies && !s.trusted(c.Addr) && !c.Addr.IsLoopback() {
		return Client{}, errors.New("plain HTTP from an address that is not in trusted-proxies")
	}
	if !s.trusted(c.Addr) {
		return c, nil
	}
	if proto := r.Header.Values("X-Forwarded-Proto"); len(proto) > 0 {
		last := proto[len(proto)-1]
		c.Secure = strings.EqualFold(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:]), "https")
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		addr, ok := hop(strings.TrimSpace(hops[i]))
		if !ok {
			break // nobody's address: the hop before it is as far as can be told
		}
		c.Addr = addr
		if !s.trusted(c.Addr) {
			break
		}
	}
	return c, nil
}

// hop reads an address of X-Forwarded-For. Azure's gateways write the client's port behind it.
func hop(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		var withPort netip.AddrPort
		withPort, err = netip.ParseAddrPort(text)
		addr = withPort.Addr()
	}
	return addr.Unmap().WithZone(""), err == nil
}

func (s *Server) trusted(addr netip.Addr) bool {
	for _, p := range s.cfg.Proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

func stack() string { return string(debug.Stack()) }
