package main

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// tracePath is where make install puts the module that traces; set by the build.
var tracePath = "/usr/lib/pwb/pam_trace.so"

// traceModule finds it: beside this program, where a build leaves it, or where it is installed. Beside a program that was copied to a
// folder for all it could be anybody's.
func traceModule() (path, wrong string) {
	const name = "pam_trace.so"
	if self, err := os.Readlink("/proc/self/exe"); err == nil {
		beside := self[:strings.LastIndexByte(self, '/')+1] + name
		if sameOwner(self, beside) {
			return beside, ""
		}
	}
	if _, err := os.Stat(tracePath); err != nil {
		return "", "--trace: " + err.Error()
	}
	return tracePath, ""
}

// sameOwner says whether a file that is no link belongs to who owns the program, and nobody else may write to it.
func sameOwner(program, file string) bool {
	var p, f syscall.Stat_t
	return syscall.Stat(program, &p) == nil && syscall.Lstat(file, &f) == nil &&
		f.Mode&syscall.S_IFMT == syscall.S_IFREG && f.Uid == p.Uid && f.Mode&0o022 == 0
}

// traced puts the module that traces in the place of a line's own. It stands there under the real one's name, which is the name
// in libpam's logs, and gets the descriptor, the line and the real module before the arguments, which nobody here reads. Where
// that makes the line too long, words stand for module and arguments, and they are in the record.
func (v *services) traced(l *line) (string, error) {
	name := l.target.value[strings.LastIndexByte(l.target.value, '/')+1:]
	if dot := strings.LastIndexByte(name, '.'); dot == 0 || name == "" || name == "?" || dot == 1 && name[0] == '?' {
		return l.text, nil // libpam refuses the whole service
	}
	if strings.ContainsAny(name, space+"[]#\\") || name == ".." {
		name = "pam_trace.so"
	}
	link := v.dir + modulesIn + "/" + name
	head := l.typeWord.raw + " " + l.control.raw + " " + link
	mark := strconv.Itoa(int(v.talk.c.record)) + ":" + strconv.Itoa(l.id)
	module := strings.Replace(l.target.raw, "$ISA", v.lib.isa, 1) // libpam tries it as it is first, but who has such a folder
	text := head + " " + mark + " " + module + " " + l.rest
	if v.lib.cuts(text) {
		words := tokens(module + " " + l.rest)
		kept := strings.Join(words, "\x00") + "\x00"
		at, err := v.talk.keep(kept)
		if err != nil {
			return "", err
		}
		text = collapsed(head) + " " + mark + ":" + strconv.FormatInt(at, 10) + ":" + strconv.Itoa(len(kept)) + strings.Repeat(" .", len(words))
	}
	if v.lib.cuts(text) {
		return l.text, nil
	}
	if !v.links[name] {
		keepUntilEnd(link)
		if err := os.Symlink(v.tracer, link); err != nil {
			return "", err
		}
		v.links[name] = true
	}
	return text, nil
}

// collapsed makes one blank of many.
func collapsed(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(blanks, r) }), " ")
}

// tracer follows the calls of one handle after the other.
type tracer struct {
	services   *services
	service    string
	quietJumps bool // as this libpam does, or the other way while jumpsSeen is false
	jumpsSeen  bool
	frozen     map[moduleType][]code // what authenticate and open_session were answered, for the calls that follow them
}

// pass is one walk of libpam through a stack; chauthtok makes two.
type pass struct {
	name     string
	service  string // whose stack it was
	steps    []step
	outcomes []outcome
	calls    []called // by step
	stray    []called // modules that were called out of the order that the files explain
	status   code
	agreed   bool   // libpam's answer is the one that these steps explain
	either   string // the two lines of which one decided, when nothing tells which
}

// called is what was recorded of one call of a module.
type called struct {
	line int // id
	code code
	at   uint64
	ns   uint64
	why  string // why it could not be called
	said []event
}

func (t *tracer) begin() { t.service, t.frozen = "", nil }

// before notes the service: a module may change it, and libpam then begins anew.
func (t *tracer) before(tx *transaction) {
	service, _, _ := tx.getItem(items["service"])
	if service != t.service || t.frozen == nil {
		t.service, t.frozen = service, map[moduleType][]code{}
	}
}

func typeOfCall(op string) moduleType {
	switch op {
	case "authenticate", "setcred":
		return authType
	case "acct_mgmt":
		return accountType
	case "chauthtok":
		return passwordType
	}
	return sessionType
}

