package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/lessons.md says which test holds each hole shut; a test that was renamed or dropped must not leave its word behind.
func TestEveryLessonHasItsTest(t *testing.T) {
	text, err := os.ReadFile("../../docs/lessons.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 3 || cells[0] == "| lesson" {
			continue
		}
		rows++
		for entry := range strings.SplitSeq(strings.TrimSuffix(cells[2], " |"), "; ") {
			folder, names, found := strings.Cut(entry, ": ")
			if !found {
				t.Errorf("no test in %q", line)
				continue
			}
			for name := range strings.SplitSeq(names, ", ") {
				if !hasTest(t, folder, name) {
					t.Errorf("%s has no %s", folder, name)
				}
			}
		}
	}
	if rows < 30 {
		t.Errorf("read %d lessons; there are more", rows)
	}
}

func hasTest(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(name) + `\(`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if declared.Match(text) {
			return true
		}
	}
	return false
}
