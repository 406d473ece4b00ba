package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"sort"
	"strings"
	"testing"
)

const module = "github.com/pwb-project/pwb/"

// rooms says which rooms of ours each room may import. Imports point down; doors (worker, signin, scim) never import each
// other; pwb alone knows them all.
var rooms = map[string][]string{
	"homedir":            {"internal/flock"},
	"mkhomedir":          {"homedir", "internal/homemaker"},
	"internal/homemaker": {"homedir"},
	"internal/account":   {},
	"internal/arch":      {},
	"internal/audit":     {"internal/flock"},
	"internal/flock":     {},
	"internal/passwd":    {"internal/account"},
	"internal/secret":    {},
	"internal/config":    {"internal/account", "internal/secret"},
	"internal/metrics":   {},
	"internal/web":       {},
	"internal/ticket":    {"internal/account"},
	"internal/oauth":     {"internal/ticket"},
	"internal/snapshot":  {"internal/flock"},
	"internal/store":     {"internal/account"},
	"internal/provision": {"internal/account", "internal/passwd", "internal/snapshot", "internal/store", "internal/ticket"},
	"internal/signin":    {"internal/account", "internal/metrics", "internal/oauth", "internal/passwd", "internal/provision", "internal/secret", "internal/store", "internal/ticket", "internal/web"},
	"internal/session":   {"internal/account", "internal/passwd"},
	"internal/evict":     {"internal/account", "internal/store"},
	"internal/scim":      {"internal/account", "internal/passwd", "internal/provision", "internal/store", "internal/web"},
	"internal/worker":    {"homedir", "internal/account", "internal/oauth", "internal/passwd", "internal/provision", "internal/store", "internal/ticket", "pam_pwb"},
	"pam_pwb":            {},
	"pamtester":          {},
	"pwb":                {"*"},
}

// libraries says in which rooms each outside module may be imported, tests excepted.
var libraries = map[string][]string{
	"github.com/coreos/go-oidc/v3":     {"internal/ticket"},
	"github.com/go-jose/go-jose/v4":    {"internal/ticket"},
	"golang.org/x/sync":                {"internal/ticket"},
	"golang.org/x/text":                {"internal/account"},
	"modernc.org/sqlite":               {"internal/store"},
	"github.com/msteinert/pam/v2":      {"internal/session"},
	"github.com/urfave/cli/v2":         {"pwb"},
	"github.com/coreos/go-systemd/v22": {"pwb"},
	"golang.org/x/sys":                 {"*"}, // system calls, not a design
	"golang.org/x/oauth2":              {"internal/oauth"},
}

// forbidden says what a room must not reach, however many steps away: what faces the network never knows what needs root.
var forbidden = map[string][]string{
	"internal/signin": {"internal/worker", "homedir", "internal/session"},
	"internal/scim":   {"internal/worker", "homedir", "internal/session", "internal/evict"},
	"pamtester":       {"internal/worker", "internal/store"},
	"pam_pwb":         {"internal/worker", "internal/store", "internal/ticket"},
}

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Module     *struct{ Main bool }
}

func (p pkg) room() string { return strings.TrimPrefix(p.ImportPath, module) }

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps,Module", "../../...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
}

// testOnly names rooms that exist for tests: what they import is no concern of the product.
func testOnly(room string) bool {
	return strings.HasSuffix(room, "test") || strings.Contains(room, "testdata/")
}

func TestRoomsKnowOnlyTheRoomsBelowThem(t *testing.T) {
	for _, p := range packages(t) {
		if testOnly(p.room()) {
			continue
		}
		may, listed := rooms[p.room()]
		if !listed {
			t.Errorf("room %s is not in the table: say what it may know", p.room())
			continue
		}
		for _, imp := range p.Imports {
			other, ours := strings.CutPrefix(imp, module)
			if ours && !slices.Contains(may, other) && !slices.Contains(may, "*") {
				t.Errorf("%s imports %s, which the table does not allow", p.room(), other)
			}
		}
	}
}

func TestAnOutsideLibraryLivesInOneRoom(t *testing.T) {
	for _, p := range packages(t) {
		if testOnly(p.room()) {
			continue
		}
		for _, imp := range p.Imports {
			lib := library(imp)
			if lib == "" {
				continue
			}
			may, listed := libraries[lib]
			if !listed {
				t.Errorf("%s imports %s, a library that the table does not know", p.room(), imp)
			} else if !slices.Contains(may, p.room()) && !slices.Contains(may, "*") {
				t.Errorf("%s imports %s, which lives in %s", p.room(), imp, strings.Join(may, ", "))
			}
		}
	}
}

// library returns the outside module of an import path, or "" for the standard library and ourselves. An unknown module
// is returned as its whole path, so that the table refuses it.
func library(imp string) string {
	first, _, _ := strings.Cut(imp, "/")
	if !strings.Contains(first, ".") || strings.HasPrefix(imp, module) {
		return ""
	}
	known := make([]string, 0, len(libraries))
	for lib := range libraries {
		known = append(known, lib)
	}
	sort.Slice(known, func(i, j int) bool { return len(known[i]) > len(known[j]) })
	for _, lib := range known {
		if imp == lib || strings.HasPrefix(imp, lib+"/") {
			return lib
		}
	}
	return imp
}

func TestTheNetworkSideNeverReachesRoot(t *testing.T) {
	for _, p := range packages(t) {
		for _, never := range forbidden[p.room()] {
			if slices.Contains(p.Deps, module+never) {
				t.Errorf("%s reaches %s", p.room(), never)
			}
		}
	}
}

// A table that names rooms which are gone would hide a typing error in a new one.
func TestEveryRoomOfTheTableExists(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range packages(t) {
		seen[p.room()] = true
	}
	for room := range rooms {
		if !seen[room] {
			t.Errorf("room %s is in the table and not in the tree", room)
		}
	}
}