// after explains a call by what was recorded in it.
func (t *tracer) after(op string, rc code, events []event) []pass {
	typ := typeOfCall(op)
	calls := callsIn(events, len(t.services.lines))
	follow := op == "setcred" || op == "close_session"
	p, left := t.walk(typ, follow, calls)
	if follow && !t.jumpsSeen {
		p, left = t.eitherWay(typ, calls, rc)
	}
	if op != "chauthtok" {
		p.settle(rc, left)
		return []pass{p}
	}
	p.name = "preliminary check"
	if !p.agreed || p.status != success {
		p.settle(rc, left)
		return []pass{p}
	}
	second, left := t.walk(typ, follow, left)
	second.name = "update"
	second.settle(rc, left)
	return []pass{p, second}
}

// eitherWay tries both rules of libraries, which differ in whether a line that jumps counts as ok in a call that follows another:
// upstream's does, Debian has a patch. While answers fit both, the two may name different lines.
func (t *tracer) eitherWay(typ moduleType, calls []called, rc code) (pass, []called) {
	p, left := t.walk(typ, true, calls)
	t.quietJumps = !t.quietJumps
	other, leftOther := t.walk(typ, true, calls)
	fits, otherFits := p.explains(rc, left), other.explains(rc, leftOther)
	t.jumpsSeen = fits != otherFits
	if t.jumpsSeen && otherFits {
		return other, leftOther
	}
	t.quietJumps = !t.quietJumps
	i, j := p.decider(), other.decider()
	if fits && otherFits && i != j {
		p.either = p.named(min(i, j)) + " or " + p.named(max(i, j))
		if i >= 0 {
			p.outcomes[i].decided = false
		}
	}
	return p, left
}

// decider is the step that decided, -1 for none.
func (p *pass) decider() int {
	return slices.IndexFunc(p.outcomes, func(o outcome) bool { return o.decided })
}

func (p *pass) named(step int) string {
	if step < 0 {
		return "no line"
	}
	return p.steps[step].where()
}

// explains says whether the walk met every call and ends in libpam's answer.
func (p *pass) explains(rc code, left []called) bool {
	return p.agreed && len(left) == 0 && p.status == rc
}

// settle compares the explanation with libpam's answer.
func (p *pass) settle(rc code, left []called) {
	p.agreed = p.explains(rc, left)
	p.status, p.stray = rc, left
	if !p.agreed {
		for _, c := range p.calls {
			if c.line >= 0 {
				p.stray = append(p.stray, c)
			}
		}
		slices.SortStableFunc(p.stray, func(a, b called) int { return cmp.Compare(a.at, b.at) })
	}
}

func (t *tracer) stack(typ moduleType) (service string, steps []step) {
	for _, service = range []string{serviceName(t.service), "other"} {
		steps = t.services.lib.stackOf(t.services.named[service], typ)
		for _, s := range steps {
			if s.kind != includeLine && s.kind != atLine {
				if service == "other" && serviceName(t.service) == "other" {
					steps = append(steps, steps...) // libpam reads it as the service and as the fallback, into one stack
				}
				return service, steps
			}
		}
	}
	return service, steps
}

// walk takes the calls that the stack explains, and returns those that it does not.
func (t *tracer) walk(typ moduleType, follow bool, calls []called) (pass, []called) {
	var p pass
	p.service, p.steps = t.stack(typ)
	if len(t.frozen[typ]) != len(p.steps) {
		t.frozen[typ] = make([]code, len(p.steps))
		for i := range p.steps {
			t.frozen[typ][i] = notCalled
		}
	}
	p.calls = make([]called, len(p.steps))
	for i := range p.calls {
		p.calls[i].line = -1
	}
	w := walk{steps: p.steps, frozen: t.frozen[typ], freeze: !follow, quietJumps: t.quietJumps}
	w.answer = func(i int) (code, bool) {
		if len(calls) == 0 || calls[0].line != p.steps[i].id {
			return 0, false
		}
		p.calls[i] = calls[0]
		calls = calls[1:]
		return p.calls[i].code, true
	}
	p.status, p.agreed = w.run()
	p.outcomes = w.outcomes
	return p, calls
}

// callsIn pairs the records of each call, with what was said in between. What is of none of these lines, a module has written there.
func callsIn(events []event, lines int) []called {
	var calls []called
	open := false
	for _, e := range events {
		switch {
		case e.kind == enterEvent:
			if open = e.a >= 0 && int(e.a) < lines; open {
				calls = append(calls, called{line: int(e.a), at: e.nanos})
			}
		case !open:
		case e.kind == leaveEvent:
			last := &calls[len(calls)-1]
			last.code, last.ns, last.why = code(e.b), e.nanos-last.at, e.text
			open = false
		default:
			calls[len(calls)-1].said = append(calls[len(calls)-1].said, e)
		}
	}
	return calls
}
