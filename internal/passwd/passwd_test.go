package passwd

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pwb-project/pwb/internal/account"
)

func TestTheMachinesOwnAccounts(t *testing.T) {
	root, err := ByName("root")
	if err != nil || root.UID != 0 || root.Name != "root" || root.Home == "" {
		t.Errorf("ByName(root) = %+v, %v", root, err)
	}
	if me, err := ByUID(account.UID(os.Getuid())); err != nil || int(me.UID) != os.Getuid() {
		t.Errorf("ByUID(me) = %+v, %v", me, err)
	}
	groups, err := Groups("root", 0)
	if err != nil || !slices.Contains(groups, 0) {
		t.Errorf("Groups(root) = %v, %v", groups, err)
	}
	if gid, err := GroupByName("daemon"); err != nil || gid == 0 {
		t.Errorf("GroupByName(daemon) = %d, %v", gid, err)
	}
}

func TestNobodyOfTheName(t *testing.T) {
	for _, name := range []string{"no-such-account-here", "", "a\x00b", "root\x00", strings.Repeat("x", 5000), "root:x"} {
		if e, err := ByName(name); !errors.Is(err, ErrNotFound) {
			t.Errorf("ByName(%.20q) = %+v, %v", name, e, err)
		}
	}
	if _, err := ByUID(4294967290); !errors.Is(err, ErrNotFound) {
		t.Errorf("ByUID: %v", err)
	}
	if _, err := GroupByName("no-such-group-here"); !errors.Is(err, ErrNotFound) {
		t.Errorf("GroupByName: %v", err)
	}
}
