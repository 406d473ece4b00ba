// Package pampwb is the PAM module: pam_pwb.so, in C, in the folder shim, and here the other end of its wire. A worker
// accepts a Conn for each call that a host makes, converses with the person through it, and gives one Result.
//
// The package promises that nothing a peer sends is believed before it is checked (PROTOCOL), that a peer which is slow,
// silent, gone or hostile costs one connection and nothing else, and that closing is cancelling: the context of a call
// ends when its host does. Frame kinds, limits and PAM codes are taken from the header that the C half is built with.
package pampwb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Peer is the process at the other end, as the kernel knew it when the connection was made: its effective ids.
type Peer struct {
	PID int32
	UID uint32
	GID uint32
}

// HostError says that the host could not do what was asked of it: its conversation failed, or it has no ticket to give.
type HostError struct{ Code Code }

func (e HostError) Error() string { return "the host answered " + e.Code.String() }

// ErrHostLeft is the cause of a call's end when its host has closed the connection, or died.
var ErrHostLeft = errors.New("the host left")

// Conn is one call. It is used by one goroutine; Close may be called by any, and ends what is waiting.
type Conn struct {
	// Build is told to the module, for its log when versions do not fit.
	Build string

	sock   *net.UnixConn
	peer   Peer
	seq    uint32
	asked  atomic.Bool // a question has gone out, and its answer has not come
	answer chan []byte // datagrams
	closed chan struct{}
	once   sync.Once // of closing
}

// FileConn takes over the descriptor f, one end of a SOCK_SEQPACKET pair, and closes f.
func FileConn(f *os.File) (*Conn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("take over the socket: %w", err)
	}
	sock, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("take over the socket: not a unix socket")
	}
	return NetConn(sock)
}

// NetConn takes over sock. It closes it when it returns an error.
func NetConn(sock *net.UnixConn) (*Conn, error) {
	peer, err := peerOf(sock)
	if err != nil {
		sock.Close()
		return nil, fmt.Errorf("ask who the peer is: %w", err)
	}
	return &Conn{sock: sock, peer: peer, answer: make(chan []byte), closed: make(chan struct{})}, nil
}

func peerOf(sock *net.UnixConn) (Peer, error) {
	raw, err := sock.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var cred *syscall.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err := errors.Join(err, credErr); err != nil {
		return Peer{}, err
	}
	return Peer{cred.Pid, cred.Uid, cred.Gid}, nil
}

// Peer returns who is at the other end.
func (c *Conn) Peer() Peer { return c.peer }

// Close ends the call; without a Result the host hears "cannot tell".
func (c *Conn) Close() (err error) {
	c.once.Do(func() {
		close(c.closed)
		err = c.sock.Close()
	})
	return err
}

// Accept receives the call and greets the module. A peer gets as long for its first frame as the module gives the worker.
// The context it returns ends with ctx, when the host closes the connection or dies (ErrHostLeft), and when it breaks the
// protocol. Errors are ErrProtocol, wrapped, or those of the socket.
func (c *Conn) Accept(ctx context.Context) (context.Context, *Call, error) {
	c.sock.SetReadDeadline(time.Now().Add(ackMillis * time.Millisecond))
	datagram, err := c.receive()
	if err != nil {
		return nil, nil, err
	}
	f, err := parse(datagram)
	if err != nil {
		return nil, nil, err
	}
	if f.kind != kindHello || f.seq != 0 {
		return nil, nil, fmt.Errorf("frame %d in place of HELLO: %w", f.kind, ErrProtocol)
	}
	call, lowest, highest, err := parseHello(f.payload)
	if err != nil {
		return nil, nil, err
	}
	ack := build(kindHelloAck, 0)
	ack.uint8(version)
	ack.string(clean(c.Build, 64))
	if err := c.write(ack.frame()); err != nil {
		return nil, nil, err
	}
	if lowest > version || highest < version {
		return nil, nil, fmt.Errorf("the module speaks versions %d to %d, this worker %d: %w", lowest, highest, version, ErrProtocol)
	}
	c.sock.SetReadDeadline(time.Time{})
	ctx, cancel := context.WithCancelCause(ctx)
	go c.listen(cancel)
	return ctx, call, nil
}

// listen reads what the host sends until it goes or breaks the protocol, and then ends the call. It never holds a frame that
// nobody waits for: behind one it would not see the host go.
func (c *Conn) listen(cancel context.CancelCauseFunc) {
	for {
		datagram, err := c.receive()
		switch {
		case errors.Is(err, ErrProtocol):
			cancel(err)
			return
		case err != nil:
			cancel(fmt.Errorf("%w: %w", ErrHostLeft, err))
			return
		case !c.asked.CompareAndSwap(true, false):
			clear(datagram)
			cancel(fmt.Errorf("an answer that nobody asked for: %w", ErrProtocol))
			return
		}
		select {
		case c.answer <- datagram:
		case <-c.closed:
			clear(datagram)
			return
		}
	}
}

// rooms are buffers for the largest frame, clear of what was in them.
var rooms = sync.Pool{New: func() any { return new([maxFrame]byte) }}

