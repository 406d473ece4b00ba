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

// What peers can have. Half of the places are kept for root's hosts: with subordinate ids a person is many. A call that is refused
// costs a line in the log and in the audit file, so they are counted by the minute too; a screen locker makes two.
const (
	maxCalls     = 256
	maxOthers    = maxCalls / 2 // of everybody but root
	maxUIDCalls  = 8
	maxUIDMinute = 60
	maxAllMinute = 1000
)

// places counts the calls in progress.
type places struct {
	mu     sync.Mutex // guards what follows
	all    int
	others int
	byUID  map[uint32]int
}

func (p *places) take(uid uint32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all >= maxCalls || uid != 0 && (p.others >= maxOthers || p.byUID[uid] >= maxUIDCalls) {
		return false
	}
	p.all++
	if uid != 0 {
		p.others++
	}
	p.byUID[uid]++
	return true
}

func (p *places) leave(uid uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if uid != 0 {
		p.others--
	}
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
	if w.tooMany(peer) {
		conn.Close()
		return
	}
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

// tooMany refuses a person who asks all the time, and says so once a minute. The service user publishes as often as it must; who
// that is, is not looked up any more for one who is over their own limit, since nobody is let in meanwhile.
func (w *Worker) tooMany(peer pampwb.Peer) bool {
	if peer.UID == 0 {
		return false
	}
	who := fmt.Sprint("uid ", peer.UID)
	mine, all := w.calls.add(who, time.Now())
	switch {
	case mine <= maxUIDMinute && all <= maxAllMinute:
		return false
	case mine <= maxUIDMinute+1 && w.isService(peer):
		w.calls.forget(who)
		return false
	case mine == maxUIDMinute+1 || all == maxAllMinute+1:
		w.Log.Warn("too many calls in a minute; more are not answered", "peer_uid", peer.UID, "peer_pid", peer.PID, "calls", mine, "of_all", all)
	}
	return true
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
