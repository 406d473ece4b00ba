/* load.c - see load.h. A row of results has steps_n + 2 columns: pam_start(3) with items and environment, the steps, the whole. */
#define _GNU_SOURCE
#include "load.h"
#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *
zeros(size_t n, size_t size)
{
	void *p = calloc(n + 1, size);

	if (p == NULL)
		abort();
	return p;
}

struct load *
load_new(int items, int env, int steps)
{
	struct load *l = zeros(1, sizeof(*l));

	l->items_n = items;
	l->env_n = env;
	l->steps_n = steps;
	l->items = zeros((size_t)items, sizeof(*l->items));
	l->env = zeros((size_t)env, sizeof(*l->env));
	l->steps = zeros((size_t)steps, sizeof(*l->steps));
	return l;
}

static size_t
cells(const struct load *l)
{
	return (size_t)l->repeat * (size_t)(l->steps_n + 2);
}

static int
make_call(pam_handle_t *pamh, enum load_call call, int flags)
{
	switch (call) {
	case LOAD_AUTHENTICATE:
		return pam_authenticate(pamh, flags);
	case LOAD_ACCT_MGMT:
		return pam_acct_mgmt(pamh, flags);
	case LOAD_SETCRED:
		return pam_setcred(pamh, flags);
	case LOAD_OPEN_SESSION:
		return pam_open_session(pamh, flags);
	case LOAD_CLOSE_SESSION:
		return pam_close_session(pamh, flags);
	case LOAD_CHAUTHTOK:
		return pam_chauthtok(pamh, flags);
	default:
		return PAM_SYSTEM_ERR;
	}
}

int
load_call(pam_handle_t *pamh, enum load_call call, int flags)
{
	int code = make_call(pamh, call, flags);

	fflush(stdout);
	return code;
}

/*
 * A handle that is never used keeps the modules loaded from one transaction to the next, as another session does in a server.
 * Loading them again and again would be most of what is measured. Where there is no such handle no transaction starts either.
 */
static pam_handle_t *
hold(const struct load *l, const struct pam_conv *conv)
{
	pam_handle_t *held = NULL;
	int code = l->confdir == NULL ? pam_start(l->service, l->user, conv, &held) :
		pam_start_confdir(l->service, l->user, conv, l->confdir, &held);

	return code == PAM_SUCCESS ? held : NULL;
}

static int
begin(const struct load *l, const struct pam_conv *conv, pam_handle_t **ret_pamh)
{
	int i, code;

	code = l->confdir == NULL ? pam_start(l->service, l->user, conv, ret_pamh) :
		pam_start_confdir(l->service, l->user, conv, l->confdir, ret_pamh);
	if (code != PAM_SUCCESS) {
		*ret_pamh = NULL;
		return code;
	}
	if (l->no_delay)
		code = pam_set_item(*ret_pamh, PAM_FAIL_DELAY, (const void *)no_delay);
	for (i = 0; i < l->items_n && code == PAM_SUCCESS; i++)
		code = pam_set_item(*ret_pamh, l->items[i].item, l->items[i].value);
	for (i = 0; i < l->env_n && code == PAM_SUCCESS; i++)
		code = pam_putenv(*ret_pamh, l->env[i]);
	return code;
}

static int
step(const struct load *l, const struct load_step *s, pam_handle_t *pamh)
{
	struct timespec pause = { .tv_sec = s->ms / 1000, .tv_nsec = s->ms % 1000 * 1000000 };
	int code;

	if (s->call == LOAD_SLEEP) {
		while (nanosleep(&pause, &pause) < 0 && errno == EINTR)
			;
		return PAM_SUCCESS;
	}
	code = load_call(pamh, s->call, s->flags);
	return l->talk->unanswered != NULL ? LOAD_UNANSWERED : code;
}