// receive returns a datagram in memory of its own. It may hold a ticket; whoever uses it up clears it.
func (c *Conn) receive() ([]byte, error) {
	room := rooms.Get().(*[maxFrame]byte)
	defer rooms.Put(room)
	n, _, flags, _, err := c.sock.ReadMsgUnix(room[:], nil)
	defer clear(room[:max(n, 0)])
	switch {
	case err != nil:
		return nil, fmt.Errorf("receive: %w", err)
	case n == 0:
		return nil, fmt.Errorf("receive: %w", io.EOF)
	case flags&syscall.MSG_TRUNC != 0:
		return nil, fmt.Errorf("receive: frame over %d bytes: %w", maxFrame, ErrProtocol)
	case flags&syscall.MSG_CTRUNC != 0: // the kernel has dropped them: there was no room
		return nil, fmt.Errorf("receive: descriptors came with a frame: %w", ErrProtocol)
	}
	return bytes.Clone(room[:n]), nil
}

func (c *Conn) write(datagram []byte) error {
	c.sock.SetWriteDeadline(time.Now().Add(time.Second)) // the host reads at once or not at all
	if _, err := c.sock.Write(datagram); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// tell sends a frame that wants no answer.
func (c *Conn) tell(kind uint8, fill func(*builder)) error {
	if c.seq >= maxCall {
		return fmt.Errorf("over %d frames in one call: %w", maxCall, ErrProtocol)
	}
	c.seq++
	b := build(kind, c.seq)
	fill(b)
	return c.write(b.frame())
}

// ask sends a frame and returns the bytes of its ANSWER. A code other than success is a HostError.
func (c *Conn) ask(ctx context.Context, kind uint8, fill func(*builder)) ([]byte, error) {
	c.asked.Store(true)
	if err := c.tell(kind, fill); err != nil {
		return nil, err
	}
	var datagram []byte
	select {
	case datagram = <-c.answer:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	f, err := parse(datagram)
	if err != nil {
		return nil, err
	}
	if f.kind != kindAnswer || f.seq != c.seq {
		return nil, fmt.Errorf("frame %d, number %d, in place of an answer: %w", f.kind, f.seq, ErrProtocol)
	}
	p := cursor{rest: f.payload}
	code, text := Code(int32(p.uint32())), p.bytes(maxTicket)
	if err := p.done(); err != nil {
		return nil, err
	}
	if code != Success {
		clear(datagram)
		return nil, HostError{code}
	}
	return text, nil
}

// Authtok returns the ticket: the host's PAM_AUTHTOK when it has one, else what the person answers to the prompt. The
// caller clears it after use.
func (c *Conn) Authtok(ctx context.Context, prompt string) ([]byte, error) {
	return c.ask(ctx, kindGetAuthtok, func(b *builder) { b.string(clean(prompt, maxString)) })
}

// Prompt asks the person for a line that can be seen while it is typed. A host that shows messages together with the next
// prompt, as sshd does, shows them now.
func (c *Conn) Prompt(ctx context.Context, text string) ([]byte, error) {
	return c.ask(ctx, kindPrompt, func(b *builder) {
		b.uint8(uint8(echoOn))
		b.string(clean(text, maxString))
	})
}

// Info shows the person a sentence, unless the host is silent.
func (c *Conn) Info(ctx context.Context, text string) error { return c.show(ctx, textInfo, text) }

// Error shows the person a sentence about what went wrong, unless the host is silent.
func (c *Conn) Error(ctx context.Context, text string) error { return c.show(ctx, textError, text) }

func (c *Conn) show(ctx context.Context, how style, text string) error {
	_, err := c.ask(ctx, kindPrompt, func(b *builder) {
		b.uint8(uint8(how))
		b.string(clean(text, maxString))
	})
	return err
}

// SetUser names the user whom the host has left open. The module refuses it when the host has named one (CVE-2024-9313).
func (c *Conn) SetUser(name string) error {
	return c.tell(kindSetUser, func(b *builder) { b.string(name) })
}

// PutEnv puts NAME=value into the session's environment. The module takes only names that start with PWB_.
func (c *Conn) PutEnv(name, value string) error {
	return c.tell(kindPutEnv, func(b *builder) { b.string(clean(name+"="+value, maxString)) })
}

// FailDelay asks the host to wait about this long, at most five seconds, before it says that authentication failed.
func (c *Conn) FailDelay(d time.Duration) error {
	micros := min(d.Microseconds(), maxFailDelay)
	return c.tell(kindFailDelay, func(b *builder) { b.uint32(uint32(max(micros, 0))) })
}

// Priority is a priority of syslog(3).
type Priority uint8

// The priorities that the worker uses.
const (
	LogErr     Priority = 3
	LogWarning Priority = 4
	LogNotice  Priority = 5
	LogInfo    Priority = 6
	LogDebug   Priority = 7
)

// Log has the host write a line to its system log, as pam_syslog(3) does. At most 1 KiB of text goes; never a ticket.
func (c *Conn) Log(p Priority, text string) error {
	return c.tell(kindLog, func(b *builder) {
		b.uint8(uint8(p))
		b.string(clean(text, 1024))
	})
}

// Result answers the call and closes the connection.
func (c *Conn) Result(code Code) error {
	err := c.tell(kindResult, func(b *builder) { b.uint32(uint32(code)) })
	return errors.Join(err, c.Close())
}

// clean makes text fit for a frame and a log line: no control characters, at most limit bytes, cut between characters.
func clean(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if len(text) <= limit {
		return text
	}
	text = text[:limit-len("…")]
	for len(text) > 0 && text[len(text)-1]&0xc0 == 0x80 {
		text = text[:len(text)-1]
	}
	if len(text) > 0 && text[len(text)-1] >= 0xc0 {
		text = text[:len(text)-1]
	}
	return text + "…"
}
