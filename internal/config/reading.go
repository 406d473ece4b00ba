package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/pwb-project/pwb/internal/secret"
)

// source is one of the files: its keys, and who may do what with it.
type source struct {
	name  string
	keys  []key
	trust func(Loader) trust
}

var sources = []source{
	{ServerFile, serverKeys, func(l Loader) trust { return l.public }},
	{SecretFile, secretKeys, func(l Loader) trust { return l.private("client secret") }},
	{OwnFile, ownKeys, func(l Loader) trust { return l.public }},
}

// reading collects settings and problems of one Load.
type reading struct {
	config   *Config
	loader   Loader
	given    map[string]setting // of the keys that pwb knows; no key is in two files
	unread   map[string]error   // why a file was not read, by path; fs.ErrNotExist when it is not there
	problems Problems
}

func newReading(l Loader) *reading {
	return &reading{config: &Config{loader: l}, loader: l, given: map[string]setting{}, unread: map[string]error{}}
}

// finish makes a Config of what was read.
func (r *reading) finish() (*Config, error) {
	r.apply()
	_, given := r.given["username-collision"]
	r.config.RejectNames = given && !r.config.SuffixNames
	r.web()
	if !r.switchedOff() {
		r.cross()
	}
	if r.problems.serious() {
		return r.config, r.problems
	}
	r.config.Warnings = r.problems
	if r.switchedOff() && r.config.Web.TicketKeys == "" { // a node that takes session tickets alone needs no provider
		return r.config, fmt.Errorf("%w: %s does not say auth-openid=1", ErrNotConfigured, r.path(ServerFile))
	}
	return r.config, nil
}

func (r *reading) path(name string) string { return r.loader.Root.Join(name) }

