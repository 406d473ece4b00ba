/*
 * spawn.c - starts a worker for one call inside somebody else's process. See reach.h; the measurements behind every line
 * here are that a host may ignore SIGCHLD, reap everything, have blocked signals, closed its standard streams, lowered its
 * limits, grown to gigabytes, or be a set-user-id program with the caller's environment.
 *
 * A direct child would be seen: execve(2) resets the exit signal to SIGCHLD. So the child is a nanny, cloned without an
 * exit signal, that never execs: it starts the worker as its own child, waits for it, and ends. The nanny shares our
 * memory and therefore our thread-local storage: from the clone on it, and the worker until its execve, make raw system
 * calls only, no libc and no errno.
 */
#define _GNU_SOURCE
#include "reach.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STACK       65536
#define STACKS      (2 * STACK + 4096)
#define EXEC_FD     4
#define LEAVE_NS    500000000 /* a worker that has answered ends by itself in this time, or is killed */
#define NOFILE      1024
#define STACK_LIMIT (8u << 20)

/* What nanny and worker read; lives at the top of the mapping that holds their stacks. */
struct start {
	int socket;   /* the worker's end */
	int program;  /* O_PATH descriptor of what was checked */
	int alive;    /* the nanny; the kernel clears it */
	int running;  /* the worker, until its execve; likewise */
	int failed;   /* negative errno of the execve, if it came back */
	void *stack;  /* the worker's, its upper end */
};

static int
is_roots_alone(const struct stat *st)
{
	return st->st_uid == 0 && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* Opens one name below dir for checking only, never through a link, and closes dir. */
static int
step(int dir, const char *name, size_t n, int directory)
{
	char part[256];
	struct stat st;
	int fd, error;

	if (n == 0 || n >= sizeof(part)) {
		close(dir);
		return -EINVAL;
	}
	memcpy(part, name, n);
	part[n] = '\0';
	fd = openat(dir, part, O_PATH | O_NOFOLLOW | O_CLOEXEC | (directory ? O_DIRECTORY : 0));
	error = fd < 0 ? -errno : 0;
	close(dir);
	if (error == 0 && fstat(fd, &st) < 0)
		error = -errno;
	if (error == 0 && !directory && S_ISLNK(st.st_mode))
		error = -ELOOP;
	if (error == 0 && (!is_roots_alone(&st) || (!directory && !S_ISREG(st.st_mode))))
		error = -EPERM;
	if (error < 0 && fd >= 0)
		close(fd);
	return error < 0 ? error : fd;
}

/* Returns a descriptor of the program at an absolute path, or why it is not to be trusted. */
static int
open_program(const char *path)
{
	const char *name = path + 1, *slash;
	struct stat st;
	int fd;

	if (path[0] != '/')
		return -EINVAL;
	fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !is_roots_alone(&st)) {
		close(fd);
		return -EPERM;
	}
	for (; (slash = strchr(name, '/')) != NULL; name = slash + 1) {
		fd = step(fd, name, (size_t)(slash - name), 1);
		if (fd < 0)
			return fd;
	}
	return step(fd, name, strlen(name), 0);
}

/* --- raw system calls only, from here to the end of nanny ---------------------------------------------------------- */

static void
close_from(int first)
{
	struct rlimit limit = { 0, 0 };
	long fd, top;

	if (raw(SYS_close_range, first, ~0U, 0, 0, 0) == 0)
		return;
	/* Linux before 5.9 */
	raw(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0);
	top = limit.rlim_cur > 1048576 ? 1048576 : (long)limit.rlim_cur;
	for (fd = first; fd < top; fd++)
		raw(SYS_close, fd, 0, 0, 0, 0);
}

static void
default_signal(int signal)
{
	unsigned long action[4] = { 0, 0, 0, 0 }; /* the kernel's struct sigaction: SIG_DFL, no flags, empty mask */

	raw(SYS_rt_sigaction, signal, (long)action, 0, sizeof(unsigned long), 0);
}

static void
raise_limit(int which, unsigned long soft)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	/* Limits are the session's, and the worker is not in it: a home is made whole even where a person may write little. */
	if (soft != RLIM_INFINITY)
		limit.rlim_cur = soft;
	if (raw(SYS_prlimit64, 0, which, (long)&limit, 0, 0) == 0)
		return;
	raw(SYS_prlimit64, 0, which, 0, (long)&limit, 0);
	limit.rlim_cur = limit.rlim_max < soft ? limit.rlim_max : soft;
	raw(SYS_prlimit64, 0, which, (long)&limit, 0, 0);
}

