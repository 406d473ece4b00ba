package audit

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("PWB_AUDIT_CHILD"); path != "" {
		l := &Log{Path: path}
		for i := 0; ; i++ {
			if err := l.Append("test", Fields{"i": i}); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			fmt.Println("ok")
		}
	}
	os.Exit(m.Run())
}

func newLog(t *testing.T, lines int) *Log {
	t.Helper()
	l := &Log{Path: filepath.Join(t.TempDir(), "log", "audit.log")}
	for i := range lines {
		if err := l.Append("decision", Fields{"user": fmt.Sprintf("p%d", i), "reason": "line\nfeed\"}", "was": map[string]any{"a": map[string]int{}}}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func verify(t *testing.T, l *Log, files ...string) (int64, string) {
	t.Helper()
	if len(files) == 0 {
		files = []string{l.Path}
	}
	n, found, err := l.Verify(files...)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range found {
		all = append(all, strings.ReplaceAll(f.String(), filepath.Dir(l.Path)+"/", ""))
	}
	return n, strings.Join(all, "\n")
}

func TestAWholeFile(t *testing.T) {
	l := newLog(t, 5)
	if n, found := verify(t, l); n != 5 || found != "" {
		t.Errorf("%d lines; %s", n, found)
	}
	if st, _ := os.Stat(l.Path); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	if err := l.Append("decision", Fields{"hash": "mine"}); err == nil {
		t.Error("a caller's own hash was taken")
	}
}

func TestWhatWasDoneToAFile(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(lines [][]byte) [][]byte
		want string
	}{
		{"changed", func(l [][]byte) [][]byte { l[2] = bytes.Replace(l[2], []byte("p2"), []byte("p9"), 1); return l },
			"audit.log:3: the line was changed: its hash is another\naudit.log:4: number 4 follows number 2: lines are missing, added or moved"},
		{"taken out", func(l [][]byte) [][]byte { return append(l[:1], l[2:]...) }, "audit.log:2: number 3 follows number 1: lines are missing, added or moved"},
		{"swapped", func(l [][]byte) [][]byte { l[1], l[2] = l[2], l[1]; return l }, "audit.log:2: number 3 follows number 1"},
		{"doubled", func(l [][]byte) [][]byte { return append(l[:2], l[1:]...) }, "audit.log:3: number 2 follows number 2"},
		{"shortened", func(l [][]byte) [][]byte { return l[:3] }, "audit.log: lines up to number 5 are missing at the end"},
		{"emptied", func(l [][]byte) [][]byte { return nil }, "audit.log: lines up to number 5 are missing at the end"},
		{"beheaded", func(l [][]byte) [][]byte { return l[1:] }, "audit.log:1: begins with number 2; older files come first"},
		{"a line of somebody's", func(l [][]byte) [][]byte { return append(l, []byte("{}\n")) }, "audit.log:6: not a line of an audit file"},
	} {
		l := newLog(t, 5)
		text, err := os.ReadFile(l.Path)
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.SplitAfter(text, []byte("\n"))
		if err := os.WriteFile(l.Path, bytes.Join(tt.edit(lines[:5]), nil), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, found := verify(t, l); !strings.HasPrefix(found, tt.want) {
			t.Errorf("%s: found %q, want %q", tt.name, found, tt.want)
		}
	}
}

func TestARotatedFileGoesOn(t *testing.T) {
	l := newLog(t, 3)
	if err := os.Rename(l.Path, l.Path+".1"); err != nil {
		t.Fatal(err)
	}
	if n, found, err := l.Verify(l.Files()...); n != 3 || len(found) > 0 || err != nil { // before the next line
		t.Errorf("%d lines; %v, %v", n, found, err)
	}
	if err := l.Append("decision", nil); err != nil {
		t.Fatal(err)
	}
	if n, found := verify(t, l, l.Path+".1", l.Path); n != 4 || found != "" {
		t.Errorf("%d lines; %s", n, found)
	}
	// As logrotate(8) numbers them: two more weeks, over the tenth.
	for _, step := range [][2]string{{".1", ".10"}, {"", ".9"}} {
		if err := os.Rename(l.Path+step[0], l.Path+step[1]); err != nil {
			t.Fatal(err)
		}
	}
	os.WriteFile(l.Path+".x", nil, 0o600)
	if err := l.Append("decision", nil); err != nil {
		t.Fatal(err)
	}
	if n, found := verify(t, l, l.Files()...); n != 5 || found != "" {
		t.Errorf("%d lines of %q; %s", n, l.Files(), found)
	}
	for _, name := range l.Files() {
		os.Remove(name)
	}
	if n, found, err := l.Verify(l.Files()...); n != 0 || err != nil || !strings.HasSuffix(fmt.Sprint(found), "audit.log: lines up to number 5 are missing at the end]") {
		t.Errorf("all files taken away: %d lines; %v, %v", n, found, err)
	}
}

func TestALineThatACrashHasCut(t *testing.T) {
	l := newLog(t, 3)
	text, _ := os.ReadFile(l.Path)
	os.WriteFile(l.Path, text[:len(text)-40], 0o600)
	os.WriteFile(l.Path+headSuffix, fmt.Appendf(nil, "%019d %s\n", 2, mustHash(t, text, 1)), 0o600)
	if err := l.Append("decision", nil); err != nil {
		t.Fatal(err)
	}
	if n, found := verify(t, l); n != 3 || found != "audit.log:3: not a line of an audit file" {
		t.Errorf("%d lines; %s", n, found)
	}
}

func mustHash(t *testing.T, text []byte, line int) string {
	t.Helper()
	h, _, err := parse(bytes.Split(text, []byte("\n"))[line])
	if err != nil {
		t.Fatal(err)
	}
	return h.hash
}

// Processes write at once and are killed: no line is lost that was said to be written, and the chain holds.
func TestProcessesThatAreKilled(t *testing.T) {
	l := newLog(t, 0)
	var wg sync.WaitGroup
	var mu sync.Mutex // guards said
	said := 0
	for round := range 4 {
		for i := range 3 {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "PWB_AUDIT_CHILD="+l.Path)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				buf, n := make([]byte, 3), 0
				for ; n < 20+10*i+round; n++ {
					if _, err := out.Read(buf); err != nil {
						break
					}
				}
				cmd.Process.Kill()
				cmd.Wait()
				mu.Lock()
				said += n
				mu.Unlock()
			})
		}
		wg.Wait()
	}
	n, found, err := l.Verify(l.Path)
	if err != nil || n < int64(said) {
		t.Errorf("%d lines, %d were said to be written; %v", n, said, err)
	}
	for _, f := range found {
		if f.Text != "not a line of an audit file" { // a write that a kill has cut
			t.Error(f)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"number":1,"prev":"","hash":"00"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if h, _, err := parse(line); err == nil && !bytes.Contains(line, []byte(hashOf(line[:bytes.LastIndex(line, []byte(hashMark))]))) {
			t.Errorf("%q was taken as %+v", line, h)
		}
	})
}

// A process that was stopped in the middle of a line keeps the file. Decisions are made all the same.
func TestAFileThatAnotherKeeps(t *testing.T) {
	l := newLog(t, 1)
	stopped, err := l.open()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := l.Append("decision", nil); err == nil || !strings.Contains(err.Error(), "another process keeps it") {
				t.Errorf("Append = %v", err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(began); took > 2*patience {
		t.Errorf("it took %v to give up", took)
	}
	stopped.Close()
	if err := l.Append("decision", nil); err != nil {
		t.Errorf("when the file is free again: %v", err)
	}
	if n, found := verify(t, l); n != 2 || found != "" {
		t.Errorf("%d lines, %s", n, found)
	}
}
