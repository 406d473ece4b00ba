package pampwb

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serve listens on the module's socket and gives the first connection to worker.
func serve(t *testing.T, worker func(*net.UnixConn)) {
	t.Helper()
	os.Remove(testSocket)
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: testSocket, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return
			}
			worker(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
}

// serveCalls listens and answers each call with the package's own Conn.
func serveCalls(t *testing.T, answer func(context.Context, *Conn, *Call)) {
	t.Helper()
	serve(t, func(sock *net.UnixConn) {
		conn, err := NetConn(sock)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		ctx, call, err := conn.Accept(context.Background())
		if err != nil {
			t.Error(err)
			return
		}
		answer(ctx, conn, call)
	})
}

func contains(t *testing.T, out string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(out, want) {
			t.Errorf("the host did not print %q; it printed:\n%s", want, out)
		}
	}
}

func TestAWholeConversation(t *testing.T) {
	need(t)
	var got []byte
	var asked Call
	serveCalls(t, func(ctx context.Context, c *Conn, call *Call) {
		asked = *call
		got, _ = c.Authtok(ctx, "Ticket: ")
		c.Info(ctx, "welcome")
		c.Error(ctx, "careful")
		c.SetUser("alice")
		c.PutEnv("PWB_ISSUER", "https://example.com")
		c.Log(LogNotice, "alice\nsigned in")
		c.Result(Success)
	})
	out := runHost(t, "-", strings.Repeat("t", maxTicket), "authenticate")
	contains(t, out, "shown 1: Ticket: \n", "shown 4: welcome\n", "shown 3: careful\n", "log 5: pam_pwb(test:auth): alice signed in",
		"authenticate: 0\n", "user: alice\n", "env: PWB_ISSUER=https://example.com\n", "descriptors left: 0\n")
	if string(got) != strings.Repeat("t", maxTicket) {
		t.Errorf("the worker got %d bytes of ticket, not %d", len(got), maxTicket)
	}
	if asked.Op != OpAuthenticate || asked.UserSet || asked.Service != "test" || fmt.Sprint(asked.Args) != "[umask=0077]" {
		t.Errorf("the worker was asked %+v", asked)
	}
}

func TestASilentHostIsShownNothing(t *testing.T) {
	need(t)
	serveCalls(t, func(ctx context.Context, c *Conn, call *Call) {
		c.Info(ctx, "welcome")
		c.Error(ctx, "careful")
		c.Result(AuthErr)
	})
	out := runHost(t, "nobody", "", "silent-authenticate")
	contains(t, out, "silent-authenticate: 7\n")
	if strings.Contains(out, "shown") {
		t.Errorf("a silent host was shown something:\n%s", out)
	}
}

func TestATicketThatIsTooLongIsNotSent(t *testing.T) {
	need(t)
	serveCalls(t, func(ctx context.Context, c *Conn, call *Call) {
		_, err := c.Authtok(ctx, "Ticket: ")
		if err != (HostError{BufErr}) {
			t.Errorf("Authtok: %v, want %v", err, HostError{BufErr})
		}
		c.Result(AuthErr)
	})
	contains(t, runHost(t, "nobody", strings.Repeat("t", maxTicket+1), "authenticate"), "authenticate: 7\n")
}

func TestRootIsNeverAskedAbout(t *testing.T) {
	need(t)
	serve(t, func(*net.UnixConn) { t.Error("the worker was asked about root") })
	out := runHost(t, "root", "", "setcred", "acct_mgmt", "open_session", "close_session", "authenticate")
	// PAM_USER_UNKNOWN where the stacks that we ship ignore it; root's home is there.
	contains(t, out, "authenticate: 10\n", "acct_mgmt: 10\n", "open_session: 0\n", "close_session: 0\n", "setcred: 0\n")
}

func TestNobodyListens(t *testing.T) {
	need(t)
	os.Remove(testSocket)
	out := runHost(t, "nobody", "", "setcred", "close_session", "authenticate", "acct_mgmt", "open_session", "chauthtok")
	// "cannot tell" is never "wrong": PAM_AUTHINFO_UNAVAIL, PAM_SESSION_ERR; a logout is never hindered. libpam makes
	// PAM_PERM_DENIED of the chain of nothing but PAM_IGNORE.
	contains(t, out, "authenticate: 9\n", "acct_mgmt: 9\n", "setcred: 0\n", "open_session: 14\n", "close_session: 0\n", "chauthtok: 6\n",
		"ask the worker at "+testSocket+": No such file or directory", "start "+testWorker+" for this call: No such file or directory",
		"descriptors left: 0\n")
}

// raw frames, for workers that lie

func header(kind byte, seq, length uint32) []byte {
	b := []byte{'P', 'W', version, kind}
	b = binary.BigEndian.AppendUint32(b, seq)
	return binary.BigEndian.AppendUint32(b, length)
}