static void
limits(void)
{
	struct rlimit none = { 0, 0 }, files = { 0, 0 };

	raise_limit(RLIMIT_AS, RLIM_INFINITY);
	raise_limit(RLIMIT_DATA, RLIM_INFINITY);
	raise_limit(RLIMIT_FSIZE, RLIM_INFINITY);
	raise_limit(RLIMIT_CPU, RLIM_INFINITY);
	raise_limit(RLIMIT_NPROC, RLIM_INFINITY);
	raise_limit(RLIMIT_STACK, STACK_LIMIT);
	raw(SYS_prlimit64, 0, RLIMIT_CORE, (long)&none, 0, 0);
	raw(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&files, 0);
	files.rlim_cur = files.rlim_max < NOFILE ? files.rlim_max : NOFILE;
	raw(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)&files, 0, 0);
}

/* Not the caller's either: a person could run su when nobody else wants the processor, and the worker holds up every login. */
static void
priority(void)
{
	int none = 0; /* struct sched_param */

	raw(SYS_sched_setscheduler, 0, SCHED_OTHER, (long)&none, 0, 0);
	raw(SYS_setpriority, PRIO_PROCESS, 0, 0, 0, 0);
	raw(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, 0, 0, 0);
}

/* Descriptors: /dev/null on 0 to 2, the socket on 3, the program on 4 until the execve, nothing else. */
static int
descriptors(const struct start *s)
{
	long null = raw(SYS_openat, AT_FDCWD, (long)"/dev/null", O_RDWR | O_CLOEXEC, 0, 0);
	int fd;

	if (null < 0)
		return -1;
	for (fd = 0; fd <= 2; fd++)
		if (null != fd && raw(SYS_dup3, null, fd, 0, 0, 0) < 0)
			return -1;
	if (null <= 2)
		raw(SYS_fcntl, null, F_SETFD, 0, 0, 0);
	if (raw(SYS_dup3, s->socket, 3, 0, 0, 0) < 0 || raw(SYS_dup3, s->program, EXEC_FD, O_CLOEXEC, 0, 0) < 0)
		return -1;
	close_from(EXEC_FD + 1);
	return 0;
}

/* The worker until its execve. The caller's ids go: with its real uid the calling user could signal or trace us. */
static void
become_worker(void *arg)
{
	static const char *const argv[] = { "pwb", "worker", "--call", NULL };
	static const char *const envp[] = { "GOMAXPROCS=1", "GOTRACEBACK=none", NULL };
	struct start *s = arg;
	unsigned long nothing = 0;
	long error;
	int signal;

	for (signal = 1; signal <= 64; signal++)
		default_signal(signal);
	raw(SYS_setsid, 0, 0, 0, 0, 0);
	if (descriptors(s) < 0 || raw(SYS_chdir, (long)"/", 0, 0, 0, 0) < 0)
		goto out;
	raw(SYS_umask, 077, 0, 0, 0, 0);
	limits();
	priority();
	raw(SYS_setgroups, 0, 0, 0, 0, 0);
	if (raw(SYS_setresgid, 0, 0, 0, 0, 0) < 0 || raw(SYS_setresuid, 0, 0, 0, 0, 0) < 0)
		goto out;
	/* Tied to the nanny, not to a thread of the host; and before the mask, which a signal of the host's may wait behind. */
	raw(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&nothing, 0, sizeof(nothing), 0);
	error = raw(SYS_execveat, EXEC_FD, (long)"", (long)argv, (long)envp, AT_EMPTY_PATH);
	if (error == -ENOSYS)
		error = raw(SYS_execve, (long)"/proc/self/fd/4", (long)argv, (long)envp, 0, 0);
	s->failed = (int)error; /* our memory is the host's until an execve that works */
out:
	raw(SYS_exit_group, 127, 0, 0, 0, 0);
}

static void
nanny(void *arg)
{
	struct start *s = arg;
	long worker;

	default_signal(SIGCHLD); /* ignored, it would reap the worker for us: harmless, but then the pid is free too early */
	s->running = 1;
	worker = raw_clone(CLONE_VM | CLONE_VFORK | CLONE_CHILD_CLEARTID | SIGCHLD, s->stack, &s->running, become_worker, s);
	if (worker < 0)
		s->running = 0;
	close_from(0); /* our copy of the host's descriptors: without this the worker would not see the host go */
	if (worker > 0)
		while (raw(SYS_wait4, worker, 0, 0, 0, 0) == -EINTR)
			;
	raw(SYS_exit, 0, 0, 0, 0, 0);
}

