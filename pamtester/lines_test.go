package main

import (
	"slices"
	"strings"
	"testing"
)

// Libraries read the same bytes as other lines. Each row was compared with the function of the library that it names.
func TestLines(t *testing.T) {
	x := strings.Repeat("x", maxLine)
	for _, tt := range []struct {
		text        string
		old, recent []string
	}{
		{"a b # c\n\n \tc\n", []string{"1 a b", "3 c"}, []string{"1 a b", "3 c"}},
		{"a \\\n  b\nc", []string{"1 a    b", "3 c"}, []string{"1 a  b", "3 c"}},
		{"a \\\n# c\n b\n", []string{"1 a   b"}, []string{"1 a", "3 b"}},
		{"a \\\n\n b\n", []string{"1 a   b"}, []string{"1 a", "3 b"}},
		{"a # c \\\nb\n", []string{"1 a", "2 b"}, []string{"1 a", "2 b"}},
		{"a\x00 \\\nb\nc\n", []string{"1 a", "2 b", "3 c"}, []string{"1 a", "3 c"}},
		{"\x00a \\\nb\nc\n", []string{"2 b", "3 c"}, []string{"3 c"}},
		{x + "yy\na\n", []string{"1 " + x, "1 yy", "2 a"}, []string{"1 " + x + "yy", "2 a"}},
		{"a\nb \\\n", []string{"1 a", "cut"}, []string{"1 a", "cut"}},
		{"a\n\\\n", []string{"1 a", "cut"}, []string{"1 a", "cut"}},
	} {
		for _, reading := range []struct {
			lib  *library
			want []string
		}{{old, tt.old}, {recent, tt.recent}} {
			var got []string
			lines, whole := reading.lib.lines(tt.text)
			for _, l := range lines {
				got = append(got, string(rune('0'+l.number))+" "+l.text)
			}
			if !whole {
				got = append(got, "cut")
			}
			if !slices.Equal(got, reading.want) {
				t.Errorf("%q, long lines %v: %q, want %q", tt.text, reading.lib.longLines, got, reading.want)
			}
		}
	}
}

// Only Debian's library knows @include. To others it is a bad type, which is auth's.
func TestLinesOfAtInclude(t *testing.T) {
	const text = "@include x\n"
	for lib, want := range map[*library]lineKind{old: atLine, recent: badLine} {
		if lines, _ := lib.lines(text); lines[0].kind != want {
			t.Errorf("at include %v: kind %d, want %d", lib.atInclude, lines[0].kind, want)
		}
	}
}

// Since 1.6 a file is included 15 deep at most, whether by include or by substack.
func TestDepthOfIncludes(t *testing.T) {
	for _, control := range []string{"include", "substack"} {
		lines, _ := recent.lines("auth " + control + " itself\n")
		file := &serviceFile{lines: lines, whole: true}
		lines[0].file, lines[0].into = file, file
		stack := recent.stackOf(file, authType)
		if n := len(stack); n != 17 || stack[n-1].kind != badLine || stack[n-1].depth != 15 {
			t.Errorf("%s: %d steps, the last %+v", control, n, stack[n-1])
		}
	}
}

// What libpam says is found wherever it is loaded, and what it does not say is not.
func TestLibraryText(t *testing.T) {
	if got := libraryText("could not open /etc/pam.conf", 0); !strings.HasSuffix(got, "could not open /etc/pam.conf") {
		t.Errorf("%q", got)
	}
	if got := libraryText("could not open /etc/pam.conf", 1); got != "" {
		t.Errorf("again %q", got)
	}
	if got := libraryText("of this test alone", 0); got != "" {
		t.Errorf("%q is the test's own", got)
	}
	for _, dir := range libraryFolders() {
		if !strings.HasPrefix(dir, "/") || !strings.HasSuffix(dir, "/pam.d") {
			t.Errorf("folder %q", dir)
		}
	}
}

// What stands for $ISA is a folder of modules, also where no text in libpam says which.
func TestLibraryISA(t *testing.T) {
	if isa := loadedLibrary().isa; !strings.HasSuffix(isa, "/security") {
		t.Errorf("$ISA is %q", isa)
	}
	libdir, folders := strings.CutPrefix(upstreamISA(), "../../")
	if libdir, modules := strings.CutSuffix(libdir, "/security"); !folders || !modules || libdir == "" || strings.Contains(libdir, "/") {
		t.Errorf("upstream's would be %q", upstreamISA())
	}
}
