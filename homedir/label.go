package homedir

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// labels is what the SELinux policy says of the paths that a job may make: file_contexts(5), as libselinux reads it. Every
// object is made with its label, for its final path, while nobody can enter the tree. The usual way, restorecon -R when all
// is done, walks by path through a tree that belongs to its user by then.
type labels struct {
	specs []labelSpec // of equal weight, the last one that matches decides
	exact []labelSpec // those without a special character decide before all others
	subs  [2][]labelSub
}

// labelSpec is one line: REGEXP [-KIND] LABEL.
type labelSpec struct {
	match *regexp.Regexp
	kind  uint32 // S_IFDIR and the like; 0 is every kind
	label string // "" is <<none>>: the kernel decides
}

// labelSub says that paths below one folder have the labels of those below another: /export/home /home.
type labelSub struct{ from, to string }

// selinux is where a running kernel's policy is. Tests put another place here.
var selinux = struct {
	mount, config string
	magic         int64
}{"/sys/fs/selinux", "/etc/selinux", unix.SELINUX_MAGIC}

// loadLabels reads the policy's labels for home and what is below and above it; nil where SELinux is off.
func loadLabels(home string, warn func(string, ...any)) *labels {
	var st unix.Statfs_t
	err := unix.Statfs(selinux.mount, &st)
	if err != nil || int64(st.Type) != selinux.magic || st.Flags&unix.ST_RDONLY != 0 { // as libselinux asks
		return nil
	}
	dir := filepath.Join(selinux.config, policyType(filepath.Join(selinux.config, "config")), "contexts/files")
	l := new(labels)
	for i, name := range []string{"file_contexts.subs", "file_contexts.subs_dist"} {
		l.subs[i], err = readSubs(filepath.Join(dir, name))
		if err != nil {
			warn("SELinux: %v", err)
		}
	}
	for _, name := range []string{"file_contexts", "file_contexts.homedirs", "file_contexts.local"} {
		if err := l.read(filepath.Join(dir, name), home); err != nil {
			warn("SELinux: %v; labels may be wrong; run: restorecon -RF %s", err, home)
		}
	}
	return l
}

// policyType is SELINUXTYPE of /etc/selinux/config.
func policyType(file string) string {
	name := "targeted"
	eachLine(file, func(line string) error {
		if key, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == "SELINUXTYPE" {
			name = strings.TrimSpace(value)
		}
		return nil
	})
	return path.Base("/" + name)
}

func readSubs(file string) (subs []labelSub, err error) {
	err = eachLine(file, func(line string) error {
		if f := strings.Fields(line); len(f) == 2 {
			subs = append(subs, labelSub{strings.TrimRight(f[0], "/"), strings.TrimRight(f[1], "/")})
		}
		return nil
	})
	return subs, err
}

// read takes the lines that can match home, something below it or something above it. A policy has thousands of others.
func (l *labels) read(file, home string) error {
	mapped := l.substitute(home)
	return eachLine(file, func(line string) error {
		f := strings.Fields(line)
		if len(f) < 2 || len(f) > 3 {
			return fmt.Errorf("%s: %q is no REGEXP [KIND] LABEL", file, line)
		}
		stem, special := literalStem(f[0])
		if !related(stem, home) && !related(stem, mapped) {
			return nil
		}
		spec := labelSpec{label: f[len(f)-1]}
		if spec.label == "<<none>>" {
			spec.label = ""
		}
		var known bool
		if spec.kind, known = labelKinds[strings.Join(f[1:len(f)-1], "")]; !known {
			return fmt.Errorf("%s: %q has no such kind", file, line)
		}
		var err error
		if spec.match, err = regexp.Compile("(?s)^(?:" + f[0] + ")$"); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if special {
			l.specs = append(l.specs, spec)
		} else {
			l.exact = append(l.exact, spec)
		}
		return nil
	})
}

func related(stem, home string) bool {
	return strings.HasPrefix(stem, home) || strings.HasPrefix(home, stem)
}

