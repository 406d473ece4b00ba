package pampwb

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/pwb-project/pwb/pam_pwb/frametest"
)

// accepted is a call of authenticate: what the host holds of it, and what the worker does.
func accepted(t *testing.T) (host *net.UnixConn, conn *Conn, ctx context.Context) {
	t.Helper()
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(ends[0]), "host")
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	host = c.(*net.UnixConn)
	t.Cleanup(func() { host.Close() })
	if conn, err = FileConn(os.NewFile(uintptr(ends[1]), "call")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := host.Write(frametest.Hello(uint8(OpAuthenticate), 0, "sshd", "alice")); err != nil {
		t.Fatal(err)
	}
	if ctx, _, err = conn.Accept(t.Context()); err != nil {
		t.Fatal(err)
	}
	return host, conn, ctx
}

func causeOf(t *testing.T, ctx context.Context) error {
	t.Helper()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(10 * time.Second):
		t.Fatal("the call goes on")
		return nil
	}
}

// An answer that nobody waited for used to stand before the end of the connection: the worker did not see its host go.
func TestAnAnswerThatNobodyAskedForEndsTheCall(t *testing.T) {
	answer := func(seq uint32) []byte { return raw(kindAnswer, seq, u32(0), text("secret")) }
	t.Run("before a question", func(t *testing.T) {
		host, conn, ctx := accepted(t)
		host.Write(answer(1))
		if err := causeOf(t, ctx); !errors.Is(err, ErrProtocol) {
			t.Errorf("the call ended with %v, want %v", err, ErrProtocol)
		}
		if _, err := conn.Authtok(ctx, "Ticket: "); !errors.Is(err, ErrProtocol) {
			t.Errorf("Authtok: %v, want %v", err, ErrProtocol)
		}
	})
	t.Run("twice", func(t *testing.T) {
		host, conn, ctx := accepted(t)
		go func() {
			room := make([]byte, maxFrame)
			host.Read(room) // HELLO_ACK
			host.Read(room)
			host.Write(answer(1))
			host.Write(answer(1))
		}()
		if got, err := conn.Authtok(ctx, "Ticket: "); err != nil || string(got) != "secret" {
			t.Fatalf("Authtok = %q, %v", got, err)
		}
		if err := causeOf(t, ctx); !errors.Is(err, ErrProtocol) {
			t.Errorf("the call ended with %v, want %v", err, ErrProtocol)
		}
	})
}

func TestAHostThatLeavesEndsTheCall(t *testing.T) {
	host, conn, ctx := accepted(t)
	host.Close()
	if err := causeOf(t, ctx); !errors.Is(err, ErrHostLeft) {
		t.Errorf("the call ended with %v, want %v", err, ErrHostLeft)
	}
	if _, err := conn.Authtok(ctx, "Ticket: "); err == nil {
		t.Error("a host that has left gave a ticket")
	}
}
