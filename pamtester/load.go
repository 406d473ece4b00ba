package main

/*
#include "load.h"
#include <stdlib.h>

static void
set_item(struct load *l, int i, int item, char *value)
{
	l->items[i].item = item;
	l->items[i].value = value;
}

static void
set_step(struct load *l, int i, enum load_call call, int flags, int want, long ms)
{
	l->steps[i].call = call;
	l->steps[i].flags = flags;
	l->steps[i].want = want;
	l->steps[i].ms = ms;
}
*/
import "C"

import (
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// load makes the whole sequence many times, and says how long it takes.
func (s *sequence) load() {
	l, ok := s.plan()
	if !ok {
		return
	}
	if s.concurrency > 1 {
		s.talk.setAlone() // they cannot all read one input
	}
	s.talk.setQuiet()
	cpu, began := cpuTime(), time.Now()
	rc := C.load_run(l)
	measured := loadResult{load: l, steps: s.ops, took: time.Since(began), cpu: cpuTime() - cpu, workers: s.concurrency, warmup: s.warmup}
	if rc != 0 {
		s.fail(ownFailure, "repeat: "+syscall.Errno(-rc).Error())
		return
	}
	if l.died != 0 {
		s.fail(ownFailure, "repeat: a process died: "+ending(syscall.WaitStatus(l.died)))
		return
	}
	s.ran = s.repeat
	if s.json {
		s.say.raw(1, measured.object().end()+"\n")
	} else {
		s.say.raw(1, measured.table())
	}
	if failed := measured.failures(); len(failed) > 0 {
		for _, f := range failed {
			s.say.err(f)
		}
		s.why = failed[0]
		s.setStatus(ownFailure)
	}
}

// plan lays out the transaction in C memory, which is this process's until it ends.
func (s *sequence) plan() (*C.struct_load, bool) {
	l := C.load_new(C.int(len(s.items)), C.int(len(s.env)), C.int(len(s.ops)))
	l.service, l.user, l.talk = C.CString(s.service), C.CString(s.user), s.talk.c
	if s.folder != "" {
		l.confdir = C.CString(s.folder)
	}
	l.repeat, l.warmup, l.workers = C.long(s.repeat), C.long(s.warmup), C.int(min(s.concurrency, s.repeat))
	l.no_delay, l.cleanup = cBool(s.noDelay), cBool(s.cleanup)
	for i, pair := range s.items {
		item, value, wrong := parseItem(pair)
		if wrong != "" {
			return nil, s.fail(ownFailure, wrong)
		}
		var text *C.char
		if value != nil {
			text = C.CString(*value)
		}
		C.set_item(l, C.int(i), C.int(item), text)
	}
	for i, setting := range s.env {
		unsafe.Slice(l.env, len(s.env))[i] = C.CString(setting)
	}
	for i, op := range s.ops {
		if !s.planStep(l, i, op) {
			return nil, false
		}
	}
	return l, true
}

func (s *sequence) planStep(l *C.struct_load, i int, op operation) bool {
	name := lower(op.name)
	call, known := calls[name]
	if name == "sleep" {
		pause, wrong := milliseconds(op.args)
		if wrong != "" {
			return s.fail(ownFailure, wrong)
		}
		C.set_step(l, C.int(i), C.LOAD_SLEEP, 0, 0, C.long(pause.Milliseconds()))
		return s.expectsNothing(name, op)
	}
	if !known {
		return s.fail(ownFailure, `Unsupported operation "`+op.name+`" with --repeat`)
	}
	flags, _, wrong := parseFlags(op.args, s.hex)
	if wrong != "" {
		return s.fail(ownFailure, wrong)
	}
	want := op.want
	if want == "" {
		want = s.expect[name]
	}
	expected, _ := codeOf(want)
	C.set_step(l, C.int(i), call, C.int(int32(flags)), C.int(expected), 0)
	return true
}

func cBool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// cpuTime is what this process and its children have used.
func cpuTime() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

// loadResult is what was measured.
type loadResult struct {
	load            *C.struct_load
	steps           []operation
	took, cpu       time.Duration
	workers, warmup int
}

// column returns the times of a step that was reached, sorted, and how often each wrong code came.
func (r loadResult) column(n int) (times []time.Duration, wrong map[code]int) {
	width, repeat := len(r.steps)+2, int(r.load.repeat)
	ns := unsafe.Slice(r.load.ns, width*repeat)
	codes := unsafe.Slice(r.load.codes, width*repeat)
	want := code(0)
	if n > 0 && n <= len(r.steps) {
		want = code(unsafe.Slice(r.load.steps, len(r.steps))[n-1].want)
	}
	wrong = map[code]int{}
	for i := n; i < len(ns); i += width {
		if c := code(codes[i]); c == C.LOAD_NOT_REACHED {
			continue
		} else if c != want {
			wrong[c]++
		}
		times = append(times, time.Duration(ns[i]))
	}
	slices.Sort(times)
	return times, wrong
}

func (r loadResult) name(n int) string {
	switch {
	case n == 0:
		return "start"
	case n > len(r.steps):
		return "transaction"
	}
	return lower(r.steps[n-1].name)
}

// failures says which steps failed how often.
func (r loadResult) failures() []string {
	var all []string
	for n := range len(r.steps) + 1 {
		_, wrong := r.column(n)
		codes := make([]code, 0, len(wrong))
		for c := range wrong {
			codes = append(codes, c)
		}
		slices.Sort(codes)
		for _, c := range codes {
			text := c.text() + " (" + c.name() + ")"
			if c == C.LOAD_UNANSWERED {
				text = "no answer for a question"
			}
			all = append(all, r.name(n)+": "+text+", "+strconv.Itoa(wrong[c])+" of "+strconv.Itoa(int(r.load.repeat))+" times")
		}
	}
	return all
}

var percentiles = []struct {
	name string
	of   float64
}{{"min", 0}, {"p50", .5}, {"p90", .9}, {"p99", .99}, {"max", 1}}

// percentile is the nearest-rank one of sorted times.
func percentile(times []time.Duration, of float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	rank := int(of*float64(len(times))+0.9999999) - 1
	return times[max(0, min(rank, len(times)-1))]
}

// table is for a person, in milliseconds.
func (r loadResult) table() string {
	head := []string{"", "", "n"}
	for _, p := range percentiles {
		head = append(head, p.name)
	}
	rows := [][]string{head}
	for n := range len(r.steps) + 2 {
		times, _ := r.column(n)
		row := []string{"", r.name(n), strconv.Itoa(len(times))}
		for _, p := range percentiles {
			row = append(row, ms(percentile(times, p.of)))
		}
		rows = append(rows, row)
	}
	processes := strconv.Itoa(int(r.load.workers)) + " processes"
	if r.load.workers == 1 {
		processes = "1 process"
	}
	return strconv.Itoa(int(r.load.repeat)) + " transactions by " + processes + " in " + ms(r.took) + " ms, " +
		strconv.FormatFloat(float64(r.load.repeat)/r.took.Seconds(), 'f', 1, 64) + " a second, " +
		ms(r.cpu/time.Duration(int(r.load.repeat)+r.warmup*int(r.load.workers))) + " ms of CPU each; in ms:\n" + align(rows)
}

// align sets columns under each other; those of numbers, behind the second, stand to the right.
func align(rows [][]string) string {
	width := make([]int, 8)
	for _, row := range rows {
		for i := range row {
			width[i] = max(width[i], len(row[i]))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := "  "
		for n, cell := range row {
			pad := strings.Repeat(" ", width[n]-len(cell))
			if n >= 2 {
				cell, pad = pad, cell
			}
			line += cell + pad + "  "
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

func (r loadResult) object() object {
	var o object
	o.text("op", "repeat")
	o.number("transactions", int64(r.load.repeat))
	o.number("processes", int64(r.load.workers))
	o.number("us", r.took.Microseconds())
	o.number("cpu_us", r.cpu.Microseconds())
	var steps []object
	for n := range len(r.steps) + 2 {
		times, wrong := r.column(n)
		failed := 0
		for _, k := range wrong {
			failed += k
		}
		var each object
		each.text("op", r.name(n))
		each.number("n", int64(len(times)))
		each.number("failed", int64(failed))
		for _, p := range percentiles {
			each.number(p.name+"_us", percentile(times, p.of).Microseconds())
		}
		steps = append(steps, each)
	}
	o.objects("steps", steps)
	return o
}
