package main

import (
	"strconv"
	"strings"
	"time"
)

// longOptions are those that the original has not; it ignored every word like them, so no script can notice that they are there.
type longOptions struct {
	help, version bool

	confdir     string
	stack       []string // lines of a service of one's own
	module      string   // FILE and arguments
	moduleTypes []string

	secretFile  string
	secretFD    int
	answersFile string
	tty         bool

	expect   map[string]string // operation to the name or number of a PAM code
	exitCode bool
	cleanup  bool
	noDelay  bool
	timeout  time.Duration
	hex      bool // flags may be hexadecimal numbers

	json   bool
	timing bool
	trace  bool

	repeat, warmup, concurrency int
}

func newLongOptions() longOptions { return longOptions{secretFD: -1, concurrency: 1} }

// claim returns where an option without a value is kept.
func (o *longOptions) claim(name string) *bool {
	switch name {
	case "help":
		return &o.help
	case "version":
		return &o.version
	case "tty":
		return &o.tty
	case "exit-code":
		return &o.exitCode
	case "cleanup":
		return &o.cleanup
	case "no-fail-delay":
		return &o.noDelay
	case "hex":
		return &o.hex
	case "json":
		return &o.json
	case "timing":
		return &o.timing
	case "trace":
		return &o.trace
	}
	return nil
}

// setter returns what takes an option's value.
func (o *longOptions) setter(name string) func(string) error {
	switch name {
	case "confdir":
		return func(v string) error { o.confdir = v; return nil }
	case "stack":
		return func(v string) error { o.stack = append(o.stack, v); return nil }
	case "module":
		return func(v string) error { o.module = v; return nil }
	case "type":
		return o.setType
	case "secret-file":
		return func(v string) error { o.secretFile = v; return nil }
	case "secret-fd":
		return o.setSecretFD
	case "answers":
		return func(v string) error { o.answersFile = v; return nil }
	case "expect":
		return o.setExpect
	case "timeout":
		return o.setTimeout
	case "repeat":
		return func(v string) error { return count(name, v, 1, &o.repeat) }
	case "warmup":
		return func(v string) error { return count(name, v, 0, &o.warmup) }
	case "concurrency":
		return func(v string) error { return count(name, v, 1, &o.concurrency) }
	}
	return nil
}

func (o *longOptions) setType(v string) error {
	for _, t := range strings.Split(v, ",") {
		if typeOf(t) == anyType {
			return usageError(`--type "` + v + `" is not auth, account, session or password`)
		}
		o.moduleTypes = append(o.moduleTypes, t)
	}
	return nil
}

func (o *longOptions) setSecretFD(v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return usageError(`--secret-fd "` + v + `" is no descriptor`)
	}
	o.secretFD = n
	return nil
}

func (o *longOptions) setTimeout(v string) error {
	d, ok := duration(v)
	if !ok {
		return usageError(`--timeout "` + v + `" is no time, such as 10 or 500ms`)
	}
	o.timeout = d
	return nil
}

func (o *longOptions) setExpect(v string) error {
	op, want, found := strings.Cut(v, "=")
	if _, ok := codeOf(want); !found || !ok {
		return usageError(`--expect "` + v + `" is not OPERATION=PAM_CODE`)
	}
	if _, known := done[lower(op)]; !known {
		return usageError(`--expect "` + v + `" names no call of libpam`)
	}
	if o.expect == nil {
		o.expect = map[string]string{}
	}
	o.expect[lower(op)] = want
	return nil
}

const maxCount = 10_000_000

func count(name, v string, least int, to *int) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > maxCount {
		return usageError("--" + name + ` "` + v + `" is no number from ` + strconv.Itoa(least) + " to " + strconv.Itoa(maxCount))
	}
	*to = n
	return nil
}

// agree refuses options that cannot be meant together.
func (o *options) agree() error {
	switch {
	case o.module != "" && len(o.stack) > 0:
		return usageError("--module and --stack both make the service")
	case o.module == "" && o.moduleTypes != nil:
		return usageError("--type goes with --module")
	case o.secretFile != "" && o.secretFD >= 0:
		return usageError("--secret-file and --secret-fd both give the secret")
	case o.repeat == 0 && (o.concurrency > 1 || o.warmup > 0):
		return usageError("--concurrency and --warmup go with --repeat")
	case o.repeat > 0 && o.trace:
		return usageError("--trace shows one run, not --repeat")
	}
	return nil
}
