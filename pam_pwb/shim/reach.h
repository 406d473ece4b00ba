/*
 * reach.h - a connection to a worker: the resident one, or one started for this call. It knows processes and sockets, not
 * PAM and not what frames mean. Functions return 0 or a negative errno.
 */
#ifndef PWB_REACH_H
#define PWB_REACH_H

#include "../frame.h"

#include <stdint.h>
#include <sys/types.h>

struct worker {
	int fd;           /* SOCK_SEQPACKET, non-blocking, above 2; -1 when there is none */
	int64_t deadline; /* CLOCK_MONOTONIC, nanoseconds: no wait goes beyond it */
	pid_t nanny;      /* who waits for a started worker; 0 for a resident one */
	void *stacks;     /* of nanny and worker, until the nanny is gone */
	int *alive;       /* not 0 while the nanny lives: the kernel clears it and wakes who waits on it */
	int *running;     /* not 0 while a started worker still stands on the stacks: until its execve, or its end */
	int *failed;      /* why the program could not be run, once that is known; NULL for a resident worker */
};

/* worker_now is the clock of deadlines. */
int64_t worker_now(void);

/*
 * worker_connect connects to the resident worker, which must run as root: -ECONNREFUSED or -ENOENT when nobody listens,
 * -EAGAIN when its queue is full, -EACCES when the listener is not root.
 */
int worker_connect(struct worker *w, const char *path);

/*
 * worker_is_here says whether the resident worker sees the files that this process sees, and is in no other container, mount
 * namespace or chroot. It is where its listener is, who is systemd or itself. (What its unit then takes away of that, as
 * ProtectSystem= does, makes it fail at such a home.)
 */
int worker_is_here(const struct worker *w);

/*
 * worker_spawn starts the program at path for one call, unseen by the host: no SIGCHLD, nothing in its wait(), none of its
 * descriptors, signals, limits or environment in the new process. Every folder down to the program and the program itself
 * must be root's, and writable by nobody else: -EPERM; a link anywhere: -ELOOP or -ENOTDIR. What was checked is what runs.
 */
int worker_spawn(struct worker *w, const char *path);

/* worker_send sends the finished frame; worker_recv receives one: its kind and sequence, or an error. EOF is -ECONNRESET. */
int worker_send(const struct worker *w, const struct frame *f);
int worker_recv(const struct worker *w, struct frame *f, unsigned *ret_kind, uint32_t *ret_seq);

/* worker_reason returns why a started worker never ran, where that is what error, met on its socket, came from; else error. */
int worker_reason(const struct worker *w, int error);

/* worker_leave ends the connection, and with it a started worker: no process, descriptor or mapping stays behind. */
void worker_leave(struct worker *w);

#endif
