package snapshot

import (
	"fmt"
	"os"
	"time"
)

// Facts is what a file says of itself.
type Facts struct {
	Created       time.Time
	Revision      int64
	Users, Groups int
	Bytes         int
	Spare         int  // bytes for changes
	Superseded    bool // another has taken its place
}

// Read reads a whole snapshot, checks every record, and that names and ids lead to the same entries. It is for tests and for an
// operator's doubts; readers map the file. Errors wrap ErrDamaged, or say why the file could not be read.
func Read(path string) (*Contents, Facts, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, Facts{}, err
	}
	aligned := make([]uint64, len(b)/8+1)
	whole := bytesOf(aligned)[:len(b)]
	copy(whole, b)
	f, err := parseHeader(whole)
	if err != nil {
		return nil, Facts{}, fmt.Errorf("%s: %w", path, err)
	}
	c := &Contents{Origin: [16]byte(whole[atOrigin:]), Revision: int64(f.load(atRevision))}
	if err := f.readUsers(c); err != nil {
		return nil, Facts{}, fmt.Errorf("%s: %w", path, err)
	}
	if err := f.readGroups(c); err != nil {
		return nil, Facts{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, Facts{
		Created: time.Unix(int64(le.Uint64(whole[atCreated:])), 0), Revision: c.Revision, Users: len(c.Users), Groups: len(c.Groups),
		Bytes: len(b), Spare: len(b) - int(f.load(atTail)), Superseded: le.Uint32(whole[atSuperseded:]) != 0,
	}, nil
}

func (f *file) readUsers(c *Contents) error {
	for at := range f.index[byUID].cap {
		slot := f.slot(byUID, at)
		if slot <= tombstone {
			continue
		}
		u, ok := f.user(uint32(slot))
		if !ok {
			return fmt.Errorf("%w: the record of slot %d of uids", ErrDamaged, at)
		}
		if _, there, found := f.userByUID(u.UID); !found || there != at {
			return fmt.Errorf("%w: uid %d is not found where it is", ErrDamaged, u.UID)
		}
		_, found, _, _ := f.find(byUserName, []byte(u.Name), func(unit uint32) bool { return unit == uint32(slot) })
		if !found {
			return fmt.Errorf("%w: user %q is not found by name", ErrDamaged, u.Name)
		}
		c.Users = append(c.Users, u)
	}
	return nil
}

func (f *file) readGroups(c *Contents) error {
	for at := range f.index[byGID].cap {
		slot := f.slot(byGID, at)
		if slot <= tombstone {
			continue
		}
		g, ok := f.group(uint32(slot))
		if !ok {
			return fmt.Errorf("%w: the record of slot %d of gids", ErrDamaged, at)
		}
		if _, there, found := f.groupByGID(g.GID); !found || there != at {
			return fmt.Errorf("%w: gid %d is not found where it is", ErrDamaged, g.GID)
		}
		_, found, _, _ := f.find(byGroupName, []byte(g.Name), func(unit uint32) bool { return unit == uint32(slot) })
		if !found {
			return fmt.Errorf("%w: group %q is not found by name", ErrDamaged, g.Name)
		}
		c.Groups = append(c.Groups, g)
	}
	return nil
}

// Shown says which revision of which store a snapshot shows to readers, without the writer's lock. ok is false when the file is
// not there, not whole, or of an earlier run of the machine: then it is for a writer to see to.
func Shown(path string) (origin [16]byte, revision int64, ok bool) {
	f, err := os.Open(path)
	if err != nil {
		return origin, 0, false
	}
	defer f.Close()
	var words [(live + 64) / 8]uint64
	b := bytesOf(words[:])
	st, err := f.Stat()
	if err != nil {
		return origin, 0, false
	}
	boot, err := bootID()
	if err != nil {
		return origin, 0, false
	}
	if _, err := f.ReadAt(b, 0); err != nil || string(b[:8]) != magic || le.Uint32(b[atVersion:]) != version ||
		le.Uint64(b[atFileLen:]) != uint64(st.Size()) || le.Uint32(b[atStaticSum:]) != checksum(b[:staticLen]) || [16]byte(b[atBoot:]) != boot {
		return origin, 0, false
	}
	return [16]byte(b[atOrigin:]), int64(le.Uint64(b[atRevision:])), true
}
