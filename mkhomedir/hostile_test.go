package main

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Frames of PROTOCOL, as far as they are said here.
const (
	ack     = 2
	authtok = 16
	prompt  = 17
	setUser = 18
	logLine = 21
	result  = 31
)

func frame(kind byte, seq uint32, payload ...byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{'P', 'W', 1, kind}, seq)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(payload))), payload...)
}

func text(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }

var (
	hello   = frame(ack, 0, append([]byte{1}, text("test")...)...)
	success = []byte{0, 0, 0, 0}
	info    = append([]byte{4}, text("Creating directory '/home/carl'.")...)
)

// play is a worker's part in one call: it says these datagrams, whatever it hears, and goes or stays.
type play struct {
	say   [][]byte
	stays bool
}

// worker plays the part for the next who comes, and says what it heard from them after HELLO.
func (p play) worker(t *testing.T, l *net.UnixListener) (heard chan []byte) {
	heard = make(chan []byte, 1)
	go func() {
		conn, err := l.AcceptUnix()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		defer close(heard)
		buf := make([]byte, 1<<16)
		if _, err := conn.Read(buf); err != nil {
			t.Error(err)
		}
		for _, datagram := range p.say {
			if _, err := conn.Write(datagram); err != nil {
				return // it has heard enough
			}
		}
		if !p.stays {
			conn.CloseWrite()
		}
		n, _ := conn.Read(buf)
		heard <- slices.Clone(buf[:n])
		io.Copy(io.Discard, conn)
	}()
	return heard
}

