package passwd

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pwb-project/pwb/internal/account"
)

func TestWithoutOurs(t *testing.T) {
	for _, tt := range []struct {
		text, db, want string
		found          bool
	}{
		{"passwd: files systemd pwb\n", "passwd", "files systemd", true},
		{"# passwd: pwb\npasswd:\tfiles pwb [NOTFOUND=return] sss # pwb\n", "passwd", "files sss", true},
		{"passwd: files [SUCCESS=merge] pwb sss", "passwd", "files [SUCCESS=merge] sss", true},
		{"passwd: files pwb [NOTFOUND=return SUCCESS=continue] sss", "passwd", "files sss", true},
		{"passwd: files pwb[NOTFOUND=return]sss", "passwd", "files sss", true},
		{"passwd: pwb", "passwd", "files", true},
		{"passwd: files sss", "passwd", "files sss", false},
		{"group: files pwb", "passwd", "", false},
		{"passwd: files pwbx", "passwd", "files pwbx", false},
	} {
		if got, found := withoutOurs(tt.text, tt.db); got != tt.want || found != tt.found {
			t.Errorf("withoutOurs(%q, %q) = %q, %v; want %q, %v", tt.text, tt.db, got, found, tt.want, tt.found)
		}
	}
}

func TestGroupByID(t *testing.T) {
	var o Others
	if name, err := o.GroupByID(0); name != "root" || err != nil {
		t.Errorf("GroupByID(0) = %q, %v", name, err)
	}
	if _, err := o.ByUID(0); err != nil {
		t.Error(err)
	}
}

func TestSubordinateIDs(t *testing.T) {
	root := t.TempDir()
	os.Mkdir(filepath.Join(root, "etc"), 0o755)
	os.WriteFile(filepath.Join(root, "etc/subuid"), []byte("alice:100000:65536\n\nbroken\nb:4294967295:2\nc:1:0\n"), 0o644)
	os.WriteFile(filepath.Join(root, "etc/subgid"), []byte("alice:200000:10"), 0o644)
	want := []account.IDRange{{First: 100000, Last: 165535}, {First: 200000, Last: 200009}}
	if got := SubordinateIDs(root); !slices.Equal(got, want) {
		t.Errorf("SubordinateIDs = %v, want %v", got, want)
	}
}
