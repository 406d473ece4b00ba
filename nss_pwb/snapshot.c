#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snapshot.h"

enum {
	HEADER_LEN = 4096,
	STATIC_LEN = 152, /* the bytes before their checksum */
	LIVE = 1024,
	USER_HEADER = 28,
	GROUP_HEADER = 24,
	KIND_USER = 'u',
	KIND_GROUP = 'g',
	MAX_PROBE = 4096, /* slots that one look-up may visit */
	EMPTY = 0,
	TOMBSTONE = 1,
};

enum { BY_USER_NAME, BY_UID, BY_GROUP_NAME, BY_GID };

static uint16_t
u16(const unsigned char *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t
snapshot_u32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t
u64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return le64toh(v);
}

static inline uint64_t
rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

/* SipHash-1-3 (Aumasson, Bernstein 2012): its key is the file's own, so nobody can choose names that meet in one place. */
static inline __attribute__((always_inline)) void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static uint64_t
hash(const uint64_t key[2], const unsigned char *p, size_t len)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
		key[1] ^ 0x7465646279746573 };
	uint64_t word, last = (uint64_t)len << 56;
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		word = u64(p + i);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	for (int shift = 0; i < len; i++, shift += 8)
		last |= (uint64_t)p[i] << shift;
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int round = 0; round < 3; round++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* checksum is two sums over whole words of eight bytes, in four lanes that do not wait for each other. It finds damage, not
 * malice. */
static uint32_t
checksum(const unsigned char *p, size_t len)
{
	const uint64_t odd = 0x9e3779b97f4a7c15;
	uint64_t a0 = len, a1 = len + 1, a2 = len + 2, a3 = len + 3;
	uint64_t b0 = 0, b1 = 0, b2 = 0, b3 = 0, sum;

	for (; len >= 32; p += 32, len -= 32) {
		b0 += a0 += u64(p);
		b1 += a1 += u64(p + 8);
		b2 += a2 += u64(p + 16);
		b3 += a3 += u64(p + 24);
	}
	if (len >= 8)
		b0 += a0 += u64(p);
	if (len >= 16)
		b1 += a1 += u64(p + 8);
	if (len >= 24)
		b2 += a2 += u64(p + 16);
	sum = rotate(a0 * odd, 29) ^ b0;
	sum = rotate((sum ^ a1) * odd, 29) ^ b1;
	sum = rotate((sum ^ a2) * odd, 29) ^ b2;
	sum = rotate((sum ^ a3) * odd, 29) ^ b3;
	return (uint32_t)(sum * odd >> 32);
}

/* Ids of the machine, of systemd's and nobody's (systemd.io/UIDS-GIDS), and -1, which chown(2) takes for "keep". */
bool
snapshot_visible(uint32_t id)
{
	return id >= PWB_MIN_ID && !(id >= 60001 && id <= 65535) && id != UINT32_MAX;
}

static int
read_header(struct snapshot *s)
{
	const unsigned char *h = s->base;

	if (memcmp(h, "PWBNSS1\n", 8) != 0 || snapshot_u32(h + 8) != 1 || snapshot_u32(h + 12) != HEADER_LEN)
		return -EBADMSG;
	if (u64(h + 16) != s->len || snapshot_u32(h + STATIC_LEN) != checksum(h, STATIC_LEN))
		return -EBADMSG;
	s->key[0] = u64(h + 24);
	s->key[1] = u64(h + 32);
	for (int i = 0; i < 4; i++) {
		struct index *x = &s->index[i];

		x->off = u64(h + 40 + 16 * i);
		x->cap = snapshot_u32(h + 48 + 16 * i);
		if (x->cap == 0 || x->off % 8 != 0 || x->off < HEADER_LEN || x->off > s->len || x->cap > (s->len - x->off) / 8)
			return -EBADMSG;
	}
	return 0;
}

/* snapshot_open maps a file that root alone can have written. The descriptor is closed at once: hosts close what they do not
 * know, and open their own under its number. */
int
snapshot_open(const char *path, struct snapshot *ret_snapshot)
{
	struct snapshot s = { .base = NULL };
	struct stat st;
	void *p;
	int fd, r;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 022) != 0 || st.st_size < HEADER_LEN) {
		close(fd);
		return -EPERM;
	}
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	r = -errno;
	close(fd);
	if (p == MAP_FAILED)
		return r;
	madvise(p, (size_t)st.st_size, MADV_DONTDUMP); /* no core file needs everybody's names */
	s.base = p;
	s.len = (uint64_t)st.st_size;
	s.dev = st.st_dev;
	s.ino = st.st_ino;
	r = read_header(&s);
	if (r < 0) {
		snapshot_close(&s);
		return r;
	}
	*ret_snapshot = s;
	return 0;
}

