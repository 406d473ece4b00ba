// Package snapshot writes the file that libnss_pwb.so.2 maps: who every account and group is. nss_pwb/FORMAT holds every byte.
// It promises that what a reader may be looking at is never overwritten and never truncated: a whole file is written aside and
// renamed, and a single change is a new record behind all others, made known by storing one word. A writer that is killed
// between any two steps leaves a file that is right for its readers and that the next writer puts in order.
//
// There is one writer at a time, by a lock beside the file.
package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

// User is an account as NSS shows it.
type User struct {
	Name   string
	UID    uint32
	GID    uint32
	Gecos  string
	Home   string
	Shell  string
	Groups []uint32 // supplementary; initgroups(3)
}

// Group is a group as NSS shows it.
type Group struct {
	Name    string
	GID     uint32
	Members []string
}

// MinID is the lowest id that a reader believes; the build may set another for a library of its own.
const MinID = 1000

// Visible says whether an id exists for a reader: not the machine's own, not those of systemd and nobody, not -1.
func Visible(id uint32) bool {
	return id >= MinID && (id < 60001 || id > 65535) && id != 1<<32-1
}

// ErrEntry is in the error of an entry that no reader would show, or that would be read as something else.
var ErrEntry = errors.New("cannot be shown")

const (
	maxName = 255
	maxText = 1<<16 - 1
	maxList = 1 << 24 // groups of one user, members of one group
)

// Check says why a user cannot be shown; nil is that it can.
func (u User) Check() error {
	if err := checkName(u.Name); err != nil {
		return fmt.Errorf("user %q: %w: %w", u.Name, ErrEntry, err)
	}
	for what, text := range map[string]string{"gecos": u.Gecos, "home": u.Home, "shell": u.Shell} {
		if len(text) > maxText || strings.ContainsAny(text, ":\n\x00") {
			return fmt.Errorf("user %q: %w: its %s is too long or has ':', a new line or NUL", u.Name, ErrEntry, what)
		}
	}
	switch {
	case !Visible(u.UID):
		return fmt.Errorf("user %q: %w: uid %d belongs to the machine", u.Name, ErrEntry, u.UID)
	case !Visible(u.GID):
		return fmt.Errorf("user %q: %w: gid %d belongs to the machine", u.Name, ErrEntry, u.GID)
	case len(u.Groups) > maxList:
		return fmt.Errorf("user %q: %w: it is in %d groups", u.Name, ErrEntry, len(u.Groups))
	}
	return nil
}

// Check says why a group cannot be shown; nil is that it can.
func (g Group) Check() error {
	if err := checkName(g.Name); err != nil {
		return fmt.Errorf("group %q: %w: %w", g.Name, ErrEntry, err)
	}
	if !Visible(g.GID) {
		return fmt.Errorf("group %q: %w: gid %d belongs to the machine", g.Name, ErrEntry, g.GID)
	}
	if len(g.Members) > maxList {
		return fmt.Errorf("group %q: %w: it has %d members", g.Name, ErrEntry, len(g.Members))
	}
	for _, m := range g.Members {
		if m == "" || len(m) > maxName || strings.ContainsAny(m, ":,\n\x00") {
			return fmt.Errorf("group %q: %w: member %q", g.Name, ErrEntry, m)
		}
	}
	return nil
}

func checkName(name string) error {
	switch {
	case name == "" || len(name) > maxName:
		return fmt.Errorf("its name has %d bytes", len(name))
	case strings.ContainsAny(name, ":,\n\x00"):
		return errors.New("its name has ':', ',', a new line or NUL")
	case name == "root":
		return errors.New("its name is root")
	case name[0] == '+' || name[0] == '-': // nss_compat reads them as orders
		return fmt.Errorf("its name begins with %q", name[0])
	}
	return nil
}

// The numbers of FORMAT.
const (
	headerLen  = 4096
	version    = 1
	staticLen  = 152
	live       = 1024
	userHead   = 28
	groupHead  = 24
	maxProbe   = 4096
	tombstone  = 1
	kindUser   = 'u'
	kindGroup  = 'g'
	buildLoad  = 0.62 // of an index that is made
	fullLoad   = 0.80 // of an index that is changed, tombstones and all
	spareShare = 8    // a file has an eighth of its records as room for changes

	largeChanges = 64 // or room for so many of the largest group,
	largeSpare   = 16 // as long as that is not over so many times leastSpare
)

// leastSpare is room for changes in a small file. Tests have smaller ones.
var leastSpare = 1 << 20