/* Closes what is open after a failure, when --cleanup says so. codes are those of the steps that were reached. */
static void
undo(const struct load *l, pam_handle_t *pamh, const int32_t *codes, int reached)
{
	int i, open = 0, creds = 0;

	for (i = 0; i < reached; i++) {
		if (codes[i] != PAM_SUCCESS)
			continue;
		if (l->steps[i].call == LOAD_OPEN_SESSION)
			open++;
		if (l->steps[i].call == LOAD_CLOSE_SESSION && open > 0)
			open--;
		if (l->steps[i].call == LOAD_SETCRED)
			creds = (l->steps[i].flags & PAM_DELETE_CRED) == 0;
	}
	for (; open > 0; open--)
		pam_close_session(pamh, 0);
	if (creds)
		pam_setcred(pamh, PAM_DELETE_CRED);
}

static void
transaction(const struct load *l, const struct pam_conv *conv, int64_t *ns, int32_t *codes)
{
	int64_t began = now_ns(), mark = began, now;
	pam_handle_t *pamh = NULL;
	int i, code, done = 1;

	for (i = 0; i < l->steps_n + 2; i++)
		codes[i] = LOAD_NOT_REACHED;
	conversation_rewind(l->talk);
	code = codes[0] = begin(l, conv, &pamh);
	now = now_ns();
	ns[0] = now - mark;
	done = code == PAM_SUCCESS;
	for (i = 0; i < l->steps_n && done; i++) {
		mark = now;
		code = codes[i + 1] = step(l, &l->steps[i], pamh);
		now = now_ns();
		ns[i + 1] = now - mark;
		done = code == l->steps[i].want;
	}
	if (!done && l->cleanup && pamh != NULL)
		undo(l, pamh, codes + 1, i);
	if (pamh != NULL)
		pam_end(pamh, code < 0 ? PAM_CONV_ERR : code);
	ns[l->steps_n + 1] = now_ns() - began;
	codes[l->steps_n + 1] = done ? 0 : 1;
}

/* Worker number w of all makes every workers-th transaction. */
static void
work(const struct load *l, int w)
{
	struct pam_conv conv = { .conv = conversation_answer, .appdata_ptr = l->talk };
	size_t width = (size_t)(l->steps_n + 2);
	pam_handle_t *held = hold(l, &conv);
	int64_t *ns = zeros(width, sizeof(*ns));
	int32_t *codes = zeros(width, sizeof(*codes));
	long i;

	for (i = 0; i < l->warmup; i++)
		transaction(l, &conv, ns, codes);
	free(ns);
	free(codes);
	for (i = w; i < l->repeat; i += l->workers)
		transaction(l, &conv, l->ns + (size_t)i * width, l->codes + (size_t)i * width);
	if (held != NULL)
		pam_end(held, PAM_SUCCESS);
}

static int
fork_workers(struct load *l)
{
	struct sigaction wait_for = { .sa_handler = SIG_DFL }, children;
	pid_t child, parent = getpid();
	int w, status, error = 0;

	sigaction(SIGCHLD, &wait_for, &children); /* ignored, as by some callers, workers would end unseen */
	for (w = 0; w < l->workers; w++) {
		child = fork();
		if (child < 0) {
			error = -errno;
			break;
		}
		if (child == 0) {
			process_alone(parent);
			sigaction(SIGCHLD, &children, NULL);
			work(l, w);
			fflush(stdout);
			_exit(0);
		}
	}
	while (w-- > 0) {
		while ((child = wait(&status)) < 0 && errno == EINTR)
			;
		if (child < 0 && error == 0)
			error = -errno;
		if (child > 0 && status != 0)
			l->died = status;
	}
	sigaction(SIGCHLD, &children, NULL);
	return error;
}

int
load_run(struct load *l)
{
	l->ns = mmap(NULL, cells(l) * sizeof(*l->ns), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	l->codes = mmap(NULL, cells(l) * sizeof(*l->codes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (l->ns == MAP_FAILED || l->codes == MAP_FAILED) {
		l->ns = l->ns == MAP_FAILED ? NULL : l->ns;
		l->codes = l->codes == MAP_FAILED ? NULL : l->codes;
		return -errno;
	}
	if (l->workers > 1)
		return fork_workers(l);
	work(l, 0);
	return 0;
}