func raw(kind byte, seq uint32, payload ...[]byte) []byte {
	p := bytes.Join(payload, nil)
	return append(header(kind, seq, uint32(len(p))), p...)
}

func u32(v uint32) []byte    { return binary.BigEndian.AppendUint32(nil, v) }
func text(s string) []byte   { return append(u32(uint32(len(s))), s...) }
func ack() []byte            { return raw(kindHelloAck, 0, []byte{version}, text("test")) }
func result(c uint32) []byte { return raw(kindResult, 1, u32(c)) }

func TestAWorkerThatLiesIsLeft(t *testing.T) {
	need(t)
	for _, tt := range []struct {
		name   string
		frames [][]byte
	}{
		{"nothing, and goes", nil},
		{"goes after the greeting", [][]byte{ack()}},
		{"garbage", [][]byte{ack(), []byte("HTTP/1.1 200 OK\r\n\r\n")}},
		{"garbage in place of the greeting", [][]byte{[]byte("220 mail.example.com ESMTP")}},
		{"an empty datagram's worth", [][]byte{ack(), {0}}},
		{"a header alone, length 1", [][]byte{ack(), header(kindResult, 1, 1)}},
		{"a length that is too short", [][]byte{ack(), append(header(kindResult, 1, 3), u32(0)...)}},
		{"a length near 2^32", [][]byte{ack(), append(header(kindResult, 1, 0xffffffff), u32(0)...)}},
		{"another magic", [][]byte{ack(), append([]byte("XW"), result(0)[2:]...)}},
		{"another version", [][]byte{ack(), append([]byte("PW\x02"), result(0)[3:]...)}},
		{"an unknown kind", [][]byte{ack(), raw(99, 1)}},
		{"a kind that is ours to send", [][]byte{ack(), raw(kindAnswer, 1, u32(0), u32(0))}},
		{"RESULT with another number", [][]byte{ack(), raw(kindResult, 2, u32(0))}},
		{"RESULT numbered as the greeting", [][]byte{ack(), raw(kindResult, 0, u32(0))}},
		{"RESULT without a code", [][]byte{ack(), raw(kindResult, 1)}},
		{"RESULT with more than a code", [][]byte{ack(), raw(kindResult, 1, u32(0), []byte{0})}},
		{"RESULT with no PAM code", [][]byte{ack(), result(32)}},
		{"RESULT with a negative code", [][]byte{ack(), result(0xffffffff)}},
		{"RESULT before the greeting", [][]byte{result(0)}},
		{"a greeting in a version of its own", [][]byte{raw(kindHelloAck, 0, []byte{9}, text("next"))}},
		{"LOG with a string that lies", [][]byte{ack(), raw(kindLog, 1, []byte{5}, u32(0xfffffff0), []byte("x"))}},
		{"LOG with a NUL", [][]byte{ack(), raw(kindLog, 1, []byte{5}, text("a\x00b"))}},
		{"LOG with a string over its limit", [][]byte{ack(), raw(kindLog, 1, []byte{5}, text(strings.Repeat("x", maxString+1)))}},
		{"LOG with no priority", [][]byte{ack(), raw(kindLog, 1, []byte{200}, text("x"))}},
		{"PROMPT in no style", [][]byte{ack(), raw(kindPrompt, 1, []byte{7}, text("x"))}},
		{"SET_USER over the host's", [][]byte{ack(), raw(kindSetUser, 1, text("root")), raw(kindResult, 2, u32(0))}},
		{"PUT_ENV of LD_PRELOAD", [][]byte{ack(), raw(kindPutEnv, 1, text("LD_PRELOAD=/tmp/x.so")), raw(kindResult, 2, u32(0))}},
		{"PUT_ENV without a value", [][]byte{ack(), raw(kindPutEnv, 1, text("PWB_X")), raw(kindResult, 2, u32(0))}},
		{"a version and a build that forges a log line", [][]byte{raw(kindHelloAck, 0, []byte{9}, text("x\nroot: all is well"))}},
		{"FAIL_DELAY of an hour", [][]byte{ack(), raw(kindFailDelay, 1, u32(3600e6)), raw(kindResult, 2, u32(0))}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			serve(t, func(c *net.UnixConn) {
				c.Read(make([]byte, maxFrame))
				for _, f := range tt.frames {
					c.Write(f)
				}
			})
			began := time.Now()
			out := runHost(t, "nobody", "x", "authenticate")
			contains(t, out, "authenticate: 9\n", "user: nobody\n", "log 3: ", "descriptors left: 0\n")
			if strings.Contains(out, "env:") || strings.Contains(out, "\nroot: all is well") || time.Since(began) > 8*time.Second {
				t.Errorf("after %v:\n%s", time.Since(began), out)
			}
		})
	}
}

