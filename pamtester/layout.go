package main

import (
	"strconv"
	"strings"
)

// row is one of a drawing: cells that stand in columns, and beside them texts, the first of which the others are about.
type row struct {
	decided              bool
	answer, effect, took string
	depth                int // of indentation
	texts                []string
}

func (r row) cells() [4]string {
	mark := " "
	if r.decided {
		mark = ">"
	}
	return [...]string{mark, r.answer, r.effect, r.took}
}

const (
	usualWidth = 80 // of a terminal, and of what is no terminal
	leastRoom  = 24 // for texts: they do not begin farther to the right
	indented   = 2  // for each depth, and what is about a text
	hang       = 4  // where a text goes on
)

// layout puts rows into lines of at most width columns, so that no terminal breaks them. Only a word that is longer goes beyond.
func layout(rows []row, width int) string {
	var b strings.Builder
	for n, left := range gutters(rows) {
		cells, at := strings.TrimRight(left, " "), len(left)+indented*rows[n].depth
		for i, text := range rows[n].texts {
			if i == 1 {
				at += indented
			}
			for _, line := range flow(text, min(at, width-leastRoom), width) {
				if free := len(line) - len(strings.TrimLeft(line, " ")); cells != "" && free < len(left) {
					b.WriteString(cells + "\n") // the text needs their room
				} else {
					line = cells + line[len(cells):]
				}
				b.WriteString(strings.TrimRight(line, " ") + "\n")
				cells = ""
			}
		}
	}
	return b.String()
}

// gutters are the cells of each row, set under each other. A column that is empty in all takes no room.
func gutters(rows []row) []string {
	var widths [4]int
	for _, r := range rows {
		for n, cell := range r.cells() {
			widths[n] = max(widths[n], len(cell))
		}
	}
	lefts := make([]string, len(rows))
	for i, r := range rows {
		for n, cell := range r.cells() {
			pad := strings.Repeat(" ", widths[n]-len(cell))
			if n == 3 { // numbers stand to the right
				cell, pad = pad, cell
			}
			lefts[i] += cell + pad
			switch {
			case n == 0:
				lefts[i] += " "
			case widths[n] > 0:
				lefts[i] += "  "
			}
		}
	}
	return lefts
}

// flow breaks a text at blanks into lines that begin at a column and end before another. One word that has not the room begins farther to
// the left.
func flow(text string, at, end int) (lines []string) {
	put := func(line string) {
		lines = append(lines, strings.Repeat(" ", max(0, min(at, end-columns(line))))+line)
	}
	words := strings.Split(printable(text), " ")
	line := words[0]
	for _, word := range words[1:] {
		if at+columns(line)+1+columns(word) <= end {
			line += " " + word
			continue
		}
		put(line)
		if line = word; len(lines) == 1 {
			at += hang
		}
	}
	put(line)
	return lines
}

// columns is how many a text takes on a terminal, or more: what may be of double width counts so.
func columns(s string) (n int) {
	for _, r := range s {
		n++
		if r >= 0x1100 {
			n++
		}
	}
	return n
}

// printable is a text from a file or a module as a terminal may have it: without control characters, and without those that turn the
// order of others.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
