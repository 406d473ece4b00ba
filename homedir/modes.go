package homedir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// ErrUmask is in the error of every text that is no umask or mode.
var ErrUmask = errors.New("not an octal number from 0 to 0777")

// Modes says which permission bits a home gets. Its zero value gives nothing to group and others.
type Modes struct {
	Allow fs.FileMode // bits that files and directories may have; 0 is 0700
	Home  fs.FileMode // the mode of the home itself; 0 is Allow
}

func (m Modes) allow() uint32 {
	if m.Allow == 0 {
		return 0o700
	}
	return uint32(m.Allow.Perm())
}

func (m Modes) home() uint32 {
	if m.Home == 0 {
		return m.allow()
	}
	return uint32(m.Home.Perm())
}

// file and dir are the modes of copies: never more than the skeleton gave, never out of reach of the owner.
func (m Modes) file(src uint32) uint32 { return (src&0o777 | 0o200) & m.allow() }
func (m Modes) dir(src uint32) uint32  { return (src&0o777 | 0o700) & m.allow() }

// ParseUmask reads octal digits, with or without a leading 0. (Linux-PAM and oddjob read "77" as a decimal number and make
// files that everybody can write.)
func ParseUmask(s string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o777 || s == "" || strings.Trim(s, "01234567") != "" {
		return 0, fmt.Errorf("%q: %w", s, ErrUmask)
	}
	return fs.FileMode(n), nil
}

// WithUmask returns what a umask leaves, for files, directories and the home.
func WithUmask(umask fs.FileMode) Modes {
	allow := 0o777 &^ umask.Perm()
	if allow&0o700 != 0o700 {
		allow |= 0o700 // an owner can always use what is theirs
	}
	return Modes{Allow: allow, Home: allow}
}

// LoadModes returns the modes that a file as login.defs(5) asks for: UMASK, else 022, and HOME_MODE for the home. What it cannot
// read there it reports, and goes on without: a slip in that file must not stop logins. warn may be nil.
func LoadModes(file string, warn func(string)) Modes {
	if warn == nil {
		warn = func(string) {}
	}
	m := WithUmask(0o022)
	text, err := os.ReadFile(file)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			warn(fmt.Sprintf("%v; UMASK counts as 022", err))
		}
		return m
	}
	home := ""
	for line := range bytes.Lines(text) {
		key, value := loginDef(line)
		if key != "UMASK" && key != "HOME_MODE" {
			continue
		}
		mode, err := ParseUmask(value)
		switch {
		case err != nil:
			warn(fmt.Sprintf("%s: %s %v; it is left out of account", file, key, err))
		case key == "UMASK":
			m = WithUmask(mode)
		case key == "HOME_MODE":
			home = value
		}
	}
	if home != "" {
		m.Home, _ = ParseUmask(home)
		m.Home |= 0o700
	}
	return m
}

// loginDef takes a line KEY VALUE of login.defs apart; '=' may stand between, '#' ends the line.
func loginDef(line []byte) (key, value string) {
	if line, _, _ = bytes.Cut(line, []byte("#")); len(line) == 0 {
		return "", ""
	}
	f := strings.FieldsFunc(string(line), func(r rune) bool { return r == ' ' || r == '\t' || r == '=' || r == '\n' || r == '\r' })
	if len(f) == 0 {
		return "", ""
	}
	return strings.ToUpper(f[0]), strings.Join(f[1:], " ")
}