void
snapshot_close(struct snapshot *s)
{
	if (s->base != NULL)
		munmap((void *)s->base, (size_t)s->len);
	s->base = NULL;
}

/* The writer says so in the old file when a new one is in its place. */
bool
snapshot_superseded(const struct snapshot *s)
{
	return atomic_load_explicit((const _Atomic uint32_t *)(s->base + LIVE), memory_order_relaxed) != 0;
}

/* record finds the bytes of a record that a slot names, whole and undamaged. */
static int
record(const struct snapshot *s, uint32_t unit, unsigned char kind, size_t header, const unsigned char **ret_record, size_t *ret_len)
{
	uint64_t off = (uint64_t)unit * 8;
	const unsigned char *p;
	uint32_t len;

	if (off < HEADER_LEN || off > s->len || s->len - off < header)
		return -EBADMSG;
	p = s->base + off;
	len = snapshot_u32(p);
	if (len < header || len % 8 != 0 || len > s->len - off || p[20] != kind)
		return -EBADMSG;
	if (snapshot_u32(p + 4) != checksum(p + 8, len - 8))
		return -EBADMSG;
	*ret_record = p;
	*ret_len = len;
	return 0;
}

/* take_user is 0 for a user who does not exist whatever the file says. */
static int
take_user(const struct snapshot *s, uint32_t unit, struct user_record *ret_user)
{
	const unsigned char *p;
	struct user_record u;
	size_t len, name_len, room;
	int r;

	r = record(s, unit, KIND_USER, USER_HEADER, &p, &len);
	if (r < 0)
		return r;
	u.uid = snapshot_u32(p + 8);
	u.gid = snapshot_u32(p + 12);
	u.n_groups = snapshot_u32(p + 16);
	room = len - USER_HEADER;
	if (u.n_groups > room / 4)
		return -EBADMSG;
	room -= (size_t)u.n_groups * 4;
	u.groups = p + USER_HEADER;
	u.text = (const char *)u.groups + (size_t)u.n_groups * 4;
	u.name = 0;
	name_len = p[21];
	u.gecos = name_len + 3; /* behind "x" */
	u.dir = u.gecos + u16(p + 22) + 1;
	u.shell = u.dir + u16(p + 24) + 1;
	u.text_len = u.shell + u16(p + 26) + 1;
	if (u.text_len > room || room - u.text_len > 7 || name_len == 0)
		return -EBADMSG;
	if (u.text[name_len] != '\0' || memcmp(u.text + name_len + 1, "x", 2) != 0 || u.text[u.dir - 1] != '\0' ||
	    u.text[u.shell - 1] != '\0' || u.text[u.text_len - 1] != '\0')
		return -EBADMSG;
	if (!snapshot_visible(u.uid) || !snapshot_visible(u.gid) || strcmp(u.text, "root") == 0)
		return 0;
	*ret_user = u;
	return 1;
}

static int
take_group(const struct snapshot *s, uint32_t unit, struct group_record *ret_group)
{
	const unsigned char *p;
	struct group_record g;
	size_t len, name_len, room;
	int r;

	r = record(s, unit, KIND_GROUP, GROUP_HEADER, &p, &len);
	if (r < 0)
		return r;
	g.gid = snapshot_u32(p + 8);
	g.n_members = snapshot_u32(p + 12);
	room = len - GROUP_HEADER;
	if (g.n_members > room)
		return -EBADMSG;
	room -= g.n_members;
	g.lengths = p + GROUP_HEADER;
	g.text = (const char *)g.lengths + g.n_members;
	name_len = p[21];
	g.members = name_len + 3;
	g.text_len = g.members + snapshot_u32(p + 16);
	if (g.text_len > room || room - g.text_len > 7 || name_len == 0)
		return -EBADMSG;
	if (g.text[name_len] != '\0' || memcmp(g.text + name_len + 1, "x", 2) != 0 || g.text[g.text_len - 1] != '\0')
		return -EBADMSG;
	if (!snapshot_visible(g.gid) || strcmp(g.text, "root") == 0)
		return 0;
	*ret_group = g;
	return 1;
}

