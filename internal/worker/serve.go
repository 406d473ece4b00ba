package worker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	pampwb "github.com/pwb-project/pwb/pam_pwb"
)

// Places that peers can hold at once. Root's hosts share the whole; a person alone cannot fill it.
const (
	maxCalls    = 256
	maxUIDCalls = 8
)

// places counts the calls in progress.
type places struct {
	mu    sync.Mutex // guards what follows
	all   int
	byUID map[uint32]int
}

func (p *places) take(uid uint32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all >= maxCalls || uid != 0 && p.byUID[uid] >= maxUIDCalls {
		return false
	}
	p.all++
	p.byUID[uid]++
	return true
}

func (p *places) leave(uid uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if p.byUID[uid]--; p.byUID[uid] == 0 {
		delete(p.byUID, uid)
	}
}

// Serve answers calls from l until ctx ends; then it takes no more, and waits for those in progress, at most grace.
func (w *Worker) Serve(ctx context.Context, l *net.UnixListener, grace time.Duration) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var inProgress sync.WaitGroup
	taken := &places{byUID: map[uint32]int{}}
	for {
		sock, err := l.AcceptUnix()
		if ctx.Err() != nil {
			if err == nil {
				sock.Close()
			}
			return finish(&inProgress, cancel, grace)
		}
		if err != nil {
			if transient(err) {
				w.Log.Error("accept", "error", err)
				time.Sleep(50 * time.Millisecond) // out of descriptors: those in progress will give some back
				continue
			}
			return fmt.Errorf("accept: %w", err)
		}
		w.serveSocket(calls, sock, taken, &inProgress)
	}
}

func (w *Worker) serveSocket(ctx context.Context, sock *net.UnixConn, taken *places, inProgress *sync.WaitGroup) {
	conn, err := pampwb.NetConn(sock)
	if err != nil {
		w.Log.Warn("connection", "error", err)
		return
	}
	conn.Build = w.Build
	peer := conn.Peer()
	if !taken.take(peer.UID) {
		w.Log.Warn("too many calls at once", "peer_uid", peer.UID, "peer_pid", peer.PID)
		conn.Close()
		return
	}
	inProgress.Add(1)
	job := func() {
		defer inProgress.Done()
		defer taken.leave(peer.UID)
		w.ServeConn(ctx, conn)
	}
	select {
	case idle <- job:
	default:
		go serveJobs(job)
	}
}

// idle hands a call to a goroutine that has answered one before: its stack has grown to what a call needs, and growing it
// again costs a tenth of the call.
var idle = make(chan func())

const idleTime = 10 * time.Second

func serveJobs(job func()) {
	for {
		job()
		select {
		case job = <-idle:
		case <-time.After(idleTime):
			return
		}
	}
}

func transient(err error) bool {
	var ne interface{ Temporary() bool }
	return errors.As(err, &ne) && ne.Temporary()
}

func finish(inProgress *sync.WaitGroup, cancel func(), grace time.Duration) error {
	done := make(chan struct{})
	go func() {
		inProgress.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-time.After(grace):
		cancel()
		return fmt.Errorf("calls still in progress after %v were ended", grace)
	}
}
