package homedir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestModes(t *testing.T) {
	for _, tt := range []struct{ umask, src, file, dir fs.FileMode }{
		{0o022, 0o644, 0o644, 0o744}, {0o077, 0o644, 0o600, 0o700}, {0o077, 0o755, 0o700, 0o700}, {0o002, 0o600, 0o600, 0o700},
		{0o002, 0o664, 0o664, 0o764}, {0o000, 0o666, 0o666, 0o766}, {0o077, 0o000, 0o200, 0o700}, {0o022, 0o444, 0o644, 0o744},
		{0o022, 0o644 | fs.ModeSetuid, 0o644, 0o744}, {0o077, 0o755 | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky, 0o700, 0o700},
	} {
		p := newPlace(t)
		p.opts.Modes = WithUmask(tt.umask)
		p.skel("file", "x", tt.src)
		p.must(os.Mkdir(p.dir+"/skel/dir", 0o755), os.Chmod(p.dir+"/skel/dir", tt.src))
		p.make()
		if mode, _ := stat(t, p.home()+"/file"); mode != tt.file {
			t.Errorf("umask %04o: file of %v has %v, want %v", tt.umask, tt.src, mode, tt.file)
		}
		if mode, _ := stat(t, p.home()+"/dir"); mode != tt.dir|fs.ModeDir {
			t.Errorf("umask %04o: folder of %v has %v, want %v", tt.umask, tt.src, mode, tt.dir)
		}
		if mode, _ := stat(t, p.home()); mode != 0o777&^tt.umask|fs.ModeDir {
			t.Errorf("umask %04o: home has %v", tt.umask, mode)
		}
	}
}

// The zero value gives nothing to anybody else.
func TestZeroModes(t *testing.T) {
	p := newPlace(t)
	p.opts.Modes = Modes{}
	p.skel("file", "x", 0o666)
	p.make()
	for _, name := range []string{p.home(), p.home() + "/file"} {
		if mode, _ := stat(t, name); mode.Perm()&0o077 != 0 {
			t.Errorf("%s: %v", name, mode)
		}
	}
}

func TestParseUmask(t *testing.T) {
	for s, want := range map[string]fs.FileMode{"077": 0o077, "77": 0o077, "0022": 0o022, "0": 0, "777": 0o777} {
		if got, err := ParseUmask(s); err != nil || got != want {
			t.Errorf("ParseUmask(%q) = %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0x3f", "-1", "01777", "8", "0o77", " 77", "7_7", "+7", "99999999999999999999"} {
		if got, err := ParseUmask(s); !errors.Is(err, ErrUmask) {
			t.Errorf("ParseUmask(%q) = %v, %v", s, got, err)
		}
	}
}

func TestLoginDefs(t *testing.T) {
	for _, tt := range []struct {
		text   string
		want   Modes
		warned int
	}{
		{"", Modes{0o755, 0o755}, 0},
		{"UMASK 077\n", Modes{0o700, 0o700}, 0},
		{"UMASK\t\t027 # comment\n", Modes{0o750, 0o750}, 0},
		{"HOME_MODE 0700\nUMASK 022\n", Modes{0o755, 0o700}, 0},
		{"home_mode=750 \n", Modes{0o755, 0o750}, 0},
		{"#UMASK 077\n", Modes{0o755, 0o755}, 0},
		{"UMASK 0x3f\nHOME_MODE rwx\n", Modes{0o755, 0o755}, 2},
		{"UMASK\nUMASK 077 077\n", Modes{0o755, 0o755}, 2},
		{"UMASK 0777\nHOME_MODE 0000\n", Modes{0o700, 0o700}, 0},
		{"MAIL_DIR /var/mail # not ours\nENV_PATH PATH=/bin:/usr/bin x\n", Modes{0o755, 0o755}, 0},
	} {
		file := filepath.Join(t.TempDir(), "login.defs")
		if err := os.WriteFile(file, []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		warned := 0
		if got := LoadModes(file, func(string) { warned++ }); got != tt.want || warned != tt.warned {
			t.Errorf("%q: %+v, warned %d times; want %+v, %d", tt.text, got, warned, tt.want, tt.warned)
		}
	}
	var warned string
	if got := LoadModes(t.TempDir(), func(text string) { warned = text }); got != (Modes{0o755, 0o755}) || !strings.Contains(warned, "is a directory") {
		t.Errorf("a file that cannot be read: %+v, warned %q", got, warned)
	}
	if got := LoadModes("/nowhere", func(text string) { t.Error(text) }); got != (Modes{0o755, 0o755}) {
		t.Errorf("no file: %+v", got)
	}
}
