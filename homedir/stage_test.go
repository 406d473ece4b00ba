package homedir

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Where no home can be made, nothing above it is made either.
func TestNoParentsOfNothing(t *testing.T) {
	p := newPlace(t)
	long := strings.Repeat("n", 256)
	for _, tt := range []struct {
		what, home string
		spoil      func()
		want       error
	}{
		{"a name too long for any folder", p.dir + "/home/new/" + long, func() {}, ErrPath},
		{"a folder of such a name", p.dir + "/home/new/" + long + "/alice", func() {}, ErrPath},
		{"a path too long for any program", p.dir + "/home/new" + strings.Repeat("/"+long[:200], 21), func() {}, ErrPath},
		{"the name of a building site", p.dir + "/home/new/" + stageName(owner.UID), func() {}, ErrPath},
		{"a place in a building site", p.dir + "/home/" + stageName(1) + "/alice", func() {}, ErrPath},
		{"a place in its own skeleton", p.dir + "/home/new/alice", func() { p.opts.Skel = p.dir + "/home" }, ErrInside},
		{"no place for locks", p.dir + "/home/new/alice", func() { p.opts.LockDir = "/proc/locks/none" }, unix.ENOTDIR},
	} {
		opts := p.opts
		tt.spoil()
		if _, err := Make(ctx, tt.home, owner, p.opts); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.want)
		}
		p.opts = opts
		p.nothing()
	}
}
