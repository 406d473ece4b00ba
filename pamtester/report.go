package main

import (
	"os"
	"strconv"
	"time"
)

// result is what came of one call.
type result struct {
	op           string
	flags        uint32
	code         code
	took, asking time.Duration
	events       []event
	passes       []pass // under --trace
}

// judge compares a result with what is expected of it and says it. Without an expectation only success will do.
func (s *sequence) judge(op operation, r result) bool {
	want := op.want
	if want == "" {
		want = s.expect[r.op]
	}
	expected, _ := codeOf(want)
	timing := ""
	if s.timing {
		timing = " (" + ms(r.took) + " ms, of which " + ms(r.asking) + " ms asking)"
	}
	was := r.op + ": " + r.code.text() + " (" + r.code.name() + ")"
	switch {
	case want != "" && r.code == expected && r.code != success:
		s.say.out(was + ", as expected" + timing)
		return true
	case want != "" && r.code != expected:
		return s.fail(r.code, was+", expected "+expected.name()+timing)
	case r.code != success:
		return s.fail(r.code, r.code.text()+timing)
	}
	s.say.out(done[r.op] + timing)
	return true
}

func ms(d time.Duration) string { return strconv.FormatFloat(float64(d.Nanoseconds())/1e6, 'f', 3, 64) }

func quote(s string) string { return strconv.Quote(s) }

// report writes down a call: as a drawing for a person under --trace, as an object under --json. Never an answer.
func (s *sequence) report(r result) {
	if s.trace && !s.json {
		s.say.raw(2, s.drawing(r, terminalColumns(2)))
	}
	if !s.json {
		return
	}
	var o object
	o.text("op", r.op)
	o.number("flags", int64(r.flags))
	o.number("code", int64(r.code))
	o.text("name", r.code.name())
	o.text("text", r.code.text())
	o.number("us", r.took.Microseconds())
	o.number("asking_us", r.asking.Microseconds())
	var messages, prompts []object
	for _, e := range r.events {
		switch e.kind {
		case messageEvent:
			messages = append(messages, e.said())
		case promptEvent:
			prompts = append(prompts, e.said())
		}
	}
	o.objects("messages", messages)
	o.objects("prompts", prompts)
	if s.trace {
		o.objects("trace", traced(r))
	}
	s.say.raw(1, o.end()+"\n")
}

// reportOwn writes down an operation that is no call of libpam.
func (s *sequence) reportOwn(o object) bool {
	if s.json {
		s.say.raw(1, o.end()+"\n")
	}
	return true
}

// summary is the last object of --json.
func (s *sequence) summary(took time.Duration) {
	if !s.json {
		return
	}
	var o object
	o.text("op", "summary")
	o.text("service", s.service)
	o.text("user", s.user)
	o.number("uid", int64(os.Getuid()))
	o.number("euid", int64(os.Geteuid()))
	o.number("operations", int64(s.ran))
	o.number("us", took.Microseconds())
	if s.answersFile != "" {
		o.texts("leftover_answers", s.left)
	}
	if s.status != 0 {
		o.text("error", s.why)
	}
	o.number("status", int64(s.status))
	s.say.raw(1, o.end()+"\n")
}
