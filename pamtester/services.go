package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// services are service files of which libpam is given a copy: made from lines of the command line, or with includes that lead into
// the same folder, or with each module behind the one that traces. Debian's libpam reads "include X" from /etc/pam.d whatever
// the folder, so names in includes become absolute paths.
type services struct {
	sources []string // folders in which names are looked up
	dir     string   // the copy
	named   map[string]*serviceFile
	placed  map[string]*serviceFile // included ones that are no service, by path
	lines   []*line                 // by id
	tracer  string                  // the module that traces, or ""
	record  int                     // descriptor that it reports on
	links   map[string]bool
}

// serviceFile is a file of lines.
type serviceFile struct {
	path    string // where it was read
	show    string // how --trace calls it
	copy    string
	lines   []*line
	whole   bool
	written bool
}

// systemFolders are where libpam looks when it is given no folder.
var systemFolders = []string{"/etc/pam.d", "/usr/lib/pam.d"}

// layServices sets the folder that handles are started with.
func (s *sequence) layServices() bool {
	inline, wrong := s.ownService()
	if wrong != "" {
		return s.fail(ownFailure, wrong)
	}
	if inline == "" && s.confdir == "" && !s.trace {
		return true
	}
	v := &services{sources: systemFolders, named: map[string]*serviceFile{}, placed: map[string]*serviceFile{}, links: map[string]bool{}, record: -1}
	if s.confdir != "" {
		v.sources = []string{absolute(s.confdir)}
	}
	if inline == "" || s.confdir != "" {
		v.readFolders()
	}
	if inline != "" {
		name := serviceName(s.service)
		v.named[name] = v.parse("", name, inline)
	}
	if !s.trace && inline == "" && !v.include() {
		s.folder = s.confdir // as it is
		return true
	}
	if s.trace {
		if v.tracer, wrong = traceModule(); wrong != "" {
			return s.fail(ownFailure, wrong)
		}
		v.record = s.talk.record()
		s.tracer = &tracer{services: v}
	}
	if err := v.write(); err != nil {
		return s.fail(ownFailure, "copy the services: "+err.Error())
	}
	s.folder = v.dir
	return true
}

// ownService is the text of the service that --stack or --module makes.
func (s *sequence) ownService() (text, wrong string) {
	if len(s.stack) > 0 {
		return strings.Join(s.stack, "\n") + "\n", ""
	}
	if s.module == "" {
		return "", ""
	}
	file, args, ok := nextToken(s.module)
	if !ok || file.value == "" {
		return "", `--module "` + s.module + `" names no file`
	}
	if strings.Contains(file.value, "/") && file.value[0] != '/' {
		file.raw = absolute(file.value)
	}
	types := s.moduleTypes
	if types == nil {
		types = []string{"auth", "account", "session", "password"}
	}
	for _, t := range types {
		text += t + " required " + file.raw + " " + args + "\n"
	}
	return text, ""
}

// serviceName is what libpam makes of a service: the last part of a path, in small letters.
func serviceName(s string) string {
	return lower(s[strings.LastIndexByte(s, '/')+1:])
}

func absolute(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	return wd + "/" + path
}

const maxServiceFile = 1 << 20

// readFolders takes every file that could be a service, as a module may change PAM_SERVICE. The first folder with a name has it.
func (v *services) readFolders() {
	for _, dir := range v.sources {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // libpam says what it thinks of that
		}
		for _, e := range entries {
			path := dir + "/" + e.Name()
			if v.named[e.Name()] != nil {
				continue
			}
			if text, ok := readServiceFile(path); ok {
				v.named[e.Name()] = v.parse(path, e.Name(), text)
			}
		}
	}
}

func readServiceFile(path string) (string, bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxServiceFile {
		return "", false
	}
	text, err := os.ReadFile(path)
	return string(text), err == nil
}

func (v *services) parse(path, show, text string) *serviceFile {
	f := &serviceFile{path: path, show: show}
	f.lines, f.whole = parseService(text)
	for _, l := range f.lines {
		l.file, l.id = f, len(v.lines)
		v.lines = append(v.lines, l)
	}
	return f
}

