// Package audit keeps one line for every decision and every change: who, what, how it was decided, why. Each line carries the
// hash of the line before it, so a line that was changed, moved or taken out is found out; what the last line must be stands
// in a second file, so a shortened file is found out too. It never holds a ticket, a code or a secret: callers give none.
//
// Whoever is root can write both files anew. Against that only a copy elsewhere helps: the same lines go to the system's log.
package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pwb-project/pwb/internal/flock"
)

// Log is an audit file. It is safe for use by several goroutines and processes: each line is one locked append.
type Log struct {
	Path string
	Now  func() time.Time // nil is time.Now
}

// Fields are what a line says beside its time, number and hashes. Values must be what encoding/json can write.
type Fields = map[string]any

const (
	headSuffix = ".head"
	maxLine    = 64 << 10
	hashMark   = `,"hash":"`
)

// head says which line is the last: its number and its hash.
type head struct {
	number int64
	hash   string
}

var genesis = head{0, hex.EncodeToString(make([]byte, sha256.Size))}

// Append writes one line. It is on its way to the disk when Append returns, not on it.
func (l *Log) Append(event string, fields Fields) (err error) {
	f, err := l.open()
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	last, torn, err := l.last(f)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	line, next, err := l.line(last, event, fields)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if torn { // a crash in the middle of a line; what is there of it stays, for somebody's eyes
		line = append([]byte{'\n'}, line...)
	}
	if _, err := f.Write(line); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return l.writeHead(next)
}

// patience is how long a line waits for those of others. Whoever keeps the file for longer has been stopped.
const patience = 5 * time.Second

var queue = flock.NewLine() // of this process's lines

// open opens the file and takes its lock, which goes with the descriptor.
func (l *Log) open() (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(l.Path), 0o700); err != nil {
		return nil, err
	}
	fd, err := unix.Open(l.Path, unix.O_RDWR|unix.O_APPEND|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", l.Path, err)
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, errors.New("another process keeps it; fuser(1) says which"))
	defer cancel()
	if err := queue.Lock(ctx, fd); err != nil {
		return nil, fmt.Errorf("lock %s: %w", l.Path, err)
	}
	return os.NewFile(uintptr(fd), l.Path), nil
}

// line makes the bytes of a line. The hash is its last member, over all bytes before it.
func (l *Log) line(last head, event string, fields Fields) ([]byte, head, error) {
	now := time.Now
	if l.Now != nil {
		now = l.Now
	}
	number := last.number + 1
	start, err := json.Marshal(struct {
		Number int64  `json:"number"`
		Time   string `json:"time"`
		Event  string `json:"event"`
	}{number, now().UTC().Format("2006-01-02T15:04:05.000000Z"), event})
	if err != nil {
		return nil, head{}, err
	}
	for _, own := range []string{"number", "time", "event", "prev", "hash"} {
		if _, taken := fields[own]; taken {
			return nil, head{}, fmt.Errorf("field %q is the line's own", own)
		}
	}
	rest, err := json.Marshal(fields)
	if err != nil {
		return nil, head{}, err
	}
	line := bytes.TrimSuffix(start, []byte("}"))
	if len(fields) > 0 {
		line = append(append(line, ','), rest[1:len(rest)-1]...)
	}
	line = append(line, `,"prev":"`+last.hash+`"`...)
	if len(line) > maxLine-200 {
		return nil, head{}, fmt.Errorf("a line of %d bytes", len(line))
	}
	hash := hashOf(line)
	return append(line, hashMark+hash+"\"}\n"...), head{number, hash}, nil
}

func hashOf(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// last finds what the new line follows: the last whole line of the file or, in a new file, what the head says of an older one.
func (l *Log) last(f *os.File) (last head, torn bool, err error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return head{}, false, err
	}
	if size == 0 {
		last, err = l.readHead()
		if errors.Is(err, os.ErrNotExist) {
			return genesis, false, nil
		}
		return last, false, err
	}
	tail := make([]byte, min(size, 2*maxLine))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil {
		return head{}, false, err
	}
	torn = tail[len(tail)-1] != '\n'
	for {
		end := bytes.LastIndexByte(tail, '\n')
		if end < 0 {
			return head{}, false, fmt.Errorf("%s ends in no line of an audit file; put it aside and begin a new one", l.Path)
		}
		begin := bytes.LastIndexByte(tail[:end], '\n') + 1
		if last, _, err := parse(tail[begin:end]); err == nil {
			return last, torn, nil
		}
		tail = tail[:begin]
	}
}

