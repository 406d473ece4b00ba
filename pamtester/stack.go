package main

import (
	"strconv"
	"strings"
)

// This file reads the lines of service files exactly as libpam does (pam_handlers.c, pam_misc.c): what it takes for a token or a control
// decides what --trace draws, and a difference would be a lie about the stack.

type moduleType int

const (
	anyType moduleType = iota
	authType
	accountType
	sessionType
	passwordType
)

func typeOf(word string) moduleType {
	for i, name := range []string{"auth", "account", "session", "password"} {
		if lower(word) == name {
			return moduleType(i + 1)
		}
	}
	return anyType
}

type lineKind int

const (
	moduleLine   lineKind = iota
	includeLine           // TYPE include FILE
	substackLine          // TYPE substack FILE
	atLine                // @include FILE, where this libpam knows it
	badLine               // libpam refuses every time that it comes by
)

// line is a line of a service file, continuations taken together and the comment off.
type line struct {
	id     int
	file   *serviceFile
	number int    // where it begins in the file
	text   string // as libpam sees it
	kind   lineKind
	typ    moduleType // anyType: the type was bad, and libpam takes the most sensitive one there is

	typeWord, control, target token
	rest                      string // arguments, as written
	actions                   actions
	into                      *serviceFile // what it includes; nil when that cannot be read
}

// token is a word: as written, and as it is meant.
type token struct{ raw, value string }

const space = " \n\t"

// nextToken takes the first word of s. One that begins with [ goes to the next ] without a backslash before it.
func nextToken(s string) (t token, rest string, found bool) {
	s = strings.TrimLeft(s, space)
	if s == "" {
		return token{}, "", false
	}
	if s[0] != '[' {
		n := strings.IndexAny(s, space)
		if n < 0 {
			return token{s, s}, "", true
		}
		return token{s[:n], s[:n]}, s[n:], true
	}
	value := make([]byte, 0, len(s))
	i := 1
	for ; i < len(s) && s[i] != ']'; i++ {
		if s[i] == '\\' && i+1 < len(s) && s[i+1] == ']' {
			i++
		}
		value = append(value, s[i])
	}
	if i == len(s) {
		return token{s, string(value)}, "", true
	}
	return token{s[:i+1], string(value)}, s[i+1:], true
}

// tokens are the words of s as they are meant.
func tokens(s string) (all []string) {
	for t, rest, found := nextToken(s); found; t, rest, found = nextToken(rest) {
		all = append(all, t.value)
	}
	return all
}

// parse tells what a logical line is.
func (lib *library) parse(text string) line {
	l := line{text: text}
	var rest string
	l.typeWord, rest, _ = nextToken(text)
	typ := strings.TrimPrefix(l.typeWord.value, "-") // as it stands there, it is for libpam's log alone
	if lib.atInclude && lower(typ) == "@include" {
		l.kind = atLine
		l.target, l.rest, _ = nextToken(rest)
		return l
	}
	l.typ = typeOf(typ)
	if l.typ == anyType {
		l.kind = badLine
	}
	var hasControl, hasTarget bool
	l.control, rest, hasControl = nextToken(rest)
	l.target, l.rest, hasTarget = nextToken(rest)
	switch control := l.control.value; {
	case hasControl && lower(control) == "include":
		l.kind = includeLine
	case hasControl && lower(control) == "substack":
		l.kind = substackLine
	case !hasControl || !hasTarget:
		l.kind = badLine
	}
	l.actions = parseActions(l.control.value, hasControl)
	return l
}

// actions says for each code what libpam does about it: a number of lines to jump over, or one of these.
type actions [maxCode + 1]int

const (
	doIgnore = 0
	doOK     = -1
	doDone   = -2
	doBad    = -3
	doDie    = -4
	doReset  = -5
	doUndef  = -6
)

const (
	newAuthtokReqd code = 12
	permDenied     code = 6 // libpam's answer where it must fail
	ignored        code = 25
	abort          code = 26
	incomplete     code = 31
)

var actionNames = [...]string{"ignore", "ok", "done", "bad", "die", "reset"}

// returnWords are the codes in controls, by number, and default.
const returnWords = "success open_err symbol_err service_err system_err buf_err perm_denied auth_err cred_insufficient " +
	"authinfo_unavail user_unknown maxtries new_authtok_reqd acct_expired session_err cred_unavail cred_expired cred_err " +
	"no_module_data conv_err authtok_err authtok_recover_err authtok_lock_busy authtok_disable_aging try_again ignore abort " +
	"authtok_expired module_unknown bad_item conv_again incomplete default"

func parseActions(control string, given bool) actions {
	a := all(doUndef)
	otherwise := doBad
	switch word := lower(control); {
	case !given:
	case word == "required":
		a[success], a[newAuthtokReqd], a[ignored] = doOK, doOK, doIgnore
	case word == "requisite":
		a[success], a[newAuthtokReqd], a[ignored] = doOK, doOK, doIgnore
		otherwise = doDie
	case word == "optional":
		a[success], a[newAuthtokReqd] = doOK, doOK
		otherwise = doIgnore
	case word == "sufficient":
		a[success], a[newAuthtokReqd] = doDone, doDone
		otherwise = doIgnore
	default:
		a.parse(control)
	}
	a.fill(otherwise)
	return a
}

// fill gives an action to every code that has none.
func (a *actions) fill(action int) {
	for i := range a {
		if a[i] == doUndef {
			a[i] = action
		}
	}
}

func all(action int) (a actions) {
	for i := range a {
		a[i] = action
	}
	return a
}

// parse reads return=action ...; whatever is wrong makes every code bad, as in libpam.
func (a *actions) parse(control string) {
	const blank = " \t\n\v\f\r"
	for rest := strings.TrimLeft(control, blank); rest != ""; rest = strings.TrimLeft(rest, blank) {
		ret, after := prefixOf(rest, strings.Fields(returnWords))
		after, equals := strings.CutPrefix(strings.TrimLeft(after, blank), "=")
		after = strings.TrimLeft(after, blank)
		action, after, ok := cutAction(after)
		if ret < 0 || !equals || !ok {
			*a = all(doBad)
			return
		}
		if ret < len(a) {
			a[ret] = action
		} else {
			a.fill(action)
		}
		rest = after
	}
}

func prefixOf(s string, names []string) (n int, rest string) {
	for i, name := range names {
		if after, ok := strings.CutPrefix(s, name); ok {
			return i, after
		}
	}
	return -1, s
}

// cutAction takes a word, or the number of lines to jump over, which is not 0.
func cutAction(s string) (action int, rest string, ok bool) {
	if i, after := prefixOf(s, actionNames[:]); i >= 0 {
		return -i, after, true
	}
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	n, err := strconv.ParseInt(s[:digits], 10, 32) // a greater one is refused since 1.6, and nobody knows what before
	return int(n), s[digits:], err == nil && n > 0
}
