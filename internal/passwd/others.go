package passwd

/*
#include <grp.h>
#include <nss.h>
#include <stdlib.h>

// A macro in some headers, and declared in none of them before glibc 2.1.
static int configure(const char *db, const char *services) { return __nss_configure_lookup(db, services); }
*/
import "C"

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"unsafe"

	"github.com/pwb-project/pwb/internal/account"
)

// Others asks every NSS source of the machine but pwb's own. It is for the process that decides which ids and names are free:
// what pwb itself shows must not stand in the way of what it is about to show.
//
// Look-ups of the whole process leave pwb's source out from the first question on; no other process sees a difference.
type Others struct {
	mu   sync.Mutex // guards seen
	seen string
}

const switchFile = "/etc/nsswitch.conf"

// leaveOut tells the C library what nsswitch.conf says, without pwb. It does so again when the file has changed: the C library
// does not look at it any more.
func (o *Others) leaveOut() {
	text, err := os.ReadFile(switchFile)
	if err != nil {
		text = nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen == string(text)+"\n" {
		return
	}
	o.seen = string(text) + "\n"
	for _, db := range []string{"passwd", "group", "initgroups"} {
		if services, found := withoutOurs(string(text), db); found {
			cdb, cservices := C.CString(db), C.CString(services)
			C.configure(cdb, cservices)
			C.free(unsafe.Pointer(cdb))
			C.free(unsafe.Pointer(cservices))
		}
	}
}

// withoutOurs returns a database's line of nsswitch.conf(5) without pwb and the action behind it. found is false when pwb has
// no part in it.
func withoutOurs(text, db string) (services string, found bool) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		name, rest, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) != db {
			continue
		}
		keep, ours, action := []string{}, false, false
		for _, word := range strings.Fields(strings.NewReplacer("[", " [ ", "]", " ] ").Replace(rest)) {
			if !action && word != "[" { // a service; an action belongs to the one before it
				ours = word == "pwb"
				found = found || ours
			}
			action = word == "[" || action && word != "]"
			if !ours {
				keep = append(keep, word)
			}
		}
		if len(keep) == 0 {
			keep = []string{"files"}
		}
		return strings.NewReplacer("[ ", "[", " ]", "]").Replace(strings.Join(keep, " ")), found
	}
	return "", false
}

// ByName is as the function of that name.
func (o *Others) ByName(name string) (Entry, error) {
	o.leaveOut()
	return ByName(name)
}

// ByUID is as the function of that name.
func (o *Others) ByUID(uid account.UID) (Entry, error) {
	o.leaveOut()
	return ByUID(uid)
}

// GroupByName is as the function of that name.
func (o *Others) GroupByName(name string) (account.GID, error) {
	o.leaveOut()
	return GroupByName(name)
}

// GroupByID returns the name of the group with that id, with the errors of ByName.
func (o *Others) GroupByID(gid account.GID) (string, error) {
	o.leaveOut()
	return GroupByID(gid)
}

// Groups is as the function of that name.
func (o *Others) Groups(name string, gid account.GID) ([]account.GID, error) {
	o.leaveOut()
	return Groups(name, gid)
}

// SubordinateIDs returns the ranges that subuid(5) and subgid(5) give to people's containers, below root. A line that is
// none is passed over: other programs read these files too, and do.
func SubordinateIDs(root string) (ranges []account.IDRange) {
	for _, name := range []string{"/etc/subuid", "/etc/subgid"} {
		text, err := os.ReadFile(root + name)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			field := strings.Split(strings.TrimSpace(line), ":")
			var first, count uint32
			if len(field) != 3 {
				continue
			}
			if _, err := fmt.Sscan(field[1]+" "+field[2], &first, &count); err == nil && count > 0 && first+count-1 >= first {
				ranges = append(ranges, account.IDRange{First: first, Last: first + count - 1})
			}
		}
	}
	return ranges
}
