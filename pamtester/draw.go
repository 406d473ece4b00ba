package main

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// drawing shows a call as libpam went through it, one row for each line of the stack, the one that decided marked by >. No row is wider
// than width but for a word that is.
func (s *sequence) drawing(r result, width int) string {
	var b strings.Builder
	if s.talk.inLine() {
		b.WriteString("\n")
	}
	for i, p := range r.passes {
		name := r.op
		if p.name != "" {
			name += " (" + p.name + ")"
		}
		head := "trace: " + name + ", service " + p.service + ", user " + quote(s.user) + ", uid " + strconv.Itoa(os.Geteuid())
		foot := "= " + p.status.name()
		if i == len(r.passes)-1 {
			foot += " in " + ms(r.took) + " ms"
		}
		b.WriteString(strings.Join(flow(head, 0, width), "\n") + "\n")
		b.WriteString(layout(p.rows(s.tracer.services), width))
		b.WriteString(layout([]row{{texts: []string{foot + p.verdict()}}}, width))
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
	decided := ", decided by " + p.named(i)
	if s := p.steps[i]; s.kind == moduleLine {
		decided += ", " + s.target.value[strings.LastIndexByte(s.target.value, '/')+1:]
	}
	return decided
}

func (l *line) where() string { return l.file.show + ":" + strconv.Itoa(l.number) }

// rows are a row for each step, under names of the columns.
func (p *pass) rows(v *services) []row {
	if !p.agreed {
		return p.strayRows(v)
	}
	rows := []row{{answer: "answer", effect: "effect", took: "ms", texts: []string{"line"}}}
	for i, s := range p.steps {
		if i+1 < len(p.steps) && p.steps[i+1].kind == badLine && p.steps[i+1].id == s.id && s.kind != badLine {
			continue // an include of what cannot be read: that says all
		}
		rows = append(rows, p.row(i, s))
	}
	return rows
}

func (p *pass) row(i int, s step) row {
	o, c := p.outcomes[i], p.calls[i]
	r := row{depth: s.depth, texts: []string{s.written()}}
	switch {
	case s.kind == atLine, s.kind == includeLine, s.kind == substackLine:
		return r
	case !o.ran:
		r.answer = "not run"
		return r
	case o.decided:
		r.decided = true
	}
	r.answer, r.effect = o.code.word(), o.word()
	if c.line >= 0 {
		r.took = ms(time.Duration(c.ns))
	}
	r.texts = append(r.texts, c.notes()...)
	if o.more(s) != "" {
		r.texts = append(r.texts, o.effect(s))
	}
	return r
}

// written is a line as it stands in the file, but for its type, which is the call's; of one that libpam cannot read that may be what
// is wrong.
func (l *line) written() string {
	text := l.control.raw + " " + l.target.raw + " " + l.rest
	switch l.kind {
	case atLine:
		text = l.typeWord.raw + " " + l.target.raw
	case includeLine, substackLine:
		text = l.control.raw + " " + l.target.raw
	case badLine:
		text = l.text
	}
	return l.where() + "  " + collapsed(text)
}

// effect says what libpam made of an answer.
func (o outcome) effect(s step) string {
	text := o.word()
	if o.action > 0 && !o.jumped {
		text += " over " + strconv.Itoa(o.action)
	}
	return text + o.more(s)
}

// word is the action, as in a control.
func (o outcome) word() string {
	switch {
	case o.code == incomplete:
		return "to be continued"
	case o.action > 0:
		return "jumps"
	}
	return actionNames[-o.action]
}

// more is what the word and the control do not tell.
func (o outcome) more(s step) (text string) {
	where := "stack"
	if s.level > 0 {
		where = "substack"
	}
	switch {
	case o.jumped:
		text = " off the end: refused"
	case o.ended:
		text = ": ends the " + where
	case (o.action == doOK || o.action == doDone) && o.code == ignored && o.cached != ignored:
		text = ", but ignored"
	case o.action == doDone:
		text = ", but an earlier line failed"
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

// notes are what a module said and asked, and why it could not be called.
func (c called) notes() []string {
	var notes []string
	for _, e := range c.said {
		switch {
		case e.kind == messageEvent && e.a == errorStyle:
			notes = append(notes, "error "+quote(e.text))
		case e.kind == messageEvent:
			notes = append(notes, "says "+quote(e.text))
		case e.b == 0:
			notes = append(notes, "asks "+quote(e.text)+" and gets no answer")
		default:
			notes = append(notes, "asks "+quote(e.text))
		}
	}
	if c.why != "" {
		notes = append(notes, "cannot be called: "+c.reason())
	}
	return notes
}

func (c called) reason() string {
	if strings.HasPrefix(c.why, "pam_sm_") {
		return "it has no " + c.why
	}
	return c.why
}

// strayRows are for a call that the files do not explain: they show what was recorded, and claim nothing.
func (p *pass) strayRows(v *services) []row {
	if len(p.stray) == 0 {
		return []row{{texts: []string{"libpam called no module that is traced"}}}
	}
	rows := []row{{answer: "answer", took: "ms", texts: []string{"line"}}}
	for _, c := range p.stray {
		texts := append([]string{v.lines[c.line].written()}, c.notes()...)
		rows = append(rows, row{answer: c.code.word(), took: ms(time.Duration(c.ns)), texts: texts})
	}
	return append(rows, row{texts: []string{"the service files do not explain this order"}})
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
