/*
 * load.h - the same transaction many times, for --repeat. It is C from start to end, so that workers can be forked: a forked child
 * of the Go runtime has one thread and must not go back into Go. Each worker is a process, as no module promises to stand threads.
 */
#ifndef PAMTESTER_LOAD_H
#define PAMTESTER_LOAD_H

#include "conv.h"

#include <stdint.h>

enum load_call { LOAD_AUTHENTICATE, LOAD_ACCT_MGMT, LOAD_SETCRED, LOAD_OPEN_SESSION, LOAD_CLOSE_SESSION, LOAD_CHAUTHTOK, LOAD_SLEEP };

#define LOAD_NOT_REACHED (-1)
#define LOAD_UNANSWERED (-2) /* a question without an answer in the table */

struct load {
	const char *service, *user, *confdir;
	struct conversation *talk;
	int no_delay, cleanup;
	long repeat, warmup; /* transactions that count, and before them, in each worker, some that do not */
	int workers;
	struct load_item { int item; const char *value; } *items;
	char **env;
	int items_n, env_n, steps_n;
	struct load_step { enum load_call call; int flags, want; long ms; } *steps;
	/* What came of it, one row a transaction: how long the start, each step and all of it took, and each one's code. */
	int64_t *ns;
	int32_t *codes;
	int died; /* wait(2)'s status of a worker that did not come to its end, or 0 */
};

struct load *load_new(int items, int env, int steps);

/* load_run makes all transactions and returns 0, or a negative errno when a worker could not be started. */
int load_run(struct load *l);

/* load_call makes one of the six calls. What a module left in the buffer of standard output comes before what is said of the call. */
int load_call(pam_handle_t *pamh, enum load_call call, int flags);

#endif
