package worker

import (
	"context"
	"encoding/binary"
	"net"
	"os"
	"testing"
	"time"

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

// callWorker makes one call as the module does, answers every question with nothing, and returns the result.
func callWorker(t *testing.T, w *Worker, op pampwb.Op, user string) pampwb.Code {
	t.Helper()
	host, conn := pair(t)
	done := make(chan struct{})
	go func() {
		w.ServeConn(context.Background(), conn)
		close(done)
	}()
	if _, err := host.Write(frametest.Hello(uint8(op), 0, "test", user)); err != nil {
		t.Fatal(err)
	}
	code := pampwb.Code(-1)
	host.SetDeadline(time.Now().Add(10 * time.Second))
	for buf := make([]byte, 65536); code < 0; {
		n, err := host.Read(buf)
		if err != nil || n < 12 {
			t.Fatalf("the worker left without a result: %v", err)
		}
		switch kind, seq := buf[3], buf[4:8]; kind {
		case 16, 17: // GET_AUTHTOK, PROMPT
			answer := append([]byte{'P', 'W', 1, 3}, seq...)
			host.Write(append(answer, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0))
		case 31: // RESULT
			code = pampwb.Code(binary.BigEndian.Uint32(buf[12:]))
		}
	}
	<-done
	return code
}
