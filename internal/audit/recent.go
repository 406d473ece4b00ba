package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// Line is one line as its reader sees it.
type Line struct {
	Number int64
	Time   time.Time
	Event  string
	Fields Fields
}

const recentBytes = 1 << 20 // at the end of the file, which may be long

// Recent returns the last lines of the file, at most n, the newest first. Lines that are not whole are left out; whether
// something was changed, Verify says.
func (l *Log) Recent(n int) (lines []Line, err error) {
	f, err := os.Open(l.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	tail := make([]byte, min(st.Size(), recentBytes))
	if _, err := f.ReadAt(tail, st.Size()-int64(len(tail))); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	for len(tail) > 0 && len(lines) < n {
		tail = bytes.TrimSuffix(tail, []byte("\n"))
		begin := bytes.LastIndexByte(tail, '\n') + 1
		if line, ok := readable(tail[begin:]); ok {
			lines = append(lines, line)
		}
		tail = tail[:begin]
	}
	return lines, nil
}

func readable(text []byte) (line Line, ok bool) {
	if _, _, err := parse(text); err != nil {
		return line, false
	}
	if err := json.Unmarshal(text, &line.Fields); err != nil {
		return line, false
	}
	number, _ := line.Fields["number"].(float64)
	at, _ := line.Fields["time"].(string)
	line.Number = int64(number)
	line.Event, _ = line.Fields["event"].(string)
	var err error
	line.Time, err = time.Parse(time.RFC3339, at)
	for _, own := range []string{"number", "time", "event", "prev", "hash"} {
		delete(line.Fields, own)
	}
	return line, err == nil
}