/* --- libc again ---------------------------------------------------------------------------------------------------- */

/* Two ends above the standard streams and above the numbers that the worker's set-up uses. */
static int
socket_pair(int ret_ends[2])
{
	int ends[2], i, error = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	for (i = 0; i < 2; i++) {
		ret_ends[i] = error == 0 ? fcntl(ends[i], F_DUPFD_CLOEXEC, EXEC_FD + 1) : -1;
		if (error == 0 && ret_ends[i] < 0)
			error = -errno;
		close(ends[i]);
	}
	if (error == 0 && fcntl(ret_ends[0], F_SETFL, O_NONBLOCK) < 0)
		error = -errno;
	if (error < 0)
		for (i = 0; i < 2; i++)
			if (ret_ends[i] >= 0)
				close(ret_ends[i]);
	return error;
}

/* Starts the nanny on stacks of its own; signals are blocked across the clone, so that no handler of the host runs in it. */
static int
start_nanny(struct worker *w, int socket, int program)
{
	struct start *s;
	sigset_t all, before;
	char *map;
	long pid;

	map = mmap(NULL, STACKS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (map == MAP_FAILED)
		return -errno;
	s = (struct start *)(void *)(map + 2 * STACK);
	*s = (struct start){ .socket = socket, .program = program, .alive = 1, .stack = map + STACK };
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = raw_clone(CLONE_VM | CLONE_CHILD_CLEARTID, map + 2 * STACK, &s->alive, nanny, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0) {
		munmap(map, STACKS);
		return (int)pid;
	}
	w->nanny = (pid_t)pid;
	w->stacks = map;
	w->alive = &s->alive;
	w->running = &s->running;
	w->failed = &s->failed;
	return 0;
}

int
worker_spawn(struct worker *w, const char *path)
{
	int ends[2] = { -1, -1 }, program, high, error;

	program = open_program(path);
	if (program < 0)
		return program;
	high = fcntl(program, F_DUPFD_CLOEXEC, EXEC_FD + 1);
	error = high < 0 ? -errno : 0;
	close(program);
	if (error < 0)
		return error;
	error = socket_pair(ends);
	if (error < 0) {
		close(high);
		return error;
	}
	error = start_nanny(w, ends[1], high);
	close(ends[1]);
	close(high);
	if (error < 0)
		close(ends[0]);
	else
		w->fd = ends[0];
	return error;
}

/* Waits until the nanny is gone, and kills it when that takes too long: the worker goes with it (PR_SET_PDEATHSIG). */
static void
see_off_nanny(const struct worker *w)
{
	int64_t end = worker_now() + LEAVE_NS, left;
	struct timespec t = { 0, 0 };

	while (__atomic_load_n(w->alive, __ATOMIC_ACQUIRE) != 0) {
		left = end - worker_now();
		if (left <= 0) {
			kill(w->nanny, SIGKILL);
			end = INT64_MAX;
			continue;
		}
		if (left > 900000000)
			left = 900000000;
		t.tv_nsec = (long)left;
		syscall(SYS_futex, w->alive, FUTEX_WAIT, 1, &t, NULL, 0);
	}
	while (waitpid(w->nanny, NULL, (int)__WCLONE) < 0 && errno == EINTR)
		;
	/* A worker that hangs before its execve is not tied to the nanny yet. Without a stack it would fall, and a core dump of what
	 * it shares with the host could take the host along. */
	if (__atomic_load_n(w->running, __ATOMIC_ACQUIRE) == 0)
		munmap(w->stacks, STACKS);
}

int
worker_reason(const struct worker *w, int error)
{
	int failed;

	if (w->failed == NULL || (error != -EPIPE && error != -ECONNRESET))
		return error;
	failed = __atomic_load_n(w->failed, __ATOMIC_ACQUIRE);
	return failed < 0 ? failed : error;
}

void
worker_leave(struct worker *w)
{
	if (w->fd >= 0)
		close(w->fd);
	if (w->nanny > 0)
		see_off_nanny(w);
	*w = (struct worker){ .fd = -1 };
}
