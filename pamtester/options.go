package main

import (
	"strconv"
	"strings"
	"time"
)

// options is the command line.
type options struct {
	verbose bool
	items   []string // NAME or NAME=VALUE
	env     []string
	service string
	user    string
	ops     []operation

	confdir    string
	secretFile string
	secretFD   int
	timeout    time.Duration
	exitCode   bool
	json       bool
	timing     bool
	cleanup    bool
	noDelay    bool
	expect     map[string]string // operation to the name or number of a PAM code
	help       bool
	version    bool
}

// operation is a word such as setcred(PAM_ESTABLISH_CRED).
type operation struct {
	name string // as it was written
	args string // what is between the parentheses
	want string // PAM code that is expected, from NAME=CODE; "" is success
}

// usageError is a command line that cannot be meant; its text is what the original prints after the program's name.
type usageError string

func (e usageError) Error() string { return string(e) }

const errUsage = usageError("usage")

// parse takes the grammar of the original as it is: options stand before the service, a value may follow its letter at once,
// and "-" alone is an option. What the original ignored in silence is refused, but for the options that are new here.
func parse(args []string) (*options, error) {
	o := &options{secretFD: -1, expect: map[string]string{}}
	if len(args) == 0 {
		return nil, errUsage
	}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		rest, err := o.option(args[0], args[1:])
		if err != nil {
			return nil, err
		}
		args = rest
	}
	if o.help || o.version {
		return o, nil
	}
	return o, o.words(args)
}

func (o *options) words(args []string) error {
	for i, missing := range []string{"please specify service name.", "please specify user name.", "specify one or more operations."} {
		if len(args) <= i {
			return usageError(missing)
		}
	}
	o.service, o.user = args[0], args[1]
	for _, word := range args[2:] {
		op, err := parseOperation(word)
		if err != nil {
			return err
		}
		o.ops = append(o.ops, op)
	}
	return nil
}

// option takes one option and its value, and returns the words behind.
func (o *options) option(word string, rest []string) ([]string, error) {
	switch {
	case word == "-", word == "--": // as the original: ignored, and options may follow
		return rest, nil
	case strings.HasPrefix(word, "--"):
		return o.long(word[2:], rest)
	case strings.HasPrefix(word, "-v"):
		return rest, o.setVerbose(word[1:], word[2:])
	case strings.HasPrefix(word, "-I"):
		return value(word[2:], rest, &o.items)
	case strings.HasPrefix(word, "-E"):
		return value(word[2:], rest, &o.env)
	}
	return nil, usageError(`unknown option "` + word + `"`)
}

// setVerbose takes the digits that may follow -v: 0, and what is no number, is not verbose.
func (o *options) setVerbose(shown, level string) error {
	if o.verboseSeen() {
		return usageError(`Option "` + shown + `" may not be specified twice or more`)
	}
	n := uint64(1)
	if level != "" {
		digits := level[:len(level)-len(strings.TrimLeft(level, "0123456789"))]
		n, _ = strconv.ParseUint(digits, 10, 64)
	}
	o.expect[verboseKey] = ""
	o.verbose = n > 0
	return nil
}

const verboseKey = "-v" // marks in expect that the option was seen, so that -v0 -v is still twice

func (o *options) verboseSeen() bool { _, seen := o.expect[verboseKey]; return seen }

// value takes the value of -I or -E. One that is missing is the end of the line, where the service is missed first.
func value(inline string, rest []string, to *[]string) ([]string, error) {
	if inline != "" {
		*to = append(*to, inline)
		return rest, nil
	}
	if len(rest) == 0 {
		return nil, nil
	}
	*to = append(*to, rest[0])
	return rest[1:], nil
}

func (o *options) long(word string, rest []string) ([]string, error) {
	name, inline, has := strings.Cut(word, "=")
	switch name {
	case "verbose":
		if has {
			return rest, o.setVerbose("verbose", inline)
		}
		return rest, o.setVerbose("verbose", "")
	case "item":
		return pair(inline, has, rest, &o.items)
	case "env":
		return pair(inline, has, rest, &o.env)
	case "help":
		o.help = true
		return rest, nil
	case "version":
		o.version = true
		return rest, nil
	}
	if set, ok := o.switches()[name]; ok && !has {
		*set = true
		return rest, nil
	}
	if set, ok := o.values()[name]; ok {
		if !has {
			if len(rest) == 0 {
				return nil, usageError(`Option "` + name + `" requires a parameter.`)
			}
			inline, rest = rest[0], rest[1:]
		}
		return rest, set(inline)
	}
	return nil, usageError(`unknown option "--` + word + `"`)
}

func pair(inline string, has bool, rest []string, to *[]string) ([]string, error) {
	if has {
		*to = append(*to, inline)
		return rest, nil
	}
	return value("", rest, to)
}

// switches and values are the options that the original has not.
func (o *options) switches() map[string]*bool {
	return map[string]*bool{
		"exit-code": &o.exitCode, "json": &o.json, "timing": &o.timing, "cleanup": &o.cleanup, "no-fail-delay": &o.noDelay,
	}
}

func (o *options) values() map[string]func(string) error {
	return map[string]func(string) error{
		"confdir":     func(v string) error { o.confdir = v; return nil },
		"secret-file": func(v string) error { o.secretFile = v; return nil },
		"secret-fd": func(v string) error {
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				return usageError(`--secret-fd "` + v + `" is no descriptor`)
			}
			o.secretFD = n
			return nil
		},
		"timeout": func(v string) error {
			d, err := time.ParseDuration(v)
			if n, numErr := strconv.Atoi(v); numErr == nil {
				d, err = time.Duration(n)*time.Second, nil
			}
			if err != nil || d <= 0 {
				return usageError(`--timeout "` + v + `" is no time, such as 10 or 500ms`)
			}
			o.timeout = d
			return nil
		},
		"expect": func(v string) error {
			op, want, found := strings.Cut(v, "=")
			if _, ok := codeOf(want); !found || !ok {
				return usageError(`--expect "` + v + `" is not OPERATION=PAM_CODE`)
			}
			o.expect[strings.ToLower(op)] = want
			return nil
		},
	}
}

// parseOperation splits NAME(ARGS) at the first parenthesis; the last character closes it. NAME=PAM_CODE says what is
// expected of an operation without arguments.
func parseOperation(word string) (operation, error) {
	name, args, has := strings.Cut(word, "(")
	if !has {
		if op, want, found := strings.Cut(word, "="); found {
			if _, ok := codeOf(want); ok {
				return operation{name: op, want: want}, nil
			}
		}
		return operation{name: word}, nil
	}
	args, want, _ := cutExpectation(args)
	if !strings.HasSuffix(args, ")") || name == "" {
		return operation{}, usageError(`incorrect op_name spec "` + word + `".`)
	}
	return operation{strings.TrimRight(name, blanks), strings.Trim(args[:len(args)-1], blanks), want}, nil
}

// cutExpectation takes =PAM_CODE off the end of "ARGS)=PAM_CODE".
func cutExpectation(s string) (args, want string, found bool) {
	i := strings.LastIndex(s, ")=")
	if i < 0 {
		return s, "", false
	}
	if _, ok := codeOf(s[i+2:]); !ok {
		return s, "", false
	}
	return s[:i+1], s[i+2:], true
}
