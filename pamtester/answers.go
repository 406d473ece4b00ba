package main

import (
	"bytes"
	"strconv"
)

// answer is a line of an answers file: what to answer to the questions that a pattern fits.
type answer struct {
	line    int
	pattern string
	kind    answerKind
	text    []byte // of the file that was read, which is wiped
	once    bool
}

type answerKind int

const (
	answerText  answerKind = iota // as enum answer_kind
	answerEOF                     // no answer, as at the end of input
	answerError                   // PAM_CONV_ERR
)

// parseAnswers reads an answers file: empty lines, lines that begin with #, and
//
//	[once] /PATTERN/ = ANSWER
//	[once] /PATTERN/ eof
//	[once] /PATTERN/ err
//
// The pattern is an extended regular expression of regex(7), \/ in it a slash. The answer is everything after "= ".
func parseAnswers(file []byte) ([]answer, error) {
	var all []answer
	for i, line := range bytes.Split(file, []byte("\n")) {
		trimmed := bytes.TrimLeft(line, blanks)
		if len(trimmed) == 0 || trimmed[0] == '#' {
			continue
		}
		a, wrong := parseAnswer(trimmed)
		if wrong != "" {
			return nil, usageError("line " + strconv.Itoa(i+1) + ": " + wrong)
		}
		a.line = i + 1
		all = append(all, a)
	}
	return all, nil
}

func parseAnswer(line []byte) (a answer, wrong string) {
	if rest, ok := bytes.CutPrefix(line, []byte("once")); ok && len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
		a.once = true
		line = bytes.TrimLeft(rest, blanks)
	}
	if len(line) == 0 || line[0] != '/' {
		return a, "a line is [once] /PATTERN/ = ANSWER, or eof or err in place of = ANSWER"
	}
	pattern, rest, closed := cutPattern(line[1:])
	switch {
	case !closed:
		return a, "the pattern has no / at its end"
	case bytes.IndexByte(line, 0) >= 0:
		return a, "it has a byte of zero"
	}
	a.pattern = pattern
	rest = bytes.TrimLeft(rest, blanks)
	text, isText := bytes.CutPrefix(rest, []byte("="))
	switch word := string(bytes.TrimRight(rest, blanks)); {
	case isText:
		a.text = bytes.TrimPrefix(text, []byte(" "))
	case word == "eof":
		a.kind = answerEOF
	case word == "err":
		a.kind = answerError
	default:
		return a, "after the pattern comes = ANSWER, eof or err"
	}
	return a, ""
}

// cutPattern takes what stands before the first slash that no backslash escapes.
func cutPattern(s []byte) (pattern string, rest []byte, closed bool) {
	var b []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '/':
			return string(b), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			if s[i+1] != '/' {
				b = append(b, '\\')
			}
			i++
		}
		b = append(b, s[i])
	}
	return "", nil, false
}

const maxAnswersFile = 1 << 20

// giveAnswers reads the answers file into the conversation and wipes what it has read.
func (s *sequence) giveAnswers() bool {
	if s.answersFile == "" {
		return true
	}
	file, err := readAll(s.answersFile, maxAnswersFile)
	defer clear(file)
	if err != nil {
		return s.fail(ownFailure, "read the answers: open "+s.answersFile+": "+err.Error())
	}
	all, err := parseAnswers(file)
	for i := 0; err == nil && i < len(all); i++ {
		if err = s.talk.add(all[i]); err != nil {
			err = usageError("line " + strconv.Itoa(all[i].line) + ": " + err.Error())
		}
	}
	if err != nil {
		return s.fail(ownFailure, "read the answers: "+err.Error())
	}
	s.talk.setAlone()
	for _, a := range all {
		a.text = nil
		s.answers = append(s.answers, a)
	}
	return true
}

// leftovers says which answers no question has asked for: the stack is not the one that the file was written for.
func (s *sequence) leftovers() bool {
	all := true
	for i, a := range s.answers {
		if !s.talk.used(i) {
			s.say.err("answers: line " + strconv.Itoa(a.line) + ": nothing asked for /" + a.pattern + "/")
			s.left = append(s.left, a.pattern)
			all = false
		}
	}
	return all
}