func (r *reading) problem(file string, line int, format string, args ...any) {
	r.problems = append(r.problems, Problem{File: file, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (r *reading) warning(file string, line int, format string, args ...any) {
	r.problems = append(r.problems, Problem{File: file, Line: line, Warning: true, Text: fmt.Sprintf(format, args...)})
}

func (r *reading) read(from source) {
	path := r.path(from.name)
	text, err := readFile(path, from.trust(r.loader))
	if err != nil {
		r.unread[path] = err
		if !errors.Is(err, fs.ErrNotExist) { // cross says so, where it matters
			r.problem(path, 0, "%v", err)
		}
		return
	}
	r.text(from, path, text)
}

func (r *reading) text(from source, path string, text []byte) {
	settings, problems := parse(path, text)
	r.problems = append(r.problems, problems...)
	for _, s := range settings {
		for _, one := range r.splitLine(from, s) {
			r.take(from, one)
		}
	}
}

// splitLine forgives the guide's web page, which shows both keys of the secret's file on one line.
func (r *reading) splitLine(from source, s setting) []setting {
	other := map[string]string{"client-id": "client-secret", "client-secret": "client-id"}[s.key]
	if from.name != SecretFile || other == "" {
		return []setting{s}
	}
	first, second, found := cutKey(s.raw, other)
	if !found {
		return []setting{s}
	}
	r.warning(s.file, s.line, "client-id and client-secret stand on one line; give each its own")
	return []setting{
		{key: s.key, value: unquote(first), raw: first, file: s.file, line: s.line},
		{key: other, value: unquote(second), raw: second, file: s.file, line: s.line},
	}
}

// cutKey cuts a value before a key that follows in the same line.
func cutKey(raw, key string) (before, after string, found bool) {
	for from := 0; ; {
		at := strings.Index(raw[from:], key)
		if at < 0 {
			return raw, "", false
		}
		at += from
		rest, equals := strings.CutPrefix(strings.TrimLeft(raw[at+len(key):], " \t"), "=")
		if equals && at > 0 && (raw[at-1] == ' ' || raw[at-1] == '\t') {
			return strings.TrimSpace(raw[:at]), strings.TrimSpace(rest), true
		}
		from = at + len(key)
	}
}

// take keeps a setting, or says why not.
func (r *reading) take(from source, s setting) {
	if !slices.Contains(names(from.keys), s.key) {
		r.unknown(from, s)
		return
	}
	if before, doubled := r.given[s.key]; doubled {
		r.problem(s.file, s.line, "%s stands in line %d already; keep one of them", s.key, before.line)
		return
	}
	if strings.ContainsFunc(s.raw, unseen) {
		r.problem(s.file, s.line, "%s: a character that cannot be seen, as web pages have them; type the value anew", s.key)
	}
	if value, comment := cutComment(s.raw); comment && from.name != SecretFile {
		r.problem(s.file, s.line, "%s: a comment after a value would be part of it; put it on a line of its own", s.key)
		s.value = unquote(value)
	}
	r.given[s.key] = s
}

// cutComment finds what an operator means as a comment, and the parser takes for a part of the value.
func cutComment(raw string) (value string, found bool) {
	at := strings.IndexByte(raw, '#')
	if at < 1 || raw[at-1] != ' ' && raw[at-1] != '\t' {
		return raw, false
	}
	return strings.TrimSpace(raw[:at]), true
}

// unknown is about a key that pwb does not read from this file.
func (r *reading) unknown(from source, s setting) {
	if visible := withoutUnseen(s.key); visible != s.key && homeOf(visible) != "" {
		r.problem(s.file, s.line, "%s: a character that cannot be seen, as web pages have them; type the line anew", visible)
		return
	}
	known := names(from.keys)
	near := nearest(s.key, known)
	home := homeOf(s.key)
	advice := "see pwb.conf(5)"
	switch {
	case home != "":
		advice = "it belongs into " + path.Base(home)
	case near != "":
		advice = "did you mean " + near + "?"
	}
	switch from.name {
	case ServerFile: // Workbench has hundreds
		r.foreign(s, near, home)
	case SecretFile: // The text is not repeated: it may be a piece of the secret, folded by an editor.
		r.problem(s.file, s.line, "neither client-id nor client-secret stands before the '='; %s", advice)
	default:
		r.problem(s.file, s.line, "unknown key %q; %s", s.key, advice)
	}
}

func (r *reading) foreign(s setting, near, home string) {
	switch {
	case home != "":
		r.warning(s.file, s.line, "%s is not read from this file; it belongs into %s", s.key, path.Base(home))
	case near != "" && editDistance(near, strings.ToLower(s.key)) <= 2:
		r.warning(s.file, s.line, "%s is not a key of pwb's; did you mean %s?", s.key, near)
	}
	if slices.Contains(r.config.Foreign, s.key) {
		r.warning(s.file, s.line, "%s stands in the file twice; pwb does not read it, Workbench may mind", s.key)
		return
	}
	r.config.Foreign = append(r.config.Foreign, s.key)
}

// homeOf returns the file that a key of pwb's belongs into, or "".
func homeOf(key string) string {
	for _, from := range sources {
		if slices.Contains(names(from.keys), key) {
			return from.name
		}
	}
	return ""
}

// minimumUserID puts the number in the place of "auto": UID_MIN of login.defs(5), or the default.
func (r *reading) minimumUserID() {
	const name = "auth-minimum-user-id"
	if s, given := r.given[name]; given && s.value != "auto" {
		return
	}
	delete(r.given, name)
	path := r.path(loginDefs)
	text, err := readFile(path, r.loader.public)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		r.problem(path, 0, "%v (it says what auth-minimum-user-id=auto is)", err)
		return
	}
	if uid, line := uidMin(text); line > 0 {
		r.given[name] = setting{key: name, value: strconv.FormatUint(uint64(uid), 10), file: path, line: line}
	}
}

// apply sets every field of the Config, from the files or by default.
func (r *reading) apply() {
	for _, from := range sources {
		for _, k := range from.keys {
			s, given := r.given[k.name]
			if k.name == "user-provisioning-enabled" {
				r.config.provisioningGiven = given
			}
			if !given {
				s.value = k.fallback
			}
			if given && s.value == "" { // "no group is required" must not be what is left of a template
				r.problem(s.file, s.line, "%s is empty; give it a value, or remove the line for the default", k.name)
				continue
			}
			if err := k.set(r.config, s.value); err != nil {
				r.problem(s.file, s.line, "%s=%.200s: %v", k.name, shown(k, s.value), err)
				continue
			}
			r.config.InForce = append(r.config.InForce, InForce{k.name, shown(k, s.value), s.file, s.line})
		}
	}
}

// shown is a value as it may be printed.
func shown(k key, value string) string {
	switch {
	case !k.secret || value == "":
		return value
	case secret.Sealed(value):
		return "[encrypted by pwb]"
	case secret.SealedByWorkbench(value):
		return "[encrypted by Workbench]"
	}
	return "[plain text; pwb encrypt-password encrypts it]"
}

// switchedOff says that the operator does not want OpenID Connect, as far as can be told: not when rserver.conf could
// not be read, or has a value of auth-openid that is none.
func (r *reading) switchedOff() bool {
	err := r.unread[r.path(ServerFile)]
	s, given := r.given["auth-openid"]
	return (err == nil || errors.Is(err, fs.ErrNotExist)) && (!given || s.value == "0")
}
