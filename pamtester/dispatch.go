package main

// This file follows libpam through a stack (pam_dispatch.c), with the answers that the modules gave: which line ran, what its
// answer did, and which one decided. It is compared with what libpam really returned; where they differ, nothing is claimed.

// step is a line at its place in the stack of one type, includes unfolded.
type step struct {
	*line
	kind  lineKind // an include whose file cannot be read is a bad line
	depth int      // of includes, for drawing
	level int      // of substacks, for libpam
}

// Bounds for files that include each other; libpam up to 1.5 knows one for substacks alone, and runs out of descriptors.
const (
	maxDepth = 32
	maxSteps = 10000
	maxLevel = 16 // PAM_SUBSTACK_MAX_LEVEL
)

// stackOf unfolds a service's lines of one type. Includes stand in it as lines of their own that libpam does not see, substacks as
// lines that it steps over.
func (lib *library) stackOf(f *serviceFile, typ moduleType) []step {
	u := unfolding{typ: typ, deepest: maxDepth}
	if lib.longLines {
		u.deepest = maxLevel - 1
	}
	if f != nil {
		u.add(f, anyType, 0, 0)
	}
	return u.stack
}

type unfolding struct {
	stack   []step
	typ     moduleType
	deepest int // that a file may be whose includes are read
}

func (u *unfolding) add(f *serviceFile, asked moduleType, depth, level int) {
	for _, l := range f.lines {
		s := step{l, l.kind, depth, level}
		if len(u.stack) > maxSteps {
			return
		}
		if l.kind == atLine {
			u.stack = append(u.stack, s)
			if l.into == nil || depth >= u.deepest {
				u.stack = append(u.stack, step{failing(l), badLine, depth, level})
				continue
			}
			before := len(u.stack)
			u.add(l.into, asked, depth+1, level)
			if len(u.stack) == before {
				u.stack = u.stack[:before-1] // a file without a line of this type
			}
			if !l.into.whole {
				u.stack = append(u.stack, step{failing(l), badLine, depth, level})
			}
			continue
		}
		is := l.typ
		if is == anyType && asked != anyType {
			is = asked
		} else if is == anyType {
			is = authType
		}
		if is != u.typ {
			continue
		}
		inner := level
		switch l.kind {
		case substackLine:
			inner++
			fallthrough
		case includeLine:
			u.stack = append(u.stack, s)
			if l.into != nil && depth < u.deepest && inner < maxLevel {
				u.add(l.into, u.typ, depth+1, inner)
				if l.into.whole {
					continue
				}
			}
			s.kind = badLine
			s.line = failing(l)
		}
		u.stack = append(u.stack, s)
	}
}

// failing is the line that libpam puts where a file could not be included.
func failing(l *line) *line {
	f := *l
	f.actions = all(doBad)
	return &f
}

// outcome is what became of a step in one walk.
type outcome struct {
	ran     bool
	code    code
	action  int
	cached  code // what was weighed: the code of the call that this one follows, or its own
	ended   bool // the stack or substack went no further
	decided bool // the answer of the stack is from here
	as      code // and is this one, which is not always the module's
	jumped  bool // over the edge of the stack
}

type impression int

const (
	undefined impression = iota
	positive
	negative
)

// walk is one pass of libpam through a stack.
type walk struct {
	steps      []step
	outcomes   []outcome
	frozen     []code // codes of the calls that this one must follow (authenticate for setcred), or nil
	freeze     bool
	quietJumps bool                     // a line that jumps does not count as ok in a call that follows another
	answer     func(i int) (code, bool) // of the module of a step
	state
}

const notCalled code = -1

// state is what libpam carries from line to line.
type state struct {
	imp    impression
	status code
	by     int // the step whose answer the status is, -1 for none
}