static uint64_t
slot_at(const struct snapshot *s, const struct index *x, uint32_t at)
{
	const _Atomic uint64_t *slot = (const _Atomic uint64_t *)(s->base + x->off + (uint64_t)at * 8);
	uint64_t v = atomic_load_explicit(slot, memory_order_acquire); /* the record before the slot that names it */

	return u64((const unsigned char *)&v);
}

/* take_key is 1 when a record is the one with the key, 0 when it is another's. */
typedef int take_key(const struct snapshot *s, uint32_t unit, const void *key, void *ret);

/* find walks the slots where a key may be. A damaged record hides nothing behind it, but what is not found then is not known
 * not to be there. */
static int
find(const struct snapshot *s, int by, const void *key, size_t len, take_key *take, void *ret)
{
	const struct index *x = &s->index[by];
	uint64_t h = hash(s->key, key, len);
	uint32_t at = (uint32_t)((uint64_t)(uint32_t)h * x->cap >> 32);
	uint32_t left = x->cap < MAX_PROBE ? x->cap : MAX_PROBE;
	int damaged = 0;

	for (; left > 0; left--) {
		uint64_t slot = slot_at(s, x, at);

		if (slot == EMPTY)
			break;
		if (slot != TOMBSTONE && slot >> 32 == h >> 32) {
			int r = take(s, (uint32_t)slot, key, ret);

			if (r > 0)
				return r;
			if (r < 0)
				damaged = r;
		}
		if (++at == x->cap)
			at = 0;
	}
	return damaged;
}

static int
user_named(const struct snapshot *s, uint32_t unit, const void *name, void *ret)
{
	int r = take_user(s, unit, ret);

	return r > 0 && strcmp(((struct user_record *)ret)->text, name) != 0 ? 0 : r;
}

static int
group_named(const struct snapshot *s, uint32_t unit, const void *name, void *ret)
{
	int r = take_group(s, unit, ret);

	return r > 0 && strcmp(((struct group_record *)ret)->text, name) != 0 ? 0 : r;
}

static int
user_with_id(const struct snapshot *s, uint32_t unit, const void *id, void *ret)
{
	int r = take_user(s, unit, ret);

	return r > 0 && ((struct user_record *)ret)->uid != snapshot_u32(id) ? 0 : r;
}

static int
group_with_id(const struct snapshot *s, uint32_t unit, const void *id, void *ret)
{
	int r = take_group(s, unit, ret);

	return r > 0 && ((struct group_record *)ret)->gid != snapshot_u32(id) ? 0 : r;
}

int
snapshot_user_by_name(const struct snapshot *s, const char *name, struct user_record *ret_user)
{
	return find(s, BY_USER_NAME, name, strlen(name), user_named, ret_user);
}

int
snapshot_group_by_name(const struct snapshot *s, const char *name, struct group_record *ret_group)
{
	return find(s, BY_GROUP_NAME, name, strlen(name), group_named, ret_group);
}

static int
find_id(const struct snapshot *s, int by, uint32_t id, take_key *take, void *ret)
{
	unsigned char key[4];

	for (int i = 0; i < 4; i++)
		key[i] = (unsigned char)(id >> 8 * i);
	return find(s, by, key, sizeof key, take, ret);
}

int
snapshot_user_by_uid(const struct snapshot *s, uint32_t uid, struct user_record *ret_user)
{
	return find_id(s, BY_UID, uid, user_with_id, ret_user);
}

int
snapshot_group_by_gid(const struct snapshot *s, uint32_t gid, struct group_record *ret_group)
{
	return find_id(s, BY_GID, gid, group_with_id, ret_group);
}

/* An id keeps its slot for as long as the file is the file, whatever is changed in between: nothing is seen twice or missed. */
int
snapshot_user_at(const struct snapshot *s, uint32_t cursor, uint32_t *ret_next, struct user_record *ret_user)
{
	for (; cursor < s->index[BY_UID].cap; cursor++) {
		uint64_t slot = slot_at(s, &s->index[BY_UID], cursor);

		if (slot > TOMBSTONE && take_user(s, (uint32_t)slot, ret_user) > 0) {
			*ret_next = cursor + 1;
			return 1;
		}
	}
	return 0;
}

int
snapshot_group_at(const struct snapshot *s, uint32_t cursor, uint32_t *ret_next, struct group_record *ret_group)
{
	for (; cursor < s->index[BY_GID].cap; cursor++) {
		uint64_t slot = slot_at(s, &s->index[BY_GID], cursor);

		if (slot > TOMBSTONE && take_group(s, (uint32_t)slot, ret_group) > 0) {
			*ret_next = cursor + 1;
			return 1;
		}
	}
	return 0;
}
