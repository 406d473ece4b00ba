package main

import (
	"strconv"
	"strings"
	"time"
)

// options is the command line.
type options struct {
	verbose     bool
	verboseSeen bool     // -v0 -v is twice as well
	items       []string // NAME or NAME=VALUE
	env         []string
	service     string
	user        string
	ops         []operation
	longOptions
}

// usageError is a command line that cannot be meant; its text is what the original prints after the program's name.
type usageError string

func (e usageError) Error() string { return string(e) }

const errUsage = usageError("usage")

// parse takes the grammar of the original as it is: options stand before the service, a value may follow its letter at once,
// and "-" alone is an option. What the original ignored in silence is refused, but for the options that are new here. With an
// error come the options that were understood before it.
func parse(args []string) (*options, error) {
	o := &options{longOptions: newLongOptions()}
	if len(args) == 0 {
		return o, errUsage
	}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		rest, err := o.option(args[0], args[1:])
		if err != nil {
			return o, err
		}
		args = rest
	}
	if o.help || o.version {
		return o, nil
	}
	if err := o.words(args); err != nil {
		return o, err
	}
	return o, o.agree()
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
		shown := "v"
		if word != "-v" {
			shown = word
		}
		return rest, o.setVerbose(shown, word[2:])
	case strings.HasPrefix(word, "-I"):
		return value(word[2:], rest, &o.items)
	case strings.HasPrefix(word, "-E"):
		return value(word[2:], rest, &o.env)
	}
	return nil, usageError(`unknown option "` + word + `"`)
}

// setVerbose takes the number that may follow -v, as C does by strtoul(3) into an int: 0, what is no number and what comes out negative
// are not verbose.
func (o *options) setVerbose(shown, level string) error {
	if o.verboseSeen {
		return usageError(`Option "` + shown + `" may not be specified twice or more`)
	}
	o.verboseSeen = true
	n := uint64(1)
	if level != "" {
		level = strings.TrimLeft(level, " \t\n\v\f\r")
		digits, minus := strings.CutPrefix(level, "-")
		if !minus {
			digits = strings.TrimPrefix(level, "+")
		}
		digits = digits[:len(digits)-len(strings.TrimLeft(digits, "0123456789"))]
		var err error
		if n, err = strconv.ParseUint(digits, 10, 64); minus && err == nil {
			n = -n
		}
	}
	o.verbose = int32(n) > 0
	return nil
}

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

// long takes an option of two dashes. The original has --verbose, --item and --env, and ignored a value behind an equals sign.
func (o *options) long(word string, rest []string) ([]string, error) {
	name, inline, has := strings.Cut(word, "=")
	switch name {
	case "verbose":
		return rest, o.setVerbose("verbose", inline)
	case "item", "env":
		to := &o.items
		if name == "env" {
			to = &o.env
		}
		if has {
			*to = append(*to, inline)
			return rest, nil
		}
		return value("", rest, to)
	}
	if claim := o.claim(name); claim != nil && !has {
		*claim = true
		return rest, nil
	}
	set := o.setter(name)
	if set == nil {
		return nil, usageError(`unknown option "--` + word + `"`)
	}
	if !has {
		if len(rest) == 0 {
			return nil, usageError(`Option "` + name + `" requires a parameter.`)
		}
		inline, rest = rest[0], rest[1:]
	}
	return rest, set(inline)
}

// duration reads seconds, or a time such as 500ms.
func duration(s string) (time.Duration, bool) {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second, n > 0
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d > 0
}