var labelKinds = map[string]uint32{
	"": 0, "--": unix.S_IFREG, "-d": unix.S_IFDIR, "-l": unix.S_IFLNK, "-c": unix.S_IFCHR, "-b": unix.S_IFBLK, "-p": unix.S_IFIFO,
	"-s": unix.S_IFSOCK,
}

// literalStem returns what every match of the expression begins with, and whether it has a special character at all.
func literalStem(expr string) (stem string, special bool) {
	if strings.Contains(expr, "|") { // an alternative at the top has no common beginning; nobody writes one, and it is no loss
		return "", true
	}
	var out []byte
	for i := 0; i < len(expr); i++ {
		switch c := expr[i]; {
		case c == '\\' && i+1 < len(expr) && !isWord(expr[i+1]):
			i++
			out = append(out, expr[i])
		case strings.IndexByte(`?*+{`, c) >= 0: // the character before it need not be there
			return string(out[:max(len(out)-1, 0)]), true
		case strings.IndexByte(`.^$[(\`, c) >= 0:
			return string(out), true
		default:
			out = append(out, c)
		}
	}
	return string(out), false
}

func isWord(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// eachLine gives every line that is neither empty nor a comment. A file that is not there has none. The first error of each
// is returned when all lines have been seen: one line that nobody understands does not take the others away.
func eachLine(file string, each func(string) error) error {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if lineErr := each(line); err == nil {
			err = lineErr
		}
	}
	return errors.Join(err, lines.Err())
}

// substitute maps a path by the administrator's table, and the result by the distribution's.
func (l *labels) substitute(name string) string {
	for _, table := range l.subs {
		for _, sub := range table {
			if rest, ok := strings.CutPrefix(name, sub.from); ok && (rest == "" || rest[0] == '/') {
				name = sub.to + rest
				break
			}
		}
	}
	return name
}

// of returns the label of an object of this kind, "" when the kernel is to decide.
func (l *labels) of(name string, kind uint32) string {
	name = l.substitute(name)
	for _, specs := range [][]labelSpec{l.exact, l.specs} {
		for i := len(specs) - 1; i >= 0; i-- {
			if s := &specs[i]; (s.kind == 0 || s.kind == kind) && s.match.MatchString(name) {
				return s.label
			}
		}
	}
	return ""
}

// labeller gives what one thread makes its label. The kernel keeps it a thread: fscreate(5) of /proc/thread-self/attr.
type labeller struct {
	job  *job
	fd   int    // -1: not open yet
	last string // what the kernel was told; every object of one label in a row costs nothing
}

// next sets the label of the object that this thread is about to make. A label that the kernel refuses is reported once, and the
// object is left to the kernel: the home is whole without, and an administrator can mend it. The label of another object must
// not stay in force for it; an error says that it does, and nothing may be made then.
func (l *labeller) next(name func() string, kind uint32) error {
	if l == nil {
		return nil
	}
	label := l.job.labels.of(name(), kind)
	if label == l.last {
		return nil
	}
	err := testSetLabel(l, label)
	if err == nil {
		l.last = label
		return nil
	}
	if l.last != "" {
		if clearErr := testSetLabel(l, ""); clearErr != nil {
			return fmt.Errorf("SELinux keeps the label %q of something else: %w", l.last, clearErr)
		}
		l.last = ""
	}
	l.job.once.Do(func() {
		l.job.warn("SELinux refuses the label %q: %v; run: restorecon -RF %s", label, err, l.job.home)
	})
	return nil
}

// testSetLabel tells the kernel; tests listen.
var testSetLabel = (*labeller).set

func (l *labeller) set(label string) (err error) {
	if l.fd < 0 { // it is this thread's file, and nobody else may write to it
		if l.fd, err = unix.Open("/proc/thread-self/attr/fscreate", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
	}
	text := []byte(label)
	if label != "" {
		text = append(text, 0)
	}
	_, err = unix.Pwrite(l.fd, text, 0)
	return err
}

func (l *labeller) close() {
	if l != nil && l.fd >= 0 {
		unix.Close(l.fd)
	}
}
