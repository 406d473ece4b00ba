package pampwb

import (
	"context"
	"fmt"
	"net"
	"time"
)

// publishTime is more than a whole snapshot takes to write.
const publishTime = 30 * time.Second

// AskToPublish asks the worker that listens at path to show every program what the store has, and returns when it does
// (PROTOCOL 7). The worker must be root's: another could let a caller believe that an account is shown, or locked.
func AskToPublish(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	var dialer net.Dialer
	sock, err := dialer.DialContext(ctx, "unixpacket", path)
	if err != nil {
		return fmt.Errorf("ask the worker to publish: %w", err)
	}
	c, err := NetConn(sock.(*net.UnixConn))
	if err != nil {
		return fmt.Errorf("ask the worker to publish: %w", err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if c.peer.UID != 0 {
		return fmt.Errorf("ask the worker to publish: %s is uid %d's, not root's: %w", path, c.peer.UID, ErrProtocol)
	}
	code, err := c.callPublish()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil && code != Success {
		err = fmt.Errorf("its answer is %s, and its log says why", code)
	}
	if err != nil {
		return fmt.Errorf("ask the worker to publish: %w", err)
	}
	return nil
}

// callPublish makes the call as the module makes its own.
func (c *Conn) callPublish() (Code, error) {
	hello := build(kindHello, 0)
	hello.uint8(version)
	hello.uint8(version)
	hello.uint8(uint8(OpPublish))
	hello.uint8(0)
	for range 4 { // flags, process, uids: nobody reads them
		hello.uint32(0)
	}
	for range 5 { // service, user, tty, rhost, ruser
		hello.string("")
	}
	hello.uint32(0)
	if err := c.write(hello.frame()); err != nil {
		return 0, err
	}
	for {
		datagram, err := c.receive()
		if err != nil {
			return 0, err
		}
		f, err := parse(datagram)
		if err != nil {
			return 0, err
		}
		switch f.kind {
		case kindHelloAck, kindLog: // the worker's own log has what it says to hosts
		case kindResult:
			p := cursor{rest: f.payload}
			code := Code(int32(p.uint32()))
			return code, p.done()
		default:
			return 0, fmt.Errorf("frame %d in place of RESULT: %w", f.kind, ErrProtocol)
		}
	}
}
