package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// setting is one line key=value. raw is its value as it stands in the file, with its quotes.
type setting struct {
	key, value, raw string
	file            string
	line            int
}

// Problem is one thing an operator must mend, or should look at.
type Problem struct {
	File    string
	Line    int // 0 when it is about the whole file
	Warning bool
	Text    string // what is wrong and what to do
}

func (p Problem) String() string {
	kind := ""
	if p.Warning {
		kind = "warning: "
	}
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s%s", p.File, kind, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s%s", p.File, p.Line, kind, p.Text)
}

// Problems is every problem that one reading has found. It is an error when one of them is more than a warning.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

func (p Problems) serious() bool {
	for _, one := range p {
		if !one.Warning {
			return true
		}
	}
	return false
}

// parse reads key=value lines: '#' begins a comment at the start of a line only, the first '=' divides, blanks around
// both parts go, and one pair of quotes around the value. Nothing is expanded and nothing escaped: a secret may hold
// any of # ; $ \ and =. No problem repeats text of the file, which may be a secret.
func parse(file string, text []byte) (settings []setting, problems Problems) {
	for i, raw := range bytes.Split(text, []byte("\n")) {
		line := strings.TrimSpace(string(raw))
		if i == 0 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if line == "" || line[0] == '#' {
			continue
		}
		s, err := parseLine(line)
		if err != nil {
			problems = append(problems, Problem{File: file, Line: i + 1, Text: err.Error()})
			continue
		}
		s.file, s.line = file, i+1
		settings = append(settings, s)
	}
	return settings, problems
}

func parseLine(line string) (setting, error) {
	if !utf8.ValidString(line) {
		return setting{}, errors.New("bytes that are no text (UTF-8)")
	}
	if i := strings.IndexFunc(line, control); i >= 0 {
		return setting{}, fmt.Errorf("a control character (%U)", line[i])
	}
	key, raw, ok := strings.Cut(line, "=")
	key, raw = strings.TrimSpace(key), strings.TrimSpace(raw)
	if !ok || key == "" || strings.ContainsAny(key, " \t\"'") {
		return setting{}, errors.New("not a line key=value")
	}
	return setting{key: key, value: unquote(raw), raw: raw}, nil
}

func control(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// unseen are blanks that are not blanks, and what joins, hides or turns text around: web pages have them, and so has
// what is copied from there.
func unseen(r rune) bool {
	return r != '\t' && r != ' ' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.IsSpace(r))
}

func withoutUnseen(s string) string {
	return strings.Map(func(r rune) rune {
		if unseen(r) {
			return -1
		}
		return r
	}, s)
}

func unquote(v string) string {
	if len(v) >= 2 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
		return v[1 : len(v)-1]
	}
	return v
}

// nearest returns the known key that is most like an unknown one, or "" when none is. Capitals make no difference here;
// in the files they do.
func nearest(key string, known []string) string {
	key = strings.ToLower(key)
	best, distance := "", len(key)/3+2
	for _, k := range known {
		if d := editDistance(key, k); d < distance {
			best, distance = k, d
		}
	}
	return best
}

// editDistance counts the letters to change, add or remove (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := corner
			if a[i] != b[j] {
				cost++
			}
			corner = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
