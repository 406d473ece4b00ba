package pampwb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrProtocol is in the error of every frame that breaks the rules of PROTOCOL. Its connection is of no further use.
var ErrProtocol = errors.New("frame breaks the protocol")

// frame is a datagram as it came, judged by parse.
type frame struct {
	kind    uint8
	seq     uint32
	payload []byte // shares its bytes with the datagram
}

func parse(datagram []byte) (frame, error) {
	switch {
	case len(datagram) < headerLen || len(datagram) > maxFrame:
		return frame{}, fmt.Errorf("frame of %d bytes: %w", len(datagram), ErrProtocol)
	case datagram[0] != 'P' || datagram[1] != 'W':
		return frame{}, fmt.Errorf("magic %q: %w", datagram[:2], ErrProtocol)
	case datagram[2] != version:
		return frame{}, fmt.Errorf("version %d, not %d: %w", datagram[2], version, ErrProtocol)
	case int64(binary.BigEndian.Uint32(datagram[8:])) != int64(len(datagram)-headerLen):
		return frame{}, fmt.Errorf("a length that is not the frame's: %w", ErrProtocol)
	}
	return frame{datagram[3], binary.BigEndian.Uint32(datagram[4:]), datagram[headerLen:]}, nil
}

// cursor reads a payload in order. Like its twin in frame.c it keeps the first error, so that a whole payload is read
// before anybody asks.
type cursor struct {
	rest   []byte
	broken bool
}

func (c *cursor) take(n uint32) []byte {
	if c.broken || uint64(n) > uint64(len(c.rest)) {
		c.broken = true
		return nil
	}
	p := c.rest[:n:n]
	c.rest = c.rest[n:]
	return p
}

func (c *cursor) uint8() uint8 {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if p := c.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

// bytes returns the next length-prefixed bytes, sharing them with the payload.
func (c *cursor) bytes(limit uint32) []byte {
	n := c.uint32()
	if n > limit {
		c.broken = true
	}
	return c.take(n)
}

func (c *cursor) string() string {
	p := c.bytes(maxString)
	if bytes.IndexByte(p, 0) >= 0 {
		c.broken = true
	}
	if c.broken {
		return ""
	}
	return string(p)
}

// done says whether the payload was what its reader expected, to the last byte.
func (c *cursor) done() error {
	if c.broken || len(c.rest) > 0 {
		return fmt.Errorf("payload: %w", ErrProtocol)
	}
	return nil
}

// builder writes one frame.
type builder []byte

func build(kind uint8, seq uint32) *builder {
	b := make(builder, headerLen, 256)
	copy(b, []byte{'P', 'W', version, kind})
	binary.BigEndian.PutUint32(b[4:], seq)
	return &b
}

func (b *builder) uint8(v uint8)   { *b = append(*b, v) }
func (b *builder) uint32(v uint32) { *b = binary.BigEndian.AppendUint32(*b, v) }

func (b *builder) string(s string) {
	b.uint32(uint32(len(s)))
	*b = append(*b, s...)
}

// frame fills in the length and returns the datagram.
func (b *builder) frame() []byte {
	binary.BigEndian.PutUint32((*b)[8:], uint32(len(*b)-headerLen))
	return *b
}

// Call is what a host has asked for. Strings are at most 4 KiB, without NUL, and otherwise whatever the host had.
type Call struct {
	Op      Op
	Flags   uint32
	Service string
	User    string // empty when the host has named nobody
	UserSet bool
	TTY     string
	RHost   string
	RUser   string
	Args    []string // of the module's line in the stack

	// What the host's process says of itself; for the log only. What counts is Conn.Peer.
	HostPID    int32
	RUID, EUID uint32
}

func parseHello(payload []byte) (call *Call, lowest, highest uint8, err error) {
	c := cursor{rest: payload}
	lowest, highest = c.uint8(), c.uint8()
	call = &Call{Op: Op(c.uint8())}
	state := c.uint8()
	call.UserSet = state&userSet != 0
	call.Flags, call.HostPID = c.uint32(), int32(c.uint32())
	call.RUID, call.EUID = c.uint32(), c.uint32()
	call.Service, call.User = c.string(), c.string()
	call.TTY, call.RHost, call.RUser = c.string(), c.string(), c.string()
	n := c.uint32()
	if n > maxArgs {
		c.broken = true
	}
	for ; n > 0 && !c.broken; n-- {
		call.Args = append(call.Args, c.string())
	}
	if err := c.done(); err != nil {
		return nil, 0, 0, err
	}
	if state&^userSet != 0 || call.UserSet != (call.User != "") {
		return nil, 0, 0, fmt.Errorf("state %#x with user %q: %w", state, call.User, ErrProtocol)
	}
	return call, lowest, highest, nil
}
