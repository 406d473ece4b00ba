package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/pwb-project/pwb/internal/config"
)

// rule is one line of a PAM service file, with the file that it stands in.
type rule struct {
	file    string
	line    int
	kind    string // auth, account, session, password
	control string
	module  string
	args    []string
}

func (r rule) at() string { return fmt.Sprintf("%s:%d", r.file, r.line) }

func (r rule) ours() bool { return filepath.Base(r.module) == "pam_pwb.so" }

var ruleForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^-?(auth|account|session|password)\s+(\[[^\]]*\]|\S+)\s+(\S+)\s*(.*)$`)
})

const maxIncludes = 16

// readService reads a service file as libpam does, with what it includes in its place: the order decides.
func readService(r config.Root, name string) ([]rule, error) {
	return readServiceFile(r.Join("/etc/pam.d"), name, "", 0)
}

func readServiceFile(dir, name, only string, depth int) (rules []rule, err error) {
	if depth > maxIncludes {
		return nil, fmt.Errorf("%s: includes itself", name)
	}
	path := name
	if !filepath.IsAbs(name) {
		path = filepath.Join(dir, name)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	text, n := "", 0
	for lines.Scan() {
		n++
		line, _, _ := strings.Cut(lines.Text(), "#")
		text += line
		if before, more := strings.CutSuffix(text, `\`); more {
			text = before + " "
			continue
		}
		added, err := readRule(dir, path, n, strings.TrimSpace(text), only, depth)
		if err != nil {
			return nil, err
		}
		rules = append(rules, added...)
		text = ""
	}
	return rules, lines.Err()
}

func readRule(dir, path string, n int, text, only string, depth int) ([]rule, error) {
	if included, ok := strings.CutPrefix(text, "@include"); ok {
		return readServiceFile(dir, strings.TrimSpace(included), only, depth+1)
	}
	m := ruleForm().FindStringSubmatch(strings.ToLower(firstWord(text)) + strings.TrimPrefix(text, firstWord(text)))
	if m == nil || only != "" && m[1] != only {
		return nil, nil
	}
	if m[2] == "include" || m[2] == "substack" {
		return readServiceFile(dir, m[3], m[1], depth+1)
	}
	return []rule{{path, n, m[1], m[2], m[3], strings.Fields(m[4])}}, nil
}

func firstWord(s string) string {
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i]
	}
	return s
}

// outcome is what a control says to do about a return value: required and its kin are short for lists (pam.conf(5)).
func outcome(control, value string) string {
	short := map[string]string{
		"required":   "success=ok new_authtok_reqd=ok ignore=ignore default=bad",
		"requisite":  "success=ok new_authtok_reqd=ok ignore=ignore default=die",
		"sufficient": "success=done new_authtok_reqd=done default=ignore",
		"optional":   "success=ok new_authtok_reqd=ok default=ignore",
	}
	list := strings.Trim(control, "[]")
	if long, ok := short[strings.ToLower(control)]; ok {
		list = long
	}
	fallback := "ignore" // libpam's, for a value that is not in the list
	for _, pair := range strings.Fields(list) {
		name, action, _ := strings.Cut(pair, "=")
		switch name {
		case value:
			return action
		case "default":
			fallback = action
		}
	}
	return fallback
}

// checkService looks for the ways in which a stack that names pam_pwb.so lets in whom pwb refuses, or refuses everybody else.
func checkService(r config.Root, name string) (all []finding) {
	rules, err := readService(r, name)
	if err != nil {
		return []finding{{"pam", serious, err.Error(), ""}}
	}
	uses := map[string]bool{}
	for i, rule := range rules {
		if !rule.ours() {
			continue
		}
		uses[rule.kind] = true
		switch rule.kind {
		case "account":
			all = append(all, checkAccountRule(rules[:i], rule)...)
		case "auth":
			if action := outcome(rule.control, "auth_err"); action == "ignore" && strings.EqualFold(rule.control, "optional") {
				all = append(all, finding{"pam", serious, rule.at() + ": auth optional: a wrong ticket is no obstacle when nothing else decides", "write sufficient, or required"})
			}
		}
	}
	switch {
	case len(uses) == 0:
		return []finding{{"pam", serious, name + " does not name pam_pwb.so", "see pam_pwb(8) for lines that work"}}
	case uses["auth"] && !uses["account"]:
		all = append(all, finding{"pam", serious, name + " has pam_pwb.so for auth, and not for account: locking, groups and lists decide nothing",
			"add: account [success=ok new_authtok_reqd=ok user_unknown=ignore default=bad] pam_pwb.so"})
	case uses["auth"] && !uses["session"]:
		all = append(all, finding{"pam", odd, name + " does not make homes", "add: session required pam_pwb.so"})
	}
	if uses["session"] && slices.ContainsFunc(rules, func(r rule) bool { return r.kind == "session" && filepath.Base(r.module) == "pam_mkhomedir.so" }) {
		all = append(all, finding{"pam", odd, name + " has pam_mkhomedir.so too: whichever is first makes the home", "remove that line"})
	}
	if len(all) == 0 {
		all = append(all, finding{"pam", fine, name + ": " + strings.Join(slices.Sorted(keysOf(uses)), ", "), ""})
	}
	return all
}

func keysOf(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// checkAccountRule: the account phase is where access ends, for keys and cron jobs too, so its no must be a no (authd and himmelblau
// have shipped lines in which it was not), and nothing before may make it unheard.
func checkAccountRule(before []rule, r rule) (all []finding) {
	for _, value := range []string{"acct_expired", "perm_denied", "authinfo_unavail"} {
		switch action := outcome(r.control, value); action {
		case "bad", "die":
		default:
			all = append(all, finding{"pam", serious, fmt.Sprintf("%s: account %s: %s becomes %q, so who is refused gets in", r.at(), r.control, strings.ToUpper("pam_"+value), action),
				"write: account [success=ok new_authtok_reqd=ok user_unknown=ignore default=bad] pam_pwb.so"})
			return all
		}
	}
	if action := outcome(r.control, "user_unknown"); action == "bad" || action == "die" {
		all = append(all, finding{"pam", odd, fmt.Sprintf("%s: account %s refuses everybody who is not pwb's, other people with local accounts and services too (root is known)", r.at(), r.control),
			"write: account [success=ok new_authtok_reqd=ok user_unknown=ignore default=bad] pam_pwb.so"})
	}
	for _, b := range before {
		if b.kind == "account" && (outcome(b.control, "success") == "done" || strings.Trim(outcome(b.control, "success"), "0123456789") == "" && outcome(b.control, "success") != "0") {
			all = append(all, finding{"pam", serious, fmt.Sprintf("%s: account %s %s comes first, and its success ends or jumps over the question: pwb is not asked", b.at(), b.control, b.module),
				"put pam_pwb.so before it"})
			break
		}
	}
	return all
}

// checkServices looks at every service that names pam_pwb.so itself or by what it includes.
func checkServices(r config.Root) (all []finding) {
	dir := r.Join("/etc/pam.d")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return []finding{{"pam", serious, err.Error(), ""}}
	}
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), "common-") || strings.HasSuffix(e.Name(), "-auth") || strings.ContainsAny(e.Name(), "~.") {
			continue // parts of others, and leftovers
		}
		rules, err := readService(r, e.Name())
		if err != nil || !slices.ContainsFunc(rules, rule.ours) {
			continue
		}
		all = append(all, checkService(r, e.Name())...)
		if f := ownedByRoot("pam", filepath.Join(dir, e.Name()), 0o022); f.level != fine {
			all = append(all, f)
		}
	}
	if len(all) > 0 {
		all = append(all, checkDoors(r)...)
	}
	if len(all) == 0 {
		all = append(all, finding{"pam", serious, "no service in " + dir + " names pam_pwb.so: pwb is asked by nobody", "see pam_pwb(8) for lines that work"})
	}
	return all
}

// doors are the services of hosts that open sessions without a ticket: by a key, by root's word, at a time.
var doors = []string{"sshd", "login", "su", "su-l", "sudo", "sudo-i", "cron", "crond", "atd", "remote"}

// checkDoors finds hosts whose account phase does not ask pwb: who is locked, or not allowed here, still comes in there.
func checkDoors(r config.Root) (all []finding) {
	var open []string
	for _, name := range doors {
		rules, err := readService(r, name)
		if err == nil && !slices.ContainsFunc(rules, func(r rule) bool { return r.ours() && r.kind == "account" }) {
			open = append(open, name)
		}
	}
	if len(open) == 0 {
		return nil
	}
	return []finding{{"pam", odd, strings.Join(open, ", ") + ": the account phase does not ask pwb, so people who are locked or not allowed still come in there",
		"add, as the first account line (on Debian to common-account): account [success=ok new_authtok_reqd=ok user_unknown=ignore default=bad] pam_pwb.so"}}
}
