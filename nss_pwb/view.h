/*
 * Which mapping of the snapshot a call looks into. A view is taken for one call and left when it is over; in between, the
 * mapping stays. Nothing here waits for another thread, and nothing is left in a bad state by fork(2).
 */
#ifndef VIEW_H
#define VIEW_H

#include "snapshot.h"

struct view {
	const struct snapshot *snapshot;
	struct snapshot own;        /* of a view that shares with nobody */
	_Atomic uint32_t *readers;  /* NULL for such a view */
};

/* view_take returns 0 or a negative errno: there is no snapshot, or none that can be trusted. */
int view_take(struct view *ret_view);
void view_leave(struct view *v);

/* One walk through all users, or all groups, of the process (getpwent(3)). It has a mapping of its own from its beginning to its
 * end. A child of a fork goes on where its parent was, as it would in a file. */
struct walk {
	_Atomic uint32_t *busy;
	_Atomic uint32_t whole; /* not 0: the snapshot is open, and no fork has come in between */
	uint32_t cursor;
	struct snapshot snapshot;
};

enum { WALK_PASSWD, WALK_GROUP, WALK_SHADOW, WALKS };

/* walk_enter returns the walk, which the caller has alone until walk_leave, or NULL with errno: somebody else is in it. */
struct walk *walk_enter(int which);
void walk_leave(struct walk *w);
bool walk_is_open(const struct walk *w);
int walk_open(struct walk *w);
void walk_close(struct walk *w);

#endif
