/* process.c - limits, signals, leftovers, a time-out and a command: everything of this process that is no PAM. */
#define _GNU_SOURCE
#include "process.h"
#include "conv.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define SIGNALS 32 /* the classic ones; the others are libc's and the runtime's own */

static struct rlimit files_at_start;
static struct sigaction signals_at_start[SIGNALS];

static char **kept;
static volatile sig_atomic_t kept_n;
static char alarm_word[160];

__attribute__((constructor)) static void
remember(void)
{
	int i;

	mallopt(M_ARENA_MAX, 1); /* the runtime's threads hardly use malloc: an arena for each costs a start more than it gives */
	getrlimit(RLIMIT_NOFILE, &files_at_start);
	for (i = 1; i < SIGNALS; i++)
		sigaction(i, NULL, &signals_at_start[i]);
}

void
process_restore(void)
{
	int i;

	setrlimit(RLIMIT_NOFILE, &files_at_start);
	for (i = 1; i < SIGNALS; i++)
		if (i != SIGKILL && i != SIGSTOP)
			sigaction(i, &signals_at_start[i], NULL);
}

struct rlimit
process_files(void)
{
	return files_at_start;
}

void
process_clean(void)
{
	while (kept_n > 0) {
		kept_n--;
		if (unlink(kept[kept_n]) < 0)
			rmdir(kept[kept_n]);
	}
}

static void
on_end(int signal)
{
	if (signal == SIGALRM)
		conversation_say(STDERR_FILENO, alarm_word);
	process_clean();
	raise(signal); /* SA_RESETHAND: the kernel's own answer now */
}

static void
on(int signal)
{
	struct sigaction act = { .sa_handler = on_end, .sa_flags = SA_ONSTACK | SA_RESETHAND | SA_NODEFER }, before;

	sigemptyset(&act.sa_mask);
	sigaction(signal, NULL, &before);
	if (before.sa_handler != SIG_IGN)
		sigaction(signal, &act, NULL);
}

void
process_keep(const char *path)
{
	static const int ending[PROCESS_ENDINGS] = PROCESS_ENDING, crash[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	char **more;
	size_t i;

	for (i = 0; kept == NULL && i < PROCESS_ENDINGS; i++)
		on(ending[i]);
	for (i = 0; kept == NULL && i < sizeof(crash) / sizeof(crash[0]); i++)
		on(crash[i]);
	more = malloc(((size_t)kept_n + 1) * sizeof(*more)); /* a handler may be reading the old one: it stays */
	if (more == NULL)
		abort();
	for (i = 0; i < (size_t)kept_n; i++)
		more[i] = kept[i];
	more[kept_n] = strdup(path);
	kept = more;
	kept_n++;
}

void
process_alone(void)
{
	kept_n = 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

void
process_alarm(long long ns, const char *word)
{
	struct itimerval timer = { .it_value = { .tv_sec = ns / 1000000000, .tv_usec = ns / 1000 % 1000000 } };

	strncpy(alarm_word, word, sizeof(alarm_word) - 1);
	signal(SIGALRM, SIG_DFL); /* also where the caller ignores it */
	on(SIGALRM);
	if (timer.it_value.tv_sec == 0 && timer.it_value.tv_usec == 0)
		timer.it_value.tv_usec = 1;
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* environ with variables added, each in place of one of the same name. The strings stay their owners'. */
static char **
merged(char **variables)
{
	size_t n = 0, i, j, k, name;
	char **all;

	for (i = 0; environ != NULL && environ[i] != NULL; i++)
		n++;
	for (i = 0; variables[i] != NULL; i++)
		n++;
	all = calloc(n + 1, sizeof(*all));
	if (all == NULL)
		return NULL;
	for (i = 0, k = 0; environ != NULL && environ[i] != NULL; i++) {
		name = strcspn(environ[i], "=");
		for (j = 0; variables[j] != NULL; j++)
			if (strncmp(environ[i], variables[j], name + 1) == 0)
				break;
		if (variables[j] == NULL)
			all[k++] = environ[i];
	}
	for (j = 0; variables[j] != NULL; j++)
		all[k++] = variables[j];
	return all;
}

int
process_run(const char *command, char **variables, int out)
{
	char *argv[] = { "sh", "-c", (char *)command, NULL }, **env = merged(variables);
	struct sigaction ignore = { .sa_handler = SIG_IGN }, interrupt, quit;
	posix_spawn_file_actions_t streams;
	posix_spawnattr_t attributes;
	sigset_t defaults;
	int status = -1, error;
	pid_t child;

	if (env == NULL)
		return -1;
	/* As system(3): an operator's Ctrl-C is for the command, which says how it ended. */
	sigemptyset(&ignore.sa_mask);
	sigaction(SIGINT, &ignore, &interrupt);
	sigaction(SIGQUIT, &ignore, &quit);
	sigemptyset(&defaults);
	if (interrupt.sa_handler != SIG_IGN)
		sigaddset(&defaults, SIGINT);
	if (quit.sa_handler != SIG_IGN)
		sigaddset(&defaults, SIGQUIT);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
	posix_spawn_file_actions_init(&streams);
	if (out != STDOUT_FILENO)
		posix_spawn_file_actions_adddup2(&streams, out, STDOUT_FILENO);
	error = posix_spawn(&child, "/bin/sh", &streams, &attributes, argv, env);
	if (error == 0)
		while (waitpid(child, &status, 0) < 0)
			if (errno != EINTR) {
				error = errno;
				status = -1;
				break;
			}
	posix_spawn_file_actions_destroy(&streams);
	posix_spawnattr_destroy(&attributes);
	sigaction(SIGINT, &interrupt, NULL);
	sigaction(SIGQUIT, &quit, NULL);
	free(env);
	errno = error;
	return status;
}
