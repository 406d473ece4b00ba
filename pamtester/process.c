/* process.c - limits, signals, leftovers, a time-out and a command: everything of this process that is no PAM. */
#define _GNU_SOURCE
#include "process.h"
#include "conv.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
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

/* What is to be removed, the newest first. It only grows, at its head, so that a signal finds it whole at any moment. */
struct kept {
	struct kept *before;
	char path[];
};

static _Atomic(struct kept *) kept;
static pthread_t main_thread;
static int kept_in = -1; /* the folder of all that is kept, wherever a module moves this process */
static size_t kept_from; /* where the rest of a path begins */
static pid_t owner;      /* not a child that a module forked */
static char alarm_word[160];

static const int endings[PROCESS_ENDINGS] = PROCESS_ENDING, crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };

#define CRASHES (sizeof(crashes) / sizeof(crashes[0]))

__attribute__((constructor)) static void
remember(void)
{
	int i;

	main_thread = pthread_self();
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

__attribute__((destructor)) void
process_clean(void)
{
	const struct kept *k;

	if (getpid() != owner)
		return;
	for (k = atomic_load(&kept); k != NULL; k = k->before)
		if (unlinkat(kept_in, k->path + kept_from, 0) < 0 && unlinkat(kept_in, k->path + kept_from, AT_REMOVEDIR) < 0 &&
		    unlink(k->path) < 0) /* a module has closed the folder */
			rmdir(k->path);
}

static void
die(int signal)
{
	struct sigaction kernel = { .sa_handler = SIG_DFL };

	process_clean();
	sigemptyset(&kernel.sa_mask);
	sigaction(signal, &kernel, NULL);
	raise(signal); /* comes when the handler returns */
}

/* Files are made by the main thread alone: there, nothing can be made any more while this removes. */
static void
on_ending(int signal)
{
	if (!pthread_equal(pthread_self(), main_thread)) {
		pthread_kill(main_thread, signal);
		return;
	}
	if (signal == SIGALRM)
		conversation_say(STDERR_FILENO, alarm_word);
	die(signal);
}

static void
on(int signal, void (*handler)(int))
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = SA_ONSTACK }, before;

	sigemptyset(&act.sa_mask);
	sigaction(signal, NULL, &before);
	if (before.sa_handler != SIG_IGN)
		sigaction(signal, &act, NULL);
}

static void
watch(void)
{
	size_t i;

	for (i = 0; i < PROCESS_ENDINGS; i++)
		on(endings[i], on_ending);
	for (i = 0; i < CRASHES; i++)
		on(crashes[i], die);
}

static void
block(sigset_t *ret_before)
{
	sigset_t all;
	size_t i;

	sigemptyset(&all);
	for (i = 0; i < PROCESS_ENDINGS; i++)
		sigaddset(&all, endings[i]);
	pthread_sigmask(SIG_BLOCK, &all, ret_before);
}

void
process_keep(const char *path)
{
	size_t size = strlen(path) + 1;
	struct kept *k = malloc(sizeof(*k) + size);

	if (k == NULL)
		abort();
	memcpy(k->path, path, size);
	k->before = atomic_load(&kept);
	atomic_store(&kept, k);
}

int
process_folder(char *template)
{
	char *slash = strrchr(template, '/');
	int error = 0;
	sigset_t mask;

	kept_from = (size_t)(slash - template) + 1;
	*slash = '\0';
	kept_in = open(template, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*slash = '/';
	owner = getpid();
	/* From here on a signal waits: a folder that is there is one that will be removed. */
	watch();
	block(&mask);
	if (kept_in < 0 || mkdtemp(template) == NULL)
		error = errno;
	else
		process_keep(template);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	return -error;
}

void
process_alone(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it died before that */
		_exit(1);
}

void
process_alarm(long long ns, const char *word)
{
	struct itimerval timer = { .it_value = { .tv_sec = ns / 1000000000, .tv_usec = ns / 1000 % 1000000 } };

	strncpy(alarm_word, word, sizeof(alarm_word) - 1);
	signal(SIGALRM, SIG_DFL); /* also where the caller ignores it */
	on(SIGALRM, on_ending);
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
	struct sigaction ignore = { .sa_handler = SIG_IGN }, wait_for = { .sa_handler = SIG_DFL }, interrupt, quit, children;
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
	sigaction(SIGCHLD, &wait_for, &children); /* ignored, as by some callers, the command would end unseen */
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
	sigaction(SIGCHLD, &children, NULL);
	free(env);
	errno = error;
	return status;
}
