/* hostile FILE SEED SECONDS: looks into damaged copies of a snapshot, as the NSS module would, under the sanitizers. Each copy is in
 * memory of exactly its size, and its checksums are made right again after the damage: what is checked behind them has to hold. */
#include "../../../nss_pwb/snapshot.c"
#include "../../../nss_pwb/nss_pwb.c"

#include <stdio.h>
#include <time.h>

static struct snapshot now;
static struct walk walks[WALKS];

int
view_take(struct view *ret_view)
{
	ret_view->snapshot = &now;
	return 0;
}

void
view_leave(struct view *v)
{
	(void)v;
}

struct walk *
walk_enter(int which)
{
	return &walks[which];
}

void
walk_leave(struct walk *w)
{
	(void)w;
}

bool
walk_is_open(const struct walk *w)
{
	return w->snapshot.base != NULL;
}

int
walk_open(struct walk *w)
{
	w->snapshot = now;
	w->cursor = 0;
	return 0;
}

void
walk_close(struct walk *w)
{
	w->snapshot.base = NULL;
	w->cursor = 0;
}

static uint64_t state;

static uint32_t
chance(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state >> 32) * below >> 32);
}

static void
put(unsigned char *p, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		p[i] = (unsigned char)(v >> 8 * i);
}

/* Numbers that are near a limit of something, more often than not. */
static uint32_t
number(size_t len)
{
	static const uint32_t some[] = { 0, 1, 7, 8, 24, 28, 32, 255, 256, 4095, 4096, 65535, 65536, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff };

	switch (chance(4)) {
	case 0:
		return some[chance(sizeof some / sizeof *some)];
	case 1:
		return (uint32_t)len - chance(64);
	case 2:
		return (uint32_t)(len / 8) - chance(8);
	default:
		return chance(4096);
	}
}

static void
believe(unsigned char *b, size_t len, size_t off)
{
	uint32_t n = off + 8 <= len ? snapshot_u32(b + off) : 0;

	if (n >= 16 && n % 8 == 0 && n <= len - off)
		put(b + off + 4, checksum(b + off + 8, n - 8), 4);
}

static void
damage(unsigned char *b, size_t len, size_t records)
{
	for (uint32_t times = 1 + chance(6); times > 0; times--) {
		size_t record = records, at;

		for (uint32_t skip = chance(12); skip > 0 && record + 8 < len && snapshot_u32(b + record) >= 16; skip--)
			record += snapshot_u32(b + record);
		switch (chance(6)) {
		case 0: /* an index */
			put(b + 40 + 16 * chance(4) + 8 * chance(2), number(len), 4);
			break;
		case 1: /* a slot leads elsewhere, its tag kept */
			at = HEADER_LEN + 8 * (size_t)chance((uint32_t)(records - HEADER_LEN) / 8);
			if (at + 8 <= len)
				put(b + at, number(len), 4);
			break;
		case 2: /* a record's numbers */
			at = record + 4 * chance(7);
			if (at + 4 <= len)
				put(b + at, number(len), 4);
			break;
		case 3:
			at = record + 20 + chance(8);
			if (at < len)
				b[at] = (unsigned char)number(len);
			break;
		case 4: /* its text */
			at = record + 20 + chance(200);
			if (at < len)
				b[at] = (unsigned char)(chance(2) ? 0 : chance(256));
			break;
		case 5:
			at = chance((uint32_t)len);
			b[at] = (unsigned char)chance(256);
		}
		if (record < len)
			believe(b, len, record);
	}
	if (chance(8) != 0)
		put(b + 16, len, 8);
	if (chance(8) != 0)
		put(b + STATIC_LEN, checksum(b, STATIC_LEN), 4);
}

static unsigned long found;

/* Every answer's text is read to its end. */
static void
use_user(status s, const struct passwd *pw)
{
	if (s != NSS_STATUS_SUCCESS)
		return;
	found += 1 + (strlen(pw->pw_name) + strlen(pw->pw_passwd) + strlen(pw->pw_gecos) + strlen(pw->pw_dir) + strlen(pw->pw_shell) == 0);
	if (pw->pw_uid < PWB_MIN_ID || pw->pw_gid < PWB_MIN_ID || pw->pw_uid == UINT32_MAX || strcmp(pw->pw_name, "root") == 0)
		abort();
}

static void
use_group(status s, const struct group *gr)
{
	if (s != NSS_STATUS_SUCCESS)
		return;
	found += strlen(gr->gr_name) + strlen(gr->gr_passwd) > 0;
	for (char **m = gr->gr_mem; *m != NULL; m++)
		found += strlen(*m) > 255;
	if (gr->gr_gid < PWB_MIN_ID || strcmp(gr->gr_name, "root") == 0)
		abort();
}

static void
ask(void)
{
	static const char *const names[] = { "alice", "bob", "u1", "u2", "u3", "g1", "g2", "staff", "root", "nobody", "" };
	size_t room = chance(3) == 0 ? chance(300) : 4096;
	char *buf = malloc(room);
	struct passwd pw;
	struct group gr;
	struct spwd sp;
	int e;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		long start = 0, size = 1 + chance(4);
		gid_t *list = malloc((size_t)size * sizeof *list);

		use_user(_nss_pwb_getpwnam_r(names[i], &pw, buf, room, &e), &pw);
		use_group(_nss_pwb_getgrnam_r(names[i], &gr, buf, room, &e), &gr);
		_nss_pwb_getspnam_r(names[i], &sp, buf, room, &e);
		_nss_pwb_initgroups_dyn(names[i], 5, &start, &size, &list, chance(2) ? -1 : 3, &e);
		free(list);
	}
	for (uint32_t id = 2000; id < 2012; id++) {
		use_user(_nss_pwb_getpwuid_r(id, &pw, buf, room, &e), &pw);
		use_group(_nss_pwb_getgrgid_r(id, &gr, buf, room, &e), &gr);
	}
	_nss_pwb_setpwent(0);
	for (int n = 0; n < 200 && _nss_pwb_getpwent_r(&pw, buf, room, &e) == NSS_STATUS_SUCCESS; n++)
		use_user(NSS_STATUS_SUCCESS, &pw);
	_nss_pwb_endpwent();
	_nss_pwb_setgrent(0);
	for (int n = 0; n < 200 && _nss_pwb_getgrent_r(&gr, buf, room, &e) == NSS_STATUS_SUCCESS; n++)
		use_group(NSS_STATUS_SUCCESS, &gr);
	_nss_pwb_endgrent();
	free(buf);
}

int
main(int argc, char **argv)
{
	static unsigned char whole[8 << 20];
	size_t len, records, n = 0;
	FILE *f;
	time_t end;

	if (argc != 4 || (f = fopen(argv[1], "r")) == NULL)
		return 2;
	len = fread(whole, 1, sizeof whole, f);
	fclose(f);
	state = strtoull(argv[2], NULL, 10) * 2654435769u + 88172645463325252u;
	records = (size_t)u64(whole + 128);
	for (end = time(NULL) + atoi(argv[3]); time(NULL) < end; n++) {
		size_t cut = chance(4) == 0 ? 8 * chance((uint32_t)(len - records) / 8) : 0;
		unsigned char *copy = malloc(len - cut);

		memcpy(copy, whole, len - cut);
		damage(copy, len - cut, records);
		now = (struct snapshot){ .base = copy, .len = len - cut };
		if (read_header(&now) == 0)
			ask();
		free(copy);
	}
	printf("%zu files, %lu answers\n", n, found);
	return found < n; /* a harness whose damage is always found out looks at nothing */
}