func listenAt(t *testing.T) *net.UnixListener {
	t.Helper()
	os.Remove(socket)
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: socket, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// A worker that lies, breaks the protocol, asks for a secret or dies half-way costs nothing but time: the front becomes the program
// that makes homes alone, which finds the name, the arguments and the input that the front had. Nothing but a whole success is one.
func TestFrontWithAHostileWorker(t *testing.T) {
	frontMachine(t)
	l := listenAt(t)
	program := front(t, aloneProgram(t)) + "/mkhomedir"
	many := [][]byte{hello}
	for n := range uint32(300) {
		many = append(many, frame(logLine, n+1, append([]byte{6}, text("again")...)...))
	}
	for what, p := range map[string]play{
		"it goes at once":             {},
		"it goes after its greeting":  {say: [][]byte{hello}},
		"it goes half-way":            {say: [][]byte{hello, frame(logLine, 1, append([]byte{6}, text("making")...)...)}},
		"it goes when it has told":    {say: [][]byte{hello, frame(prompt, 1, info...)}},
		"no greeting":                 {say: [][]byte{frame(result, 1, success...)}},
		"a greeting with a number":    {say: [][]byte{frame(ack, 1, append([]byte{1}, text("test")...)...), frame(result, 1, success...)}},
		"another version":             {say: [][]byte{frame(ack, 0, append([]byte{2}, text("test")...)...), frame(result, 1, success...)}},
		"a greeting that is short":    {say: [][]byte{frame(ack, 0, 1), frame(result, 1, success...)}},
		"a greeting that goes on":     {say: [][]byte{frame(ack, 0, append(append([]byte{1}, text("test")...), 0)...), frame(result, 1, success...)}},
		"a failure":                   {say: [][]byte{hello, frame(result, 1, 0, 0, 0, 6)}},
		"a failure that is told":      {say: [][]byte{hello, frame(prompt, 1, append([]byte{3}, text("no")...)...), frame(result, 2, 0, 0, 0, 14)}},
		"a result that is short":      {say: [][]byte{hello, frame(result, 1, 0, 0, 0)}},
		"a result that goes on":       {say: [][]byte{hello, frame(result, 1, 0, 0, 0, 0, 0)}},
		"a result out of turn":        {say: [][]byte{hello, frame(result, 2, success...)}},
		"a result by another magic":   {say: [][]byte{hello, slices.Concat([]byte("XW"), frame(result, 1, success...)[2:])}},
		"a length that is not so":     {say: [][]byte{hello, frame(result, 1, success...)[:14]}},
		"a frame over the limit":      {say: [][]byte{hello, frame(logLine, 1, make([]byte, 1<<16)...), frame(result, 2, success...)}},
		"no end of lines for the log": {say: many, stays: true},
		"a question for the password": {say: [][]byte{hello, frame(prompt, 1, append([]byte{1}, text("Password: ")...)...), frame(result, 2, success...)}},
		"a message that is short":     {say: [][]byte{hello, frame(prompt, 1, 4, 0, 0, 0, 9), frame(result, 2, success...)}},
		"a message that goes on":      {say: [][]byte{hello, frame(prompt, 1, append(info, 0)...), frame(result, 2, success...)}},
		"a question for the ticket":   {say: [][]byte{hello, frame(authtok, 1, text("Ticket: ")...), frame(result, 2, success...)}},
		"another user":                {say: [][]byte{hello, frame(setUser, 1, text("root")...), frame(result, 2, success...)}},
		"a frame that nobody knows":   {say: [][]byte{hello, frame(99, 1), frame(result, 2, success...)}},
		"an empty datagram":           {say: [][]byte{hello, {}}},
		"a datagram that is no frame": {say: [][]byte{hello, []byte("HTTP/1.1 200 OK\r\n\r\n")}},
	} {
		heard := p.worker(t, l)
		want := "[" + program + "][-u0077][-s][/mnt/skel]<carl\n>"
		if said, status := run(exec.Command(program, "-u0077", "-s", "/mnt/skel"), "carl\n"); said != want || status != 77 {
			t.Errorf("%s: %q, status %d; want %q, 77", what, said, status, want)
		}
		if told := <-heard; len(told) > 0 && !strings.Contains(what, "told") {
			t.Errorf("%s: the front has answered %q", what, told)
		}
	}
	heard := play{say: [][]byte{hello, frame(prompt, 1, info...), frame(result, 2, success...)}}.worker(t, l)
	said, status := run(exec.Command(program, "-u0077"), "carl\n")
	if told := <-heard; said != "Creating home directory for carl." || status != 0 || string(told) != string(frame(3, 1, 0, 0, 0, 0, 0, 0, 0, 0)) {
		t.Errorf("a worker that does as it should: %q, %d; it heard %q", said, status, told)
	}
}

// A worker that passes a descriptor: it is not kept.
func TestFrontTakesNoDescriptors(t *testing.T) {
	frontMachine(t)
	l := listenAt(t)
	dir := front(t, aloneProgram(t))
	go func() {
		conn, err := l.AcceptUnix()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		conn.Read(make([]byte, 1<<16))
		conn.Write(hello)
		conn.WriteMsgUnix(frame(result, 1, success...), syscall.UnixRights(0), nil)
		io.Copy(io.Discard, conn)
	}()
	if said, status := run(exec.Command(dir+"/mkhomedir_helper", "carl"), ""); status != 77 {
		t.Errorf("%q, %d", said, status)
	}
}

// One that greets and then says nothing is left when its time is over.
func TestFrontLeavesAWorkerThatFallsSilent(t *testing.T) {
	frontMachine(t)
	l := listenAt(t)
	dir := front(t, aloneProgram(t), "-DFRAME_HOME_MS=200")
	play{say: [][]byte{hello}, stays: true}.worker(t, l)
	if said, status := run(exec.Command(dir+"/mkhomedir_helper", "carl"), ""); said != "["+dir+"/mkhomedir_helper][carl]<>" || status != 77 {
		t.Errorf("%q, %d", said, status)
	}
}

// The real worker dies while a login waits for the home; whoever the front becomes makes it whole.
func TestFrontWhenTheWorkerIsKilled(t *testing.T) {
	alone := "/mnt/homemaker"
	build := exec.Command("go", "build", "-o", alone, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	frontMachine(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	worker := startWorker(t)
	dir := front(t, alone)
	lock, err := holdLock("/run/pwb/homedir/4721.lock")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	var said strings.Builder
	login := exec.Command(dir+"/mkhomedir_helper", "carl", "0077", "/mnt/skel")
	login.Stdout, login.Stderr = &said, &said
	if err := login.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the worker waits for the lock", func() bool { return opened(worker.Pid, lock.Name()) })
	if err := worker.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "the front waits for the lock itself", func() bool { return opened(login.Process.Pid, lock.Name()) })
	lock.Close()
	if err := login.Wait(); err != nil || said.String() != "" {
		t.Errorf("%v: %q", err, said.String())
	}
	if b, err := os.ReadFile("/home/carl/.profile"); string(b) != "hello" {
		t.Errorf("the home: %q, %v", b, err)
	}
}

func holdLock(name string) (*os.File, error) {
	err := os.MkdirAll("/run/pwb/homedir", 0o700)
	f, createErr := os.Create(name)
	if err = errors.Join(err, createErr); err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	return f, err
}
