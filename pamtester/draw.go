package main

import (
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// drawing shows a call as libpam went through it, one line for each of the stack, the one that decided marked by >.
func (s *sequence) drawing(r result) string {
	var b strings.Builder
	if s.talk.inLine() {
		b.WriteString("\n")
	}
	for i, p := range r.passes {
		name := r.op
		if p.name != "" {
			name += " (" + p.name + ")"
		}
		b.WriteString("trace: " + name + ", service " + p.service + ", user " + quote(s.user) + ", uid " + strconv.Itoa(os.Geteuid()) + "\n")
		b.WriteString(p.table(s.tracer.services))
		b.WriteString("  = " + p.status.name())
		if i == len(r.passes)-1 {
			b.WriteString(" in " + ms(r.took) + " ms")
		}
		b.WriteString(p.verdict() + "\n")
	}
	return b.String()
}

// verdict names the line that decided, or two when nothing tells them apart.
func (p *pass) verdict() string {
	i := p.decider()
	switch {
	case !p.agreed:
		return ""
	case p.either != "":
		return ", decided by " + p.either
	case i < 0:
		return ", as no line decided"
	}
	return ", decided by " + p.named(i)
}

func (l *line) where() string { return l.file.show + ":" + strconv.Itoa(l.number) }

const millisecondsColumn = 5

// table has a row for each step, and below it what its module said.
func (p *pass) table(v *services) string {
	if !p.agreed {
		return p.strayTable(v)
	}
	rows := [][]string{{"", "line", "control", "module", "answer", "ms", "effect"}}
	notes := make([][]string, 1, len(p.steps)+1)
	for i, s := range p.steps {
		rows = append(rows, p.row(i))
		notes = append(notes, p.calls[i].notes(strings.Repeat("  ", s.depth)))
	}
	return align(rows, millisecondsColumn, millisecondsColumn, notes)
}

func (p *pass) row(i int) []string {
	s, o := p.steps[i], p.outcomes[i]
	where := strings.Repeat("  ", s.depth) + s.where()
	switch s.kind {
	case atLine:
		return []string{"", where, "@include", s.target.value}
	case includeLine, substackLine:
		return []string{"", where, s.control.value, s.target.value}
	}
	mark, answer, took := "", "-", "-"
	if o.decided {
		mark = ">"
	}
	if o.ran {
		answer = o.code.name()
	}
	if p.calls[i].line >= 0 {
		took = ms(time.Duration(p.calls[i].ns))
	}
	return []string{mark, where, collapsed(s.control.raw), s.module(), answer, took, o.effect(s)}
}

// effect says what libpam made of an answer.
func (o outcome) effect(s step) string {
	if !o.ran {
		return "not run"
	}
	where := "stack"
	if s.level > 0 {
		where = "substack"
	}
	var text string
	switch {
	case o.code == incomplete:
		text = "to be continued"
	case o.jumped:
		text = "jumps off the end: refused"
	case o.action > 0:
		text = "jumps over " + strconv.Itoa(o.action)
	case o.ended:
		text = actionNames[-o.action] + ": ends the " + where
	case o.action == doDone:
		text = "done, but an earlier line failed"
	case o.action == doOK && o.code == ignored && o.cached != ignored:
		text = "ok, but ignored"
	default:
		text = actionNames[-o.action]
	}
	if o.decided && !o.jumped && o.as != o.code {
		text += ", as " + o.as.name()
	}
	if o.cached != o.code {
		text += " (by the earlier " + o.cached.name() + ")"
	}
	switch {
	case s.kind == badLine && s.includes():
		text += " (libpam cannot read this file)"
	case s.kind == badLine:
		text += " (libpam cannot read this line)"
	}
	return text
}

const maxModuleColumn = 48

// module is the module and its arguments, cut to a column.
func (l *line) module() string {
	text := strings.Join(strings.Fields(l.target.value[strings.LastIndexByte(l.target.value, '/')+1:]+" "+l.rest), " ")
	if utf8.RuneCountInString(text) > maxModuleColumn {
		text = string([]rune(text)[:maxModuleColumn-3]) + "..."
	}
	return text
}

// notes are the lines below a row.
func (c called) notes(indent string) []string {
	var notes []string
	for _, e := range c.said {
		switch {
		case e.kind == messageEvent && e.a == errorStyle:
			notes = append(notes, indent+"error "+quote(e.text))
		case e.kind == messageEvent:
			notes = append(notes, indent+"says "+quote(e.text))
		case e.b == 0:
			notes = append(notes, indent+"asks "+quote(e.text)+" and gets no answer")
		default:
			notes = append(notes, indent+"asks "+quote(e.text))
		}
	}
	if c.why != "" {
		notes = append(notes, indent+"cannot be called: "+c.reason())
	}
	return notes
}

func (c called) reason() string {
	if strings.HasPrefix(c.why, "pam_sm_") {
		return "it has no " + c.why
	}
	return c.why
}

// strayTable is for a call that the files do not explain: it shows what was recorded, and claims nothing.
func (p *pass) strayTable(v *services) string {
	if len(p.stray) == 0 {
		return "    libpam called no module that is traced\n"
	}
	rows := [][]string{{"", "line", "control", "module", "answer", "ms"}}
	notes := make([][]string, 1)
	for _, c := range p.stray {
		l := v.lines[c.line]
		rows = append(rows, []string{"", l.where(), collapsed(l.control.raw), l.module(), c.code.name(), ms(time.Duration(c.ns))})
		notes = append(notes, c.notes(""))
	}
	return align(rows, millisecondsColumn, millisecondsColumn, notes) + "    the service files do not explain this order\n"
}

// align sets columns under each other; those of numbers, first to last, stand to the right. Control characters from files and modules
// never reach the terminal.
func align(rows [][]string, first, last int, notes [][]string) string {
	width := make([]int, 8)
	for _, row := range rows {
		for i := range row {
			row[i] = printable(row[i])
			width[i] = max(width[i], utf8.RuneCountInString(row[i]))
		}
	}
	var b strings.Builder
	for i, row := range rows {
		line := "  "
		for n, cell := range row {
			pad := strings.Repeat(" ", width[n]-utf8.RuneCountInString(cell))
			if n >= first && n <= last {
				line += pad + cell + "  "
			} else {
				line += cell + pad + "  "
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
		for _, note := range notes[i] {
			b.WriteString("         " + printable(note) + "\n")
		}
	}
	return b.String()
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// traced is the drawing as data.
func traced(r result) []object {
	var all []object
	for _, p := range r.passes {
		var o object
		if p.name != "" {
			o.text("pass", p.name)
		}
		o.text("service", p.service)
		o.claim("explained", p.agreed)
		var lines []object
		for i, s := range p.steps {
			if s.kind == moduleLine || s.kind == badLine {
				lines = append(lines, p.object(i))
			}
		}
		o.objects("lines", lines)
		all = append(all, o)
	}
	return all
}

func (p *pass) object(i int) object {
	var o object
	s, out, c := p.steps[i], p.outcomes[i], p.calls[i]
	path := s.file.path
	if path == "" {
		path = s.file.show
	}
	o.text("file", path)
	o.number("line", int64(s.number))
	o.text("control", s.control.raw)
	o.text("module", s.target.value)
	o.text("args", strings.TrimSpace(s.rest))
	o.claim("ran", out.ran)
	if out.ran {
		o.number("code", int64(out.code))
		o.text("name", out.code.name())
		o.text("effect", out.effect(s))
	}
	o.claim("decided", out.decided && p.agreed)
	if c.line < 0 {
		return o
	}
	o.number("us", int64(c.ns/1000))
	if c.why != "" {
		o.text("why", c.reason())
	}
	var said []object
	for _, e := range c.said {
		said = append(said, e.said())
	}
	o.objects("said", said)
	return o
}
