package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestRecent(t *testing.T) {
	l := &Log{Path: filepath.Join(t.TempDir(), "audit.log")}
	if lines, err := l.Recent(10); err != nil || len(lines) != 0 {
		t.Errorf("before the first line: %v, %v", lines, err)
	}
	for i := range 5 {
		if err := l.Append("decision", Fields{"user": fmt.Sprint("u", i)}); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(l.Path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"number":6,"time":"2026-`)
	f.Close()
	lines, err := l.Recent(3)
	if err != nil || len(lines) != 3 {
		t.Fatalf("%v, %v", lines, err)
	}
	for i, want := range []string{"u4", "u3", "u2"} {
		if got := lines[i]; got.Fields["user"] != want || got.Event != "decision" || got.Time.IsZero() || got.Number != int64(5-i) || len(got.Fields) != 1 {
			t.Errorf("line %d: %+v; want %s", i, got, want)
		}
	}
}