const magic = "PWBNSS1\n"

// Offsets in the header.
const (
	atVersion    = 8
	atHeaderLen  = 12
	atFileLen    = 16
	atKey        = 24
	atIndex      = 40 // four times: offset, slots, zero
	atOrigin     = 104
	atCreated    = 120
	atRecords    = 128
	atStaticSum  = staticLen
	atSuperseded = live
	atTail       = live + 8
	atRevision   = live + 16
	atUsers      = live + 24
	atGroups     = live + 28
	atBoot       = live + 32
)

// The indexes, in the order of the header.
const (
	byUserName = iota
	byUID
	byGroupName
	byGID
)

var le = binary.LittleEndian

// hash is SipHash-1-3 (Aumasson, Bernstein 2012).
func hash(key [2]uint64, p []byte) uint64 {
	v0, v1 := key[0]^0x736f6d6570736575, key[1]^0x646f72616e646f6d
	v2, v3 := key[0]^0x6c7967656e657261, key[1]^0x7465646279746573
	round := func() {
		v0 += v1
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v3
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 += v3
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 += v1
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	last := uint64(len(p)) << 56
	for ; len(p) >= 8; p = p[8:] {
		word := le.Uint64(p)
		v3 ^= word
		round()
		v0 ^= word
	}
	for i, c := range p {
		last |= uint64(c) << (8 * i)
	}
	v3 ^= last
	round()
	v0 ^= last
	v2 ^= 0xff
	round()
	round()
	round()
	return v0 ^ v1 ^ v2 ^ v3
}

// checksum is two sums over whole words of eight bytes, in four lanes. It finds damage, not malice.
func checksum(p []byte) uint32 {
	const odd = 0x9e3779b97f4a7c15
	n := uint64(len(p))
	a, b := [4]uint64{n, n + 1, n + 2, n + 3}, [4]uint64{}
	for i := 0; len(p) >= 8; i, p = (i+1)&3, p[8:] {
		a[i] += le.Uint64(p)
		b[i] += a[i]
	}
	sum := uint64(0)
	for i := range a {
		sum = bits.RotateLeft64((sum^a[i])*odd, 29) ^ b[i]
	}
	return uint32(sum * odd >> 32)
}

func align8(n int) int { return (n + 7) &^ 7 }

func (u User) size() int {
	return align8(userHead + 4*len(u.Groups) + len(u.Name) + 3 + len(u.Gecos) + 1 + len(u.Home) + 1 + len(u.Shell) + 1)
}

// append writes the record behind b, whose length is a multiple of eight.
func (u User) append(b []byte) []byte {
	from := len(b)
	b = append(b, make([]byte, userHead)...)
	h := b[from:]
	le.PutUint32(h[8:], u.UID)
	le.PutUint32(h[12:], u.GID)
	le.PutUint32(h[16:], uint32(len(u.Groups)))
	h[20], h[21] = kindUser, byte(len(u.Name))
	le.PutUint16(h[22:], uint16(len(u.Gecos)))
	le.PutUint16(h[24:], uint16(len(u.Home)))
	le.PutUint16(h[26:], uint16(len(u.Shell)))
	for _, gid := range u.Groups {
		b = le.AppendUint32(b, gid)
	}
	for _, text := range []string{u.Name, "x", u.Gecos, u.Home, u.Shell} {
		b = append(append(b, text...), 0)
	}
	return seal(b, from)
}

func (g Group) size() int {
	n := groupHead + len(g.Members) + len(g.Name) + 3
	for _, m := range g.Members {
		n += len(m) + 1
	}
	return align8(n)
}

func (g Group) append(b []byte) []byte {
	from := len(b)
	b = append(b, make([]byte, groupHead)...)
	text := 0
	for _, m := range g.Members {
		b = append(b, byte(len(m)))
		text += len(m) + 1
	}
	h := b[from:]
	le.PutUint32(h[8:], g.GID)
	le.PutUint32(h[12:], uint32(len(g.Members)))
	le.PutUint32(h[16:], uint32(text))
	h[20], h[21] = kindGroup, byte(len(g.Name))
	b = append(append(b, g.Name...), 0, 'x', 0)
	for _, m := range g.Members {
		b = append(append(b, m...), 0)
	}
	return seal(b, from)
}

// seal pads a record and writes its length and checksum.
func seal(b []byte, from int) []byte {
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	record := b[from:]
	le.PutUint32(record, uint32(len(record)))
	le.PutUint32(record[4:], checksum(record[8:]))
	return b
}