func TestAFloodIsBounded(t *testing.T) {
	need(t)
	serve(t, func(c *net.UnixConn) {
		c.Read(make([]byte, maxFrame))
		c.Write(ack())
		for n := uint32(1); ; n++ {
			if _, err := c.Write(raw(kindLog, n, []byte{5}, text("again"))); err != nil {
				return
			}
		}
	})
	out := runHost(t, "nobody", "x", "authenticate")
	contains(t, out, "authenticate: 9\n", "the worker broke off: Message too long")
	if n := strings.Count(out, "again"); n != maxCall {
		t.Errorf("%d lines were logged, want %d", n, maxCall)
	}
}

func TestAFrameThatIsTooLargeIsRefused(t *testing.T) {
	need(t)
	serve(t, func(c *net.UnixConn) {
		c.SetWriteBuffer(1 << 20)
		c.Read(make([]byte, maxFrame))
		c.Write(ack())
		c.Write(append(header(kindLog, 1, maxFrame), make([]byte, maxFrame)...))
	})
	contains(t, runHost(t, "nobody", "x", "authenticate"), "authenticate: 9\n", "the worker broke off: Bad message")
}

func TestPassedDescriptorsDoNotArrive(t *testing.T) {
	need(t)
	serve(t, func(c *net.UnixConn) {
		c.Read(make([]byte, maxFrame))
		null, err := os.Open("/dev/null")
		if err != nil {
			t.Error(err)
			return
		}
		defer null.Close()
		c.WriteMsgUnix(ack(), syscall.UnixRights(int(null.Fd())), nil)
	})
	contains(t, runHost(t, "nobody", "x", "authenticate"), "authenticate: 9\n", "descriptors left: 0\n")
}

func TestAWorkerThatNeverAnswers(t *testing.T) {
	need(t)
	for _, tt := range []struct {
		name   string
		frames [][]byte
		limit  time.Duration
	}{
		{"no greeting", nil, 8 * time.Second},
		{"no result", [][]byte{ack()}, 8 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hold := make(chan struct{})
			serve(t, func(c *net.UnixConn) {
				for _, f := range tt.frames {
					c.Write(f)
				}
				<-hold
			})
			began := time.Now()
			out := runHost(t, "nobody", "x", "authenticate")
			took := time.Since(began)
			close(hold)
			contains(t, out, "authenticate: 9\n", "descriptors left: 0\n")
			if took > tt.limit {
				t.Errorf("the host waited %v, want at most %v", took, tt.limit)
			}
		})
	}
}

// A large home on a slow disk takes longer than any decision, and is not there before it is whole: a host that gave up on it
// would give up at every login.
func TestAHomeMayTakeItsTime(t *testing.T) {
	need(t)
	serveCalls(t, func(ctx context.Context, c *Conn, call *Call) {
		select {
		case <-time.After(3 * time.Second): // five times as long as the others may take here
		case <-ctx.Done():
		}
		c.Result(Success)
	})
	contains(t, runHost(t, "nobody", "", "open_session"), "open_session: 0\n")
}

// A stranger may name a user of any length (sshd passes it on): no process is started for what cannot be asked.
func TestANameThatIsTooLongStartsNothing(t *testing.T) {
	need(t)
	install(t, "marks")
	defer os.RemoveAll(stage + "/safe")
	out := runHost(t, strings.Repeat("n", maxString+1), "x", "authenticate")
	contains(t, out, "authenticate: 9\n", "ask a worker: Message too long", "descriptors left: 0\n")
	if _, err := os.Stat(filepath.Dir(testWorker) + "/started"); err == nil {
		t.Errorf("a worker was started:\n%s", out)
	}
}

// The queue of a stopped worker fills; connect(2) must then answer at once.
func TestAFullQueueIsNoWorker(t *testing.T) {
	need(t)
	os.Remove(testSocket)
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: testSocket}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c, err := net.DialTimeout("unixpacket", testSocket, 50*time.Millisecond)
		if err != nil {
			break
		}
		defer c.Close()
	}
	began := time.Now()
	out := runHost(t, "nobody", "x", "authenticate")
	contains(t, out, "authenticate: 9\n", "Resource temporarily unavailable")
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the host waited %v for a full queue", took)
	}
}

// Whoever can bind the path could collect tickets: the listener must be root.
func TestAListenerThatIsNotRootIsNotAsked(t *testing.T) {
	need(t)
	os.Remove(testSocket)
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: testSocket}); err != nil {
		t.Fatal(err)
	}
	listened := make(chan error, 1)
	go func() { listened <- asNobody(func() error { return syscall.Listen(fd, 5) }) }()
	if err := <-listened; err != nil {
		t.Fatal(err)
	}
	contains(t, runHost(t, "nobody", "x", "authenticate"), "authenticate: 9\n", "Permission denied")
}