// include says whether any file includes another by a name alone.
func (v *services) include() bool {
	for _, l := range v.lines {
		if l.includes() && !strings.HasPrefix(l.target.value, "/") {
			return true
		}
	}
	return false
}

func (l *line) includes() bool {
	return (l.kind == includeLine || l.kind == substackLine || l.kind == atLine) && l.target.value != ""
}

// temporary is where the copy goes: libpam loads modules by it, so nobody else may be able to put another folder in its place.
func temporary() string {
	const usual = "/tmp"
	dir := os.TempDir()
	if !strings.HasPrefix(dir, "/") || strings.ContainsAny(dir, space+"[]#\\") {
		return usual // libpam would not take such a path for one word
	}
	for end := 1; end <= len(dir); end++ {
		if (end == len(dir) || dir[end] == '/') && !safeFolder(dir[:end]) {
			return usual
		}
	}
	return dir
}

// safeFolder says whether only this user and root can change what stands in a folder: it is theirs, no link, and if others may write
// there, it is sticky.
func safeFolder(path string) bool {
	var st syscall.Stat_t
	if syscall.Lstat(path, &st) != nil || st.Mode&syscall.S_IFMT != syscall.S_IFDIR {
		return false
	}
	mine := st.Uid == 0 || int(st.Uid) == os.Geteuid()
	return mine && (st.Mode&0o022 == 0 || st.Mode&syscall.S_ISVTX != 0)
}

// write makes the copy. All of it goes when this process ends.
func (v *services) write() error {
	dir, err := folderUntilEnd(temporary())
	if err != nil {
		return err
	}
	v.dir = dir
	for _, sub := range []string{"/i", "/m"} { // what is included, and links to the module that traces
		keepUntilEnd(dir + sub)
		if err := os.Mkdir(dir+sub, 0o700); err != nil {
			return err
		}
	}
	for name, f := range v.named {
		f.copy = dir + "/" + name
	}
	for _, f := range v.named {
		if err := v.writeFile(f); err != nil {
			return err
		}
	}
	return nil
}

func (v *services) writeFile(f *serviceFile) error {
	if f.written {
		return nil
	}
	f.written = true
	var text strings.Builder
	for i, l := range f.lines {
		written, err := v.rewrite(l)
		if err != nil {
			return err
		}
		text.WriteString(written)
		if i == len(f.lines)-1 && !f.whole {
			text.WriteByte('\\') // not whole before, not whole now
		}
		text.WriteByte('\n')
	}
	keepUntilEnd(f.copy)
	return os.WriteFile(f.copy, []byte(text.String()), 0o600)
}

// rewrite returns the line that libpam gets for a line.
func (v *services) rewrite(l *line) (string, error) {
	switch {
	case l.includes():
		f, err := v.included(l.target.value)
		if err != nil {
			return "", err
		}
		l.into = f
		to := v.lookup(l.target.value)
		if f != nil {
			to = f.copy
		}
		if l.kind == atLine {
			return "@include " + to + " " + l.rest, nil
		}
		return l.typeWord.raw + " " + l.control.raw + " " + to + " " + l.rest, nil
	case l.kind == moduleLine && v.tracer != "":
		return v.traced(l)
	}
	return l.text, nil
}

// lookup is the path of an included name: of the first folder that has it, or else of the first folder.
func (v *services) lookup(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	for _, dir := range v.sources {
		if _, err := os.Stat(dir + "/" + name); err == nil {
			return dir + "/" + name
		}
	}
	return v.sources[0] + "/" + name
}

// included is the file that a name in an include stands for, copied; nil when it cannot be read, or need not be copied.
func (v *services) included(name string) (*serviceFile, error) {
	if f := v.named[name]; f != nil {
		return f, nil
	}
	path := v.lookup(name)
	if f := v.placed[path]; f != nil {
		return f, nil
	}
	text, ok := readServiceFile(path)
	if !ok {
		return nil, nil
	}
	f := v.parse(path, name, text)
	f.copy = v.dir + "/i/" + strconv.Itoa(len(v.placed))
	v.placed[path] = f
	return f, v.writeFile(f)
}