// parse takes a line apart, and checks its own hash.
func parse(line []byte) (this head, prev string, err error) {
	at := bytes.LastIndex(line, []byte(hashMark))
	if at < 0 {
		return head{}, "", errors.New("not a line of an audit file")
	}
	var members struct {
		Number int64  `json:"number"`
		Prev   string `json:"prev"`
		Hash   string `json:"hash"`
	}
	if err := json.Unmarshal(line, &members); err != nil {
		return head{}, "", errors.New("not a line of an audit file")
	}
	if members.Hash != hashOf(line[:at]) || string(line[at:]) != hashMark+members.Hash+`"}` {
		return head{}, "", errors.New("the line was changed: its hash is another")
	}
	return head{members.Number, members.Hash}, members.Prev, nil
}

func (l *Log) readHead() (h head, err error) {
	text, err := os.ReadFile(l.Path + headSuffix)
	if err != nil {
		return head{}, err
	}
	if _, err := fmt.Sscanf(string(text), "%d %64s\n", &h.number, &h.hash); err != nil || len(h.hash) != hex.EncodedLen(sha256.Size) {
		return head{}, fmt.Errorf("%s%s says nothing that makes sense", l.Path, headSuffix)
	}
	return h, nil
}

// writeHead is one write of the same length each time: there is no moment at which it is half.
func (l *Log) writeHead(h head) error {
	f, err := os.OpenFile(l.Path+headSuffix, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	_, err = fmt.Fprintf(f, "%019d %s\n", h.number, h.hash)
	return errors.Join(err, f.Close())
}

// Files returns what there is of the log, as logrotate(8) numbers it: the oldest first, the file in use last.
func (l *Log) Files() []string {
	names, _ := filepath.Glob(l.Path + ".*")
	numbers := []int{}
	for _, name := range names {
		if n, err := strconv.Atoi(strings.TrimPrefix(name, l.Path+".")); err == nil && n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	files := []string{}
	for _, n := range slices.Backward(numbers) {
		files = append(files, fmt.Sprintf("%s.%d", l.Path, n))
	}
	if _, err := os.Lstat(l.Path); !errors.Is(err, os.ErrNotExist) {
		files = append(files, l.Path)
	}
	return files
}

// Finding is something that Verify has found wrong.
type Finding struct {
	File string
	Line int // 0 is about the whole file
	Text string
}

func (f Finding) String() string {
	if f.Line == 0 {
		return f.File + ": " + f.Text
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text)
}

// Verify reads audit files, the oldest first and the one in use last, and returns how many lines they have and everything that
// is wrong with them. The error says that a file could not be read.
func (l *Log) Verify(files ...string) (lines int64, found []Finding, err error) {
	var last *head
	for _, name := range files {
		n, err := verifyFile(name, &last, func(line int, format string, args ...any) {
			found = append(found, Finding{name, line, fmt.Sprintf(format, args...)})
		})
		if err != nil {
			return lines, found, err
		}
		lines += n
	}
	want, err := l.readHead()
	if errors.Is(err, os.ErrNotExist) && last == nil {
		return lines, found, nil // nothing has been written yet
	}
	switch {
	case err != nil:
		found = append(found, Finding{l.Path + headSuffix, 0, err.Error()})
	case last == nil || want.number > last.number:
		found = append(found, Finding{l.Path, 0, fmt.Sprintf("lines up to number %d are missing at the end", want.number)})
	case want.number < last.number-1, want.number == last.number && want.hash != last.hash: // one ahead: a crash between both
		found = append(found, Finding{l.Path + headSuffix, 0, fmt.Sprintf("says that the last line is number %d, with another hash", want.number)})
	}
	return lines, found, nil
}

func verifyFile(name string, last **head, wrong func(line int, format string, args ...any)) (lines int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	text := bufio.NewReaderSize(f, maxLine)
	for n := 1; ; n++ {
		line, err := text.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return lines, nil
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return lines, err
		}
		this, prev, broken := parse(bytes.TrimSuffix(line, []byte("\n")))
		switch {
		case broken != nil:
			wrong(n, "%v", broken)
			continue
		case *last == nil && this.number != 1:
			wrong(n, "begins with number %d; older files come first", this.number)
		case *last != nil && (prev != (*last).hash || this.number != (*last).number+1):
			wrong(n, "number %d follows number %d: lines are missing, added or moved", this.number, (*last).number)
		case *last == nil && prev != genesis.hash:
			wrong(n, "the first line follows another")
		}
		lines++
		*last = &this
	}
}
