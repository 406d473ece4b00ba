package account

// MinID is the lowest id that is ever given or shown: what is below belongs to the machine.
const MinID = 1000

// MaxID is the highest: programs that keep ids in a signed number break above it.
const MaxID = 1<<31 - 2

// IDRange is a range of ids, both ends in it.
type IDRange struct{ First, Last uint32 }

// reservedIDs have a meaning on every machine: systemd.io/UIDS-GIDS, Debian Policy 9.2.2. An account among them became a
// service's own user in another project (GHSA-6gp8-pp9v-gx45).
var reservedIDs = []IDRange{
	{0, MinID - 1},
	{60000, 65535},         // Debian's, systemd-homed's, DynamicUser's, nobody, 16-bit -1
	{524288, 1879048191},   // containers of systemd-nspawn
	{MaxID + 1, 1<<32 - 1}, // signed trouble, and -1
}

// NextID returns the first id from n up that may be given, as far as numbers alone decide; taken are further ranges that
// are others', as those of subuid(5). ok is false when no id is left.
func NextID(n uint32, taken []IDRange) (id uint32, ok bool) {
	for again := true; again; {
		again = false
		for _, ranges := range [][]IDRange{reservedIDs, taken} {
			for _, r := range ranges {
				if n < r.First || n > r.Last {
					continue
				}
				if r.Last >= MaxID {
					return 0, false
				}
				n, again = r.Last+1, true
			}
		}
	}
	return n, true
}
