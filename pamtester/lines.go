package main

import "strings"

// This file takes service files apart into logical lines. A backslash at the end of a line continues it on the next. Linux-PAM up to
// 1.5 has room for maxLine bytes, and skips empty lines and comments on the way to the next; later ones read lines of any length, and
// there an empty line or a comment is the end.

// maxLine is how much of a line libpam up to 1.5 reads; the rest of a longer one is a line of its own.
const maxLine = 1023

func (lib *library) cuts(line string) bool { return !lib.longLines && len(line) > maxLine }

// lines are the logical lines of a file. It is not whole when it ends where a line should go on: libpam then has the lines before and
// refuses the file.
func (lib *library) lines(text string) (lines []*line, whole bool) {
	r := &lineReader{rest: text, number: 1}
	next := r.bounded
	if lib.longLines {
		next = r.unbounded
	}
	for {
		text, number := next()
		if number == 0 {
			return lines, true
		}
		if !r.whole {
			return lines, false
		}
		l := lib.parse(strings.Trim(text, space))
		l.number = number
		lines = append(lines, &l)
	}
}

type lineReader struct {
	rest   string
	number int  // of the line at which rest begins
	whole  bool // the last logical line had its end
}

// physical takes the next line of the file, newline and all, or as much of it as there is room for.
func (r *lineReader) physical(room int) (bytes string) {
	end := strings.IndexByte(r.rest, '\n') + 1
	if end == 0 {
		end = len(r.rest)
	}
	end = min(end, room)
	bytes = r.rest[:end]
	r.number += strings.Count(bytes, "\n")
	r.rest = r.rest[end:]
	return bytes
}

// cString is what C sees of some bytes.
func cString(bytes string) string {
	s, _, _ := strings.Cut(bytes, "\x00")
	return s
}

// bounded assembles a logical line as _pam_assemble_line does, and tells where it begins: at 0, when the file is at its end.
func (r *lineReader) bounded() (text string, begun int) {
	r.whole = false
	for r.rest != "" && len(text) < maxLine {
		number := r.number
		seen := cString(r.physical(maxLine - len(text)))
		visible := strings.TrimLeft(seen, space)
		if visible == "" || visible[0] == '#' {
			continue
		}
		if begun == 0 {
			begun = number
		}
		before, _, comment := strings.Cut(seen, "#")
		trimmed := strings.TrimRight(before, space)
		if !comment && strings.HasSuffix(trimmed, `\`) {
			text += trimmed[:len(trimmed)-1] + " "
			continue
		}
		r.whole = true
		return text + trimmed, begun
	}
	return text, begun
}

// unbounded does it as _pam_line_assemble does. That one looks for the backslash behind a NUL as well, and sees nothing of what follows
// one.
func (r *lineReader) unbounded() (text string, begun int) {
	r.whole = false
	for r.rest != "" {
		number := r.number
		seen := r.physical(len(r.rest))
		trimmed := strings.TrimRight(seen, space)
		continued := strings.HasSuffix(trimmed, `\`)
		if continued {
			seen = trimmed[:len(trimmed)-1] + " "
		}
		before, _, comment := strings.Cut(cString(seen), "#")
		if comment {
			seen = before + "\x00"
		}
		if begun == 0 {
			begun = number
		}
		if seen = strings.TrimLeft(seen, " \t"); text != "" || continued && !comment || cString(seen) != "" && seen != "\n" {
			text += seen
		}
		if continued && !comment {
			continue
		}
		if cString(text) != "" {
			r.whole = true
			return cString(text), begun
		}
		text, begun = "", 0
	}
	return text, begun
}
