package worker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/passwd"
	pampwb "github.com/pwb-project/pwb/pam_pwb"
	"github.com/pwb-project/pwb/pam_pwb/frametest"

	"golang.org/x/sys/unix"
)

// pair returns the two ends of a connection.
func pair(t *testing.T) (host *net.UnixConn, worker *pampwb.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	worker, err = pampwb.FileConn(os.NewFile(uintptr(fds[1]), "worker"))
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "host")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.UnixConn), worker
}

// TestServe has many hosts ask at once, some that say nothing and some that leave, and stops in the middle.
func TestServe(t *testing.T) {
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: t.TempDir() + "/socket", Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	w := &Worker{
		Rules: func(context.Context) (*Rules, error) { return nil, errors.New("no configuration") },
		Log:   slog.New(slog.DiscardHandler),
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- w.Serve(ctx, l, 5*time.Second) }()
	dial := func() *net.UnixConn {
		c, err := net.DialUnix("unixpacket", nil, l.Addr().(*net.UnixAddr))
		if err != nil {
			t.Error(err)
			return nil
		}
		return c
	}
	mute := dial()
	defer mute.Close()
	var wg sync.WaitGroup
	for n := range maxUIDCalls - 2 {
		wg.Go(func() {
			for range 8 { // with the mute one, what an ordinary user may ask in a minute
				if n%3 == 0 {
					if c := dial(); c != nil {
						c.Write(frametest.Hello(1, 0, "test", "daemon"))
						c.Close()
					}
					continue
				}
				if c := dial(); c != nil {
					if code := converse(t, c, pampwb.OpAcctMgmt, "daemon"); code == pampwb.Success {
						t.Error("a worker without rules said yes")
					}
				}
			}
		})
	}
	wg.Wait()
	stop()
	if err := <-served; err != nil {
		t.Errorf("Serve = %v", err)
	}
	if _, err := net.DialUnix("unixpacket", nil, l.Addr().(*net.UnixAddr)); err == nil {
		t.Error("it still takes calls")
	}
}

// callWorker makes one call as the module does, answers every question with nothing, and returns the result.
func callWorker(t *testing.T, w *Worker, op pampwb.Op, user string) pampwb.Code {
	t.Helper()
	host, conn := pair(t)
	done := make(chan struct{})
	go func() {
		w.ServeConn(context.Background(), conn)
		close(done)
	}()
	code := converse(t, host, op, user)
	<-done
	return code
}

// Where the worker has no log of its own, what is odd about a home goes to the host's.
func TestHostsHearWhatIsOddAboutAHome(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, who alone may ask for homes")
	}
	const name, want = "nobody-of-this-machine", "accounts whose home is /nonexistent have none; nothing is made"
	w := &Worker{Log: slog.New(slog.DiscardHandler), HostLogs: true, Rules: func(context.Context) (*Rules, error) {
		return &Rules{Accounts: known{entry: passwd.Entry{Name: name, UID: 4711, GID: 4711, Home: "/nonexistent"}}}, nil
	}}
	host, conn := pair(t)
	go w.ServeConn(t.Context(), conn)
	if _, err := host.Write(frametest.Hello(uint8(pampwb.OpOpenSession), 0, "cron", name, "umask=077")); err != nil {
		t.Fatal(err)
	}
	host.SetDeadline(time.Now().Add(10 * time.Second))
	var said []string
	for buf := make([]byte, 65536); ; {
		n, err := host.Read(buf)
		if err != nil {
			t.Fatalf("the worker left without a result: %v", err)
		}
		if buf[3] == 21 { // LOG: u8 priority, string
			said = append(said, fmt.Sprint(buf[12], " ", string(buf[17:n])))
		}
		if buf[3] == 31 { // RESULT
			if code := binary.BigEndian.Uint32(buf[12:]); code != 0 || len(said) != 1 || said[0] != "4 "+want {
				t.Errorf("code %d; said %q, want %q as a warning", code, said, want)
			}
			return
		}
	}
}

// converse plays the module's part of a call.
func converse(t *testing.T, host *net.UnixConn, op pampwb.Op, user string) pampwb.Code {
	defer host.Close()
	if _, err := host.Write(frametest.Hello(uint8(op), 0, "test", user)); err != nil {
		t.Error(err)
		return -1
	}
	code := pampwb.Code(-1)
	host.SetDeadline(time.Now().Add(10 * time.Second))
	for buf := make([]byte, 65536); code < 0; {
		n, err := host.Read(buf)
		if err != nil || n < 12 {
			t.Errorf("the worker left without a result: %v", err)
			return -1
		}
		switch kind, seq := buf[3], buf[4:8]; kind {
		case 16, 17: // GET_AUTHTOK, PROMPT
			answer := append([]byte{'P', 'W', 1, 3}, seq...)
			host.Write(append(answer, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0))
		case 31: // RESULT
			code = pampwb.Code(binary.BigEndian.Uint32(buf[12:]))
		}
	}
	return code
}
