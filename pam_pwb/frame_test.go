package pampwb

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/pwb-project/pwb/pam_pwb/frametest"
)

func TestHelloIsReadAsTheModuleWritesIt(t *testing.T) {
	datagram := frametest.Hello(uint8(OpOpenSession), Silent, "sshd", "alice", "umask=0077", "silent", "")
	f, err := parse(datagram)
	if err != nil || f.kind != kindHello || f.seq != 0 {
		t.Fatalf("parse: %+v, %v", f, err)
	}
	got, lowest, highest, err := parseHello(f.payload)
	want := &Call{Op: OpOpenSession, Flags: Silent, Service: "sshd", User: "alice", UserSet: true, TTY: "pts/3", RUser: "bob",
		Args: []string{"umask=0077", "silent", ""}, HostPID: 4711, RUID: 1000}
	if err != nil || lowest != version || highest != version || !reflect.DeepEqual(got, want) {
		t.Errorf("parseHello = %+v, %d, %d, %v; want %+v", got, lowest, highest, err, want)
	}
}

// The bytes of every frame, written down once: a change here is a change of the protocol, and needs a new version.
func TestTheBytesOnTheWire(t *testing.T) {
	golden, err := os.ReadFile("testdata/frames")
	if err != nil {
		t.Fatal(err)
	}
	written := map[string][]byte{
		"hello":       frametest.Hello(uint8(OpAuthenticate), 0, "su", "", "debug"),
		"get_authtok": func() []byte { b := build(kindGetAuthtok, 1); b.string("Ticket: "); return b.frame() }(),
		"result":      func() []byte { b := build(kindResult, 2); b.uint32(uint32(AuthErr)); return b.frame() }(),
		"log":         func() []byte { b := build(kindLog, 3); b.uint8(5); b.string("x"); return b.frame() }(),
	}
	seen := 0
	for line := range strings.Lines(string(golden)) {
		name, want, found := strings.Cut(strings.TrimSpace(line), " ")
		if !found || strings.HasPrefix(line, "#") {
			continue
		}
		seen++
		if got := hex.EncodeToString(written[name]); got != want {
			t.Errorf("%s is\n%s, was\n%s", name, got, want)
		}
	}
	if seen != len(written) {
		t.Errorf("testdata/frames has %d frames, want %d", seen, len(written))
	}
}

func TestStringsAreHeldToTheirLimits(t *testing.T) {
	if frametest.Hello(1, 0, strings.Repeat("s", maxString), "alice") == nil {
		t.Errorf("a service of %d bytes did not fit", maxString)
	}
	if frametest.Hello(1, 0, strings.Repeat("s", maxString+1), "alice") != nil {
		t.Errorf("a service of %d bytes was written", maxString+1)
	}
	long := strings.Repeat("a", maxString)
	if frametest.Hello(1, 0, "s", "alice", long, long, long, long, long, long, long, long, long, long, long, long, long, long, long, long) != nil {
		t.Error("a HELLO beyond the largest frame was written")
	}
}

func TestCleanTextFitsALogLine(t *testing.T) {
	for _, tt := range []struct {
		text  string
		limit int
		want  string
	}{
		{"plain", 10, "plain"},
		{"two\nlines\x1b[2J", 20, "two lines [2J"},
		{"0123456789", 10, "0123456789"},
		{"01234567890", 10, "0123456…"},
		{"012345ééé", 10, "012345…"},
	} {
		if got := clean(tt.text, tt.limit); got != tt.want || len(got) > tt.limit {
			t.Errorf("clean(%q, %d) = %q, want %q", tt.text, tt.limit, got, tt.want)
		}
	}
}

// FuzzFrame holds both halves' readings of one datagram against each other.
func FuzzFrame(f *testing.F) {
	f.Add(raw(kindResult, 1, u32(0)), "u")
	f.Add(raw(kindLog, 7, []byte{5}, text("hello")), "bs")
	f.Add(raw(kindPrompt, 2, []byte{1}, u32(0xffffffff)), "bs")
	f.Add(raw(kindSetUser, 2, text("a\x00b")), "s")
	f.Add(raw(kindSetUser, 2, text(""), text("")), "ss")
	f.Add([]byte("PW"), "")
	f.Fuzz(func(t *testing.T, datagram []byte, plan string) {
		if len(datagram) > maxFrame || len(plan) > 100 || strings.Trim(plan, "bus") != "" {
			return
		}
		got, ok := readAsPlanned(datagram, plan)
		want, cok := frametest.Read(datagram, plan)
		if ok != cok || ok && !reflect.DeepEqual(got, want) {
			t.Errorf("Go reads %+v, %v; C reads %+v, %v", got, ok, want, cok)
		}
	})
}

func readAsPlanned(datagram []byte, plan string) (frametest.Frame, bool) {
	f, err := parse(datagram)
	if err != nil {
		return frametest.Frame{}, false
	}
	out := frametest.Frame{Kind: f.kind, Seq: f.seq}
	c := cursor{rest: f.payload}
	for _, field := range plan {
		switch field {
		case 'b':
			out.Sum += uint32(c.uint8())
		case 'u':
			out.Sum += c.uint32()
		case 's':
			out.Strings = append(out.Strings, c.string())
		}
	}
	return out, c.done() == nil
}

// FuzzHello reads what any local user may send to the socket.
func FuzzHello(f *testing.F) {
	f.Add(frametest.Hello(1, 0, "sshd", "alice", "debug", "umask=0077"))
	f.Add(frametest.Hello(3, 0x8000, "", "", ""))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		fr, err := parse(datagram)
		if err != nil {
			return
		}
		call, _, _, err := parseHello(fr.payload)
		if err != nil {
			return
		}
		if len(call.Args) > maxArgs || call.UserSet != (call.User != "") {
			t.Errorf("parseHello accepted %+v", call)
		}
		for _, s := range append(call.Args, call.User, call.Service, call.TTY, call.RHost, call.RUser) {
			if len(s) > maxString || bytes.IndexByte([]byte(s), 0) >= 0 {
				t.Errorf("parseHello accepted the string %q", s)
			}
		}
	})
}

// PROTOCOL: "No descriptors are passed: those that arrive are dropped, and the frame that brought them ends the call."
func TestAFrameWithDescriptorsEndsTheCall(t *testing.T) {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(ends[0])
	conn, err := FileConn(os.NewFile(uintptr(ends[1]), "call"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	hello := build(kindHello, 0)
	for _, b := range []uint8{version, version, uint8(OpAcctMgmt), 0} {
		hello.uint8(b)
	}
	for range 4 {
		hello.uint32(0)
	}
	for range 5 {
		hello.string("")
	}
	hello.uint32(0)
	if err := syscall.Sendmsg(ends[0], hello.frame(), syscall.UnixRights(ends[0]), nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.Accept(context.Background()); !errors.Is(err, ErrProtocol) {
		t.Errorf("Accept: %v, want %v", err, ErrProtocol)
	}
}
