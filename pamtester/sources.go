package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// This file finds the service files that libpam would read, and where an include leads.

// systemFolders are where libpam looks when it is given no folder, pamConf what it reads where there is none of them.
var (
	systemFolders = libraryFolders
	pamConf       = "/etc/pam.conf"
)

const maxServiceFile = 1 << 20

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// readFolders takes every file that could be a service, as a module may change PAM_SERVICE. The first folder with a name has it.
func (v *services) readFolders() {
	for _, dir := range v.sources {
		names, err := readNames(dir)
		if err != nil {
			continue // libpam says what it thinks of that
		}
		for _, name := range names {
			if v.named[name] == nil {
				if f := v.readFile(dir+"/"+name, name); f != nil {
					v.named[name] = f
				}
			}
		}
	}
}

// readFile is a service file as libpam opens it, nil where it cannot. A folder or a device has no lines; what is no file, or too long to be
// copied, is left to libpam.
func (v *services) readFile(path, show string) *serviceFile {
	info, err := os.Stat(path)
	if err != nil || syscall.Access(path, 4) != nil {
		return nil
	}
	if !info.Mode().IsRegular() || info.Size() > maxServiceFile {
		return &serviceFile{path: path, show: show, whole: true, foreign: true}
	}
	text, err := readAll(path, int(info.Size()))
	if err != nil {
		return nil
	}
	return v.parse(path, show, string(text))
}

func (v *services) parse(path, show, text string) *serviceFile {
	f := &serviceFile{path: path, show: show}
	f.lines, f.whole = v.lib.lines(text)
	v.number(f)
	return f
}

// number gives a file's lines their places among all.
func (v *services) number(f *serviceFile) {
	for _, l := range f.lines {
		l.file, l.id = f, len(v.lines)
		v.lines = append(v.lines, l)
	}
}

// readPamConf takes the one file in which each line begins with its service. There always are others then, if none with a line; and what
// is wrong with the file is wrong for every service.
func (v *services) readPamConf() {
	all := v.readFile(pamConf, "pam.conf")
	if all == nil {
		return
	}
	v.lines = nil
	v.named["other"] = &serviceFile{path: pamConf, show: "pam.conf", whole: all.whole}
	for _, whole := range all.lines {
		word, rest, _ := nextToken(whole.text)
		service := lower(word.value)
		if service == "" || strings.Contains(service, "/") || strings.Trim(service, ".") == "" {
			continue // no name of a service
		}
		f := v.named[service]
		if f == nil {
			f = &serviceFile{path: pamConf, show: "pam.conf", whole: all.whole}
			v.named[service] = f
		}
		if rest = strings.Trim(rest, space); rest == "" {
			rest = "[]" // as wrong as nothing, and seen in a file of its own
		}
		l := v.lib.parse(rest)
		l.number = whole.number
		f.lines = append(f.lines, &l)
	}
	for _, f := range v.named {
		v.number(f)
	}
}

// lookup is the path of an included name: of the first folder that has it, or else of the first folder.
func (v *services) lookup(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	for _, dir := range v.sources {
		if syscall.Access(dir+"/"+name, 4) == nil {
			return dir + "/" + name
		}
	}
	return v.sources[0] + "/" + name
}

// included is the file that a name in an include stands for, copied; nil when it cannot be read. Lines of pam.conf are in no file
// that could be included.
func (v *services) included(name string) (*serviceFile, error) {
	if f := v.named[name]; f != nil && f.path != pamConf {
		return f, nil
	}
	path := v.lookup(name)
	if f := v.placed[path]; f != nil {
		return f, nil
	}
	f := v.readFile(path, name)
	if f == nil {
		return nil, nil
	}
	f.copy = v.dir + includedIn + "/" + strconv.Itoa(len(v.placed))
	v.placed[path] = f
	return f, v.writeFile(f)
}
