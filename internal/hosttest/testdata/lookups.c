/*
 * lookups LIBRARY NAME KEYS COUNT: times single look-ups of an NSS module, or of the C library and all it asks, when NAME is
 * "libc". LIBRARY "-" is a module that is part of the C library. KEYS has lines "u NAME UID GROUPS" and "g NAME GID MEMBERS"; at
 * most COUNT of each are asked for, once untimed where caches have to fill.
 *
 * Prints, for each kind of look-up: its name, the median and the 99th percentile in nanoseconds, and how many answers were wrong;
 * "-" where the module has no such look-up.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef enum nss_status status;

static status (*by_name)(const char *, struct passwd *, char *, size_t, int *);
static status (*by_uid)(uid_t, struct passwd *, char *, size_t, int *);
static status (*group)(const char *, struct group *, char *, size_t, int *);
static status (*groups)(const char *, gid_t, long *, long *, gid_t **, long, int *);

static status
said(int r, const void *found)
{
	return found != NULL ? NSS_STATUS_SUCCESS : r == ERANGE ? NSS_STATUS_TRYAGAIN : NSS_STATUS_NOTFOUND;
}

static status
libc_by_name(const char *name, struct passwd *pw, char *buf, size_t len, int *e)
{
	struct passwd *found;

	*e = getpwnam_r(name, pw, buf, len, &found);
	return said(*e, found);
}

static status
libc_by_uid(uid_t uid, struct passwd *pw, char *buf, size_t len, int *e)
{
	struct passwd *found;

	*e = getpwuid_r(uid, pw, buf, len, &found);
	return said(*e, found);
}

static status
libc_group(const char *name, struct group *gr, char *buf, size_t len, int *e)
{
	struct group *found;

	*e = getgrnam_r(name, gr, buf, len, &found);
	return said(*e, found);
}

static status
libc_groups(const char *name, gid_t gid, long *start, long *size, gid_t **list, long limit, int *e)
{
	int n = (int)*size;

	(void)limit;
	*e = 0;
	if (getgrouplist(name, gid, *list, &n) < 0)
		return NSS_STATUS_TRYAGAIN;
	*start = n;
	return NSS_STATUS_SUCCESS;
}

static void *
symbol(void *library, const char *name, const char *what)
{
	char full[128];
	void *p;

	snprintf(full, sizeof full, "_nss_%s_%s", name, what);
	p = dlsym(library, full);
	return p != NULL || library != RTLD_DEFAULT ? p : dlvsym(library, full, "GLIBC_PRIVATE");
}

struct key {
	char name[256];
	uint32_t id, count;
};

static struct key *users, *teams, large;
static size_t n_users, n_teams;

static void
read_keys(const char *path, size_t most)
{
	FILE *f = fopen(path, "r");
	struct key k;
	char kind;

	users = calloc(most, sizeof *users);
	teams = calloc(most, sizeof *teams);
	if (f == NULL || users == NULL || teams == NULL)
		exit(1);
	while (fscanf(f, " %c %255s %u %u", &kind, k.name, &k.id, &k.count) == 4) {
		if (kind == 'u' && n_users < most)
			users[n_users++] = k;
		else if (kind == 'g' && n_teams < most)
			teams[n_teams++] = k;
		if (kind == 'g' && k.count > large.count)
			large = k;
	}
	fclose(f);
}

enum { ROOM = 8 << 20, LIST = 70000 };
static char buf[ROOM];
static gid_t *list;
static long list_size = LIST;

static uint32_t
members(const struct group *gr)
{
	uint32_t n = 0;

	while (gr->gr_mem[n] != NULL)
		n++;
	return n;
}

static int
look_up(char kind, size_t i)
{
	const struct key *u = &users[i % n_users], *g = kind == 'G' ? &large : &teams[i % n_teams];
	char nobody[260];
	struct passwd pw;
	struct group gr;
	long start = 1;
	int e = 0;

	switch (kind) {
	case 'n':
		return by_name(u->name, &pw, buf, ROOM, &e) == NSS_STATUS_SUCCESS && pw.pw_uid == u->id;
	case 'u':
		return by_uid(u->id, &pw, buf, ROOM, &e) == NSS_STATUS_SUCCESS && strcmp(pw.pw_name, u->name) == 0;
	case 'm':
		snprintf(nobody, sizeof nobody, "%s_x", u->name);
		return by_name(nobody, &pw, buf, ROOM, &e) != NSS_STATUS_SUCCESS;
	case 'g':
		return group(g->name, &gr, buf, ROOM, &e) == NSS_STATUS_SUCCESS && gr.gr_gid == g->id;
	case 'G':
		return group(g->name, &gr, buf, ROOM, &e) == NSS_STATUS_SUCCESS && members(&gr) == g->count;
	default:
		return groups(u->name, 1, &start, &list_size, &list, -1, &e) == NSS_STATUS_SUCCESS && start == 1 + (long)u->count;
	}
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

enum { MOST = 50000 };
static double took[MOST];

static void
measure(const char *name, char kind, const void *there)
{
	double began, from, overhead = 1e9, end;
	size_t n, wrong = 0;

	if (there == NULL) {
		printf("%s - - -\n", name);
		return;
	}
	for (n = 0; n < 1000; n++) {
		from = now();
		from = now() - from;
		overhead = from < overhead ? from : overhead;
	}
	end = now() + 2e9;
	for (n = 0; n < n_users && now() < end; n++) /* what has to be warm is */
		look_up(kind, n);
	began = now();
	for (n = 0; n < MOST && (n < 3 || now() - began < 3e8); n++) {
		from = now();
		wrong += !look_up(kind, n);
		took[n] = now() - from - overhead;
	}
	qsort(took, n, sizeof *took, compare);
	printf("%s %.0f %.0f %zu\n", name, took[n / 2], took[n * 99 / 100], wrong);
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	void *library = RTLD_DEFAULT;

	if (argc != 5)
		return 2;
	list = calloc(LIST, sizeof *list);
	read_keys(argv[3], strtoul(argv[4], NULL, 10));
	if (strcmp(argv[1], "-") != 0)
		library = dlopen(argv[1], RTLD_NOW);
	if (library == NULL && strcmp(argv[1], "-") != 0) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	if (strcmp(argv[2], "libc") == 0) {
		by_name = libc_by_name;
		by_uid = libc_by_uid;
		group = libc_group;
		groups = libc_groups;
	} else {
		*(void **)&by_name = symbol(library, argv[2], "getpwnam_r");
		*(void **)&by_uid = symbol(library, argv[2], "getpwuid_r");
		*(void **)&group = symbol(library, argv[2], "getgrnam_r");
		*(void **)&groups = symbol(library, argv[2], "initgroups_dyn");
	}
	measure("getpwnam", 'n', (void *)by_name);
	measure("getpwuid", 'u', (void *)by_uid);
	measure("nobody", 'm', (void *)by_name);
	measure("getgrnam", 'g', (void *)group);
	measure("getgrnam-5000", 'G', (void *)group);
	measure("initgroups", 'i', (void *)groups);
	return 0;
}