// run returns libpam's answer, and false when the modules did not answer in this order. It fills outcomes, and frozen when freeze
// says so.
func (w *walk) run() (code, bool) {
	w.outcomes = make([]outcome, len(w.steps))
	w.state = state{undefined, permDenied, -1}
	saved := map[int]state{0: w.state}
	previous, seen := 0, false
	for i := 0; i < len(w.steps); i++ {
		s := w.steps[i]
		if s.kind == includeLine || s.kind == atLine {
			continue
		}
		if previous < s.level {
			saved[s.level] = w.state
		}
		previous, seen = s.level, true
		if s.kind == substackLine {
			continue
		}
		rc, ok := permDenied, true
		if s.kind == moduleLine {
			if rc, ok = w.answer(i); !ok {
				return 0, false
			}
		}
		w.outcomes[i] = outcome{ran: true, code: rc, cached: rc}
		if rc == incomplete {
			w.decide(i, rc)
			w.mark()
			return rc, true
		}
		i = w.weigh(i, rc, saved[s.level])
	}
	if !seen {
		return permDenied, true
	}
	if w.status == success && w.imp != positive {
		w.status, w.by = permDenied, -1
	}
	w.mark()
	return w.status, true
}

func (w *walk) mark() {
	if w.by >= 0 {
		w.outcomes[w.by].decided, w.outcomes[w.by].as = true, w.status
	}
}

func (w *walk) decide(i int, rc code) { w.status, w.by = rc, i }

// weigh does what the control says about a code, and returns the last step that is done with.
func (w *walk) weigh(i int, rc code, before state) int {
	cached := rc
	switch {
	case w.freeze:
		w.frozen[i] = rc
	case w.frozen != nil && w.frozen[i] != notCalled:
		cached = w.frozen[i]
	}
	w.outcomes[i].cached = cached
	action := doBad
	if cached < 0 || cached > maxCode {
		rc = permDenied
	} else {
		action = w.steps[i].actions[cached]
	}
	w.outcomes[i].action = action
	switch {
	case action == doReset:
		w.state = before
	case action == doOK, action == doDone:
		w.ok(i, rc, cached)
		if w.imp == positive && action == doDone {
			w.outcomes[i].ended = true
			return w.leave(i)
		}
	case action == doBad, action == doDie:
		if w.imp != negative {
			w.imp = negative
			w.decide(i, rc)
			if rc == ignored {
				w.status = permDenied
			}
		}
		if action == doDie {
			w.outcomes[i].ended = true
			return w.leave(i)
		}
	case action > 0:
		return w.jump(i, rc, cached, action)
	}
	return i
}

func (w *walk) ok(i int, rc, cached code) {
	if (w.imp == undefined || w.imp == positive && w.status == success) && (rc != ignored || cached == rc) {
		w.imp = positive
		w.decide(i, rc)
	}
}

// next is the next step that libpam sees, or -1.
func (w *walk) next(i int) int {
	for i++; i < len(w.steps); i++ {
		if k := w.steps[i].kind; k != includeLine && k != atLine {
			return i
		}
	}
	return -1
}

// leave goes to the end of the substack, or of all.
func (w *walk) leave(i int) int {
	level := w.steps[i].level
	for n := w.next(i); n >= 0 && w.steps[n].level >= level; n = w.next(i) {
		i = n
	}
	return i
}

// jump goes over a number of lines, a substack counting as one. Where a call follows frozen codes, the line counts as ok as well.
func (w *walk) jump(i int, rc, cached code, over int) int {
	at, level := i, w.steps[i].level
	if !w.freeze && !w.quietJumps {
		w.ok(i, rc, cached)
	}
	for n := w.next(i); n >= 0 && w.steps[n].level >= level && over > 0; n = w.next(i) {
		i = n
		for n = w.next(i); n >= 0 && w.steps[n].level > level; n = w.next(i) {
			i = n
		}
		over--
	}
	if over > 0 {
		w.imp = negative
		w.decide(at, permDenied)
		w.outcomes[at].jumped = true
	}
	return i
}
