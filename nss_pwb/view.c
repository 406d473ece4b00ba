#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "view.h"

enum { STRIPES = 16, RETRIES = 64 };

/* Each counter on a line of its own: threads on different processors do not take it from each other. */
struct counter {
	_Atomic uint32_t n;
	char line[60];
};

/* What a fork must not copy: who is reading, who is loading, who is in a walk. The page is zero in a child (MADV_WIPEONFORK). */
struct shared {
	struct counter readers[2][STRIPES];
	_Atomic uint32_t loading;
	_Atomic uint32_t walking[WALKS];
};

/* What a fork may copy: mappings are a child's too. A place that was being filled is not whole, and is filled anew. */
static struct place {
	_Atomic uint32_t whole;
	struct snapshot snapshot;
} places[2];
static _Atomic uint32_t current; /* 0: none; else the number of a place, plus one */
static _Atomic uint64_t looked;  /* second of the last look at the path */
static struct shared *_Atomic shared_page;
static struct walk walks[WALKS]; /* likewise: one that was being opened or closed is opened anew */

static struct shared *
shared(void)
{
	struct shared *s = atomic_load(&shared_page), *none = NULL;
	void *p;

	if (s != NULL)
		return s;
	p = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (madvise(p, sizeof *s, MADV_WIPEONFORK) < 0) { /* before Linux 4.14: then every call has a mapping of its own */
		munmap(p, sizeof *s);
		return NULL;
	}
	if (!atomic_compare_exchange_strong(&shared_page, &none, p)) {
		munmap(p, sizeof *s);
		return none;
	}
	return p;
}

static int
private_view(struct view *ret_view)
{
	int r = snapshot_open(PWB_SNAPSHOT, &ret_view->own);

	ret_view->snapshot = &ret_view->own;
	ret_view->readers = NULL;
	return r;
}

static bool
has_readers(struct shared *s, uint32_t place)
{
	for (int i = 0; i < STRIPES; i++)
		if (atomic_load(&s->readers[place][i].n) != 0)
			return true;
	return false;
}

static void
empty(struct place *p)
{
	if (atomic_exchange(&p->whole, 0) != 0)
		snapshot_close(&p->snapshot);
}

/*
 * load maps the file that is there now, in the place that is not in use, and makes it the current one. -EBUSY: another thread is
 * at it, or somebody still reads in that place.
 *
 * A reader counts itself, then looks whether its place is still the current one; a loader makes another the current one, then
 * looks for readers. All of that is sequentially consistent, so one of them sees the other.
 */
static int
load(struct shared *s)
{
	uint32_t none = 0, was, to;
	struct snapshot fresh;
	int r;

	if (!atomic_compare_exchange_strong(&s->loading, &none, 1))
		return -EBUSY;
	was = atomic_load(&current);
	to = was == 1 ? 1 : 0;
	r = has_readers(s, to) ? -EBUSY : snapshot_open(PWB_SNAPSHOT, &fresh);
	if (r == 0) {
		empty(&places[to]);
		places[to].snapshot = fresh;
		atomic_store(&places[to].whole, 1);
		atomic_store(&current, to + 1);
		if (was != 0 && !has_readers(s, was - 1))
			empty(&places[was - 1]);
	}
	atomic_store(&s->loading, 0);
	return r;
}

/* is_due lets one thread a second look at the path. */
static bool
is_due(void)
{
	struct timespec now;
	uint64_t last = atomic_load_explicit(&looked, memory_order_relaxed);

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return last != (uint64_t)now.tv_sec && atomic_compare_exchange_strong(&looked, &last, (uint64_t)now.tv_sec);
}

/* is_old says that another file is in the place of a mapped one. The writer's word in the old file comes first; the look at the
 * path is for a writer that died before it could say so. */
static bool
is_old(const struct snapshot *s)
{
	struct stat st;

	if (snapshot_superseded(s))
		return true;
	return is_due() && stat(PWB_SNAPSHOT, &st) == 0 && (st.st_ino != s->ino || st.st_dev != s->dev);
}

int
view_take(struct view *ret_view)
{
	struct shared *s = shared();
	bool reloaded = false;
	struct view own;
	int r;

	for (int i = 0; s != NULL && i < RETRIES; i++) {
		uint32_t at = atomic_load(&current);
		_Atomic uint32_t *readers;

		if (at == 0) {
			r = load(s);
			if (r == -EBUSY)
				break;
			if (r < 0)
				return r;
			reloaded = true;
			continue;
		}
		readers = &s->readers[at - 1][(uintptr_t)&s >> 12 & (STRIPES - 1)].n; /* threads have stacks of their own */
		atomic_fetch_add(readers, 1);
		if (atomic_load(&current) != at) {
			atomic_fetch_sub(readers, 1);
			continue;
		}
		ret_view->snapshot = &places[at - 1].snapshot;
		ret_view->readers = readers;
		if (reloaded || !is_old(ret_view->snapshot))
			return 0;
		r = load(s);
		if (r == 0) {
			view_leave(ret_view);
			reloaded = true;
			continue;
		}
		if (r == -EBUSY && private_view(&own) == 0) {
			view_leave(ret_view);
			*ret_view = own;
			ret_view->snapshot = &ret_view->own;
		}
		return 0; /* the path is gone, or another's (chroot): what is mapped is still the best that is known */
	}
	return private_view(ret_view);
}

void
view_leave(struct view *v)
{
	if (v->readers != NULL)
		atomic_fetch_sub(v->readers, 1);
	else
		snapshot_close(&v->own);
}

struct walk *
walk_enter(int which)
{
	struct shared *s = shared();
	uint32_t none;

	if (s == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	for (int i = 0; i < RETRIES; i++) { /* glibc lets in one at a time; who calls the module directly may not */
		none = 0;
		if (atomic_compare_exchange_strong(&s->walking[which], &none, 1)) {
			walks[which].busy = &s->walking[which];
			return &walks[which];
		}
		sched_yield();
	}
	errno = EAGAIN;
	return NULL;
}

void
walk_leave(struct walk *w)
{
	atomic_store(w->busy, 0);
}

bool
walk_is_open(const struct walk *w)
{
	return atomic_load(&w->whole) != 0;
}

int
walk_open(struct walk *w)
{
	int r;

	walk_close(w);
	r = snapshot_open(PWB_SNAPSHOT, &w->snapshot);
	if (r == 0)
		atomic_store(&w->whole, 1);
	return r;
}

void
walk_close(struct walk *w)
{
	if (atomic_exchange(&w->whole, 0) != 0)
		snapshot_close(&w->snapshot);
	w->cursor = 0;
}
