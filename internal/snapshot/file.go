package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// ErrDamaged is in the error of a file that is no snapshot, or not whole.
var ErrDamaged = errors.New("not a whole snapshot")

// file is the bytes of a snapshot: mapped and shared by a writer, or read.
type file struct {
	bytes   []byte
	key     [2]uint64
	index   [4]index
	records int // offset of the first record
}

// index is one of the four: open addressing over 64-bit slots.
type index struct {
	off int
	cap uint32
}

func parseHeader(b []byte) (*file, error) {
	if len(b) < headerLen || string(b[:8]) != magic || le.Uint32(b[atVersion:]) != version || le.Uint32(b[atHeaderLen:]) != headerLen ||
		le.Uint64(b[atFileLen:]) != uint64(len(b)) || le.Uint32(b[atStaticSum:]) != checksum(b[:staticLen]) {
		return nil, fmt.Errorf("%w: its header is none", ErrDamaged)
	}
	f := &file{bytes: b, key: [2]uint64{le.Uint64(b[atKey:]), le.Uint64(b[atKey+8:])}}
	for i := range f.index {
		off, slots := le.Uint64(b[atIndex+16*i:]), le.Uint32(b[atIndex+16*i+8:])
		if slots == 0 || off%8 != 0 || off < headerLen || off > uint64(len(b)) || uint64(slots) > (uint64(len(b))-off)/8 {
			return nil, fmt.Errorf("%w: an index is not inside", ErrDamaged)
		}
		f.index[i] = index{int(off), slots}
	}
	first := le.Uint64(b[atRecords:])
	if first%8 != 0 || first < headerLen || first > uint64(len(b)) {
		return nil, fmt.Errorf("%w: the records are not inside", ErrDamaged)
	}
	f.records = int(first)
	return f, nil
}

func (f *file) word(at int) *uint64   { return (*uint64)(unsafe.Pointer(&f.bytes[at])) }
func (f *file) word32(at int) *uint32 { return (*uint32)(unsafe.Pointer(&f.bytes[at])) }

// load and store are of words that readers look at. The file is little-endian, and so is every machine that this is built for.
func (f *file) load(at int) uint64     { return atomic.LoadUint64(f.word(at)) }
func (f *file) store(at int, v uint64) { atomic.StoreUint64(f.word(at), v) }

func (f *file) slot(i int, at uint32) uint64 { return f.load(f.index[i].off + 8*int(at)) }

// record returns the record at a unit of eight bytes, or nil when there is none that is whole.
func (f *file) record(unit uint32, kind byte) []byte {
	off := int(unit) * 8
	if off < headerLen || off > len(f.bytes)-groupHead {
		return nil
	}
	b := f.bytes[off:]
	n := le.Uint32(b)
	if n < groupHead || n%8 != 0 || uint64(n) > uint64(len(b)) || b[20] != kind {
		return nil
	}
	if b = b[:n]; le.Uint32(b[4:]) != checksum(b[8:]) {
		return nil
	}
	return b
}

func (f *file) user(unit uint32) (User, bool) {
	b := f.record(unit, kindUser)
	if len(b) < userHead {
		return User{}, false
	}
	n := le.Uint32(b[16:])
	if uint64(n)*4 > uint64(len(b)-userHead) {
		return User{}, false
	}
	u := User{UID: le.Uint32(b[8:]), GID: le.Uint32(b[12:])}
	for i := range int(n) {
		u.Groups = append(u.Groups, le.Uint32(b[userHead+4*i:]))
	}
	text := b[userHead+4*int(n):]
	var fields [5]string
	for i, length := range []int{int(b[21]), 1, int(le.Uint16(b[22:])), int(le.Uint16(b[24:])), int(le.Uint16(b[26:]))} {
		if length >= len(text) || text[length] != 0 {
			return User{}, false
		}
		fields[i], text = string(text[:length]), text[length+1:]
	}
	u.Name, u.Gecos, u.Home, u.Shell = fields[0], fields[2], fields[3], fields[4]
	return u, true
}

func (f *file) group(unit uint32) (Group, bool) {
	b := f.record(unit, kindGroup)
	if b == nil {
		return Group{}, false
	}
	n := le.Uint32(b[12:])
	if uint64(n) > uint64(len(b)-groupHead) {
		return Group{}, false
	}
	lengths, text := b[groupHead:groupHead+int(n)], b[groupHead+int(n):]
	g := Group{GID: le.Uint32(b[8:])}
	end := bytes.IndexByte(text, 0)
	if end != int(b[21]) || len(text) < end+3 {
		return Group{}, false
	}
	g.Name, text = string(text[:end]), text[end+3:]
	for _, length := range lengths {
		if int(length) >= len(text) || text[length] != 0 {
			return Group{}, false
		}
		g.Members, text = append(g.Members, string(text[:length])), text[int(length)+1:]
	}
	return g, true
}

func (x index) first(h uint64) uint32 { return uint32(uint64(uint32(h)) * uint64(x.cap) >> 32) }

// find returns where a key's slot is. When there is none, free is where it can be put, and ok is false when it can be put nowhere.
func (f *file) find(i int, key []byte, is func(unit uint32) bool) (at uint32, found bool, free uint32, ok bool) {
	x, h := f.index[i], hash(f.key, key)
	at = x.first(h)
	for range min(x.cap, maxProbe) {
		switch slot := f.slot(i, at); {
		case slot == 0:
			if !ok {
				free = at
			}
			return 0, false, free, true
		case slot == tombstone:
			if !ok {
				free, ok = at, true
			}
		case slot>>32 == h>>32 && is(uint32(slot)):
			return at, true, 0, true
		}
		if at++; at == x.cap {
			at = 0
		}
	}
	return 0, false, free, ok
}

func idKey(id uint32) []byte { return le.AppendUint32(nil, id) }

func (f *file) slotValue(key []byte, unit uint32) uint64 {
	return hash(f.key, key)>>32<<32 | uint64(unit)
}

func (f *file) put(i int, at uint32, value uint64) { f.store(f.index[i].off+8*int(at), value) }

func (f *file) userByUID(uid uint32) (u User, at uint32, found bool) {
	at, found, _, _ = f.find(byUID, idKey(uid), func(unit uint32) bool {
		one, ok := f.user(unit)
		if ok && one.UID == uid {
			u = one
			return true
		}
		return false
	})
	return u, at, found
}

func (f *file) groupByGID(gid uint32) (g Group, at uint32, found bool) {
	at, found, _, _ = f.find(byGID, idKey(gid), func(unit uint32) bool {
		one, ok := f.group(unit)
		if ok && one.GID == gid {
			g = one
			return true
		}
		return false
	})
	return g, at, found
}

// bytesOf is the memory of words, so that what is read from it stands where words may stand.
func bytesOf(words []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 8*len(words))
}
