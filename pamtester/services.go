package main

import (
	"os"
	"slices"
	"strings"
	"syscall"
)

// services are service files of which libpam is given a copy: made from lines of the command line, or with includes that lead into
// the same folder, or with each module behind the one that traces. Debian's libpam reads "include X" from /etc/pam.d whatever
// the folder, so names in includes become absolute paths.
type services struct {
	sources []string // folders in which names are looked up
	system  bool     // those that libpam has built in
	lib     *library
	dir     string // the copy
	named   map[string]*serviceFile
	placed  map[string]*serviceFile // included ones that are no service, by path
	lines   []*line                 // by id
	tracer  string                  // the module that traces, or ""
	talk    *conversation           // on whose record it reports
	links   map[string]bool
}

// serviceFile is a file of lines.
type serviceFile struct {
	path    string // where it was read
	show    string // how --trace calls it
	copy    string
	lines   []*line
	whole   bool
	foreign bool // the copy is a link: libpam reads the file itself
	written bool
}

// layServices sets the folder that handles are started with.
func (s *sequence) layServices() bool {
	inline, wrong := s.ownService()
	if wrong != "" {
		return s.fail(ownFailure, wrong)
	}
	if inline == "" && s.confdir == "" && !s.trace {
		return true
	}
	v := &services{lib: loadedLibrary(), system: s.confdir == "", named: map[string]*serviceFile{}, placed: map[string]*serviceFile{}, links: map[string]bool{}}
	v.sources = v.lib.folders
	if s.confdir != "" {
		v.sources = []string{absolute(s.confdir)}
	}
	switch {
	case inline != "" && v.system:
	case v.system && !slices.ContainsFunc(v.sources, isFolder):
		if serviceName(s.service) == "other" {
			return s.fail(ownFailure, "--trace: other in "+pamConf+" cannot be traced") // in a folder, libpam would read it twice
		}
		v.readPamConf()
	default:
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
		v.talk = s.talk
		v.talk.record()
		s.tracer = &tracer{services: v}
	}
	if err := v.write(); err != nil {
		return s.fail(ownFailure, "copy the services: "+err.Error())
	}
	s.folder = v.dir + servicesIn
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

// Folders of the copy.
const (
	servicesIn = "/s"
	includedIn = "/i" // what is no service
	modulesIn  = "/m" // links to the module that traces, by the names of real ones
)

// write makes the copy. All of it goes when this process ends.
func (v *services) write() error {
	dir, err := folderUntilEnd(temporary())
	if err != nil {
		return err
	}
	v.dir = dir
	for _, sub := range []string{servicesIn, includedIn, modulesIn} {
		keepUntilEnd(dir + sub)
		if err := os.Mkdir(dir+sub, 0o700); err != nil {
			return err
		}
	}
	for name, f := range v.named {
		f.copy = dir + servicesIn + "/" + name
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
	keepUntilEnd(f.copy)
	if f.foreign {
		return os.Symlink(f.path, f.copy)
	}
	var text strings.Builder
	for _, l := range f.lines {
		written, err := v.rewrite(l)
		if err != nil {
			return err
		}
		if strings.HasSuffix(written, `\`) {
			written += " #" // a comment kept it from being a continuation, and does so again
		}
		text.WriteString(written + "\n")
	}
	if !f.whole {
		text.WriteString("\\\n") // as before
	}
	return writeAll(f.copy, text.String())
}

// rewrite returns the line that libpam gets for a line. What stands behind the name in an include, nobody reads.
func (v *services) rewrite(l *line) (string, error) {
	switch {
	case l.includes():
		var err error
		if l.into, err = v.included(l.target.value); err != nil {
			return "", err
		}
		file := word(v.includable(l.target.value, l.into))
		if l.kind == atLine {
			return l.typeWord.raw + " " + file, nil
		}
		return l.typeWord.raw + " " + l.control.raw + " " + file, nil
	case l.kind == moduleLine && v.tracer != "":
		return v.traced(l)
	}
	return l.text, nil
}

// word writes a path so that libpam takes it for one word.
func word(path string) string {
	if strings.ContainsAny(path, space+"[]") {
		return "[" + strings.ReplaceAll(path, "]", `\]`) + "]"
	}
	return path
}

// includable is what an include of the copy names. Debian's libpam knows of included files in the first folder alone, others of all:
// a name that is in none but another stays a name, and leads where it led before.
func (v *services) includable(name string, f *serviceFile) string {
	path := v.lookup(name)
	switch {
	case v.system && path != name && f != nil && v.named[name] == f && !strings.HasPrefix(f.path, v.sources[0]+"/"):
		return name
	case f != nil:
		return f.copy
	}
	return path
}
