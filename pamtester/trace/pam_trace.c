/*
 * pam_trace.c - the module that pamtester --trace puts before each real one. Its first two arguments are its own: DESCRIPTOR:LINE
 * and the real module as the service file names it. It loads that module where libpam would, calls the same function with the
 * arguments that follow, and writes down when it was called, when it came back and with what. It is for pamtester alone.
 *
 * In a line that would become too long, the first argument is DESCRIPTOR:LINE:OFFSET:SIZE, and the others are as many words that only
 * stand for those that are there in the descriptor, each with its NUL.
 *
 * Real modules stay loaded until libpam unloads this one, which is after their data has been cleaned up.
 */
#define _GNU_SOURCE
#include "../event.h"

#include <dlfcn.h>
#include <limits.h>
#include <security/pam_modules.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int entry_fn(pam_handle_t *pamh, int flags, int argc, const char **argv);

struct loaded {
	char *name;
	void *handle; /* NULL: it cannot be loaded */
	char *error;  /* then this says why */
	struct loaded *next;
};

static struct loaded *all;

/* What was read from the descriptor, kept as long as libpam may look at it. */
struct kept {
	struct kept *next;
	long long at;
	char text[];
};

static struct kept *all_kept;

__attribute__((destructor)) static void
unload(void)
{
	struct loaded *m, *next;
	struct kept *k, *before;

	for (k = all_kept; k != NULL; k = before) {
		before = k->next;
		free(k);
	}
	all_kept = NULL;
	for (m = all; m != NULL; m = next) {
		next = m->next;
		if (m->handle != NULL)
			dlclose(m->handle);
		free(m->name);
		free(m->error);
		free(m);
	}
	all = NULL;
}

/* A module without a slash in front is in the folder "security" beside libpam itself; Debian also looks in /lib/security. */
static void *
load_relative(const char *name)
{
	char path[PATH_MAX];
	const char *slash;
	Dl_info libpam;
	void *handle;

	if (dladdr((void *)pam_get_item, &libpam) == 0 || (slash = strrchr(libpam.dli_fname, '/')) == NULL)
		return NULL;
	if (snprintf(path, sizeof(path), "%.*s/security/%s", (int)(slash - libpam.dli_fname), libpam.dli_fname, name) >= (int)sizeof(path))
		return NULL;
	handle = dlopen(path, RTLD_NOW);
	if (handle != NULL || snprintf(path, sizeof(path), "/lib/security/%s", name) >= (int)sizeof(path))
		return handle;
	if (access(path, F_OK) < 0)
		return NULL; /* dlerror(3) keeps to the first path */
	return dlopen(path, RTLD_NOW);
}

static struct loaded *
find(const char *name)
{
	const char *error;
	struct loaded *m;

	for (m = all; m != NULL; m = m->next)
		if (strcmp(m->name, name) == 0)
			return m;
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		return NULL;
	m->name = strdup(name);
	if (m->name == NULL) {
		free(m);
		return NULL;
	}
	m->handle = name[0] == '/' ? dlopen(name, RTLD_NOW) : load_relative(name);
	if (m->handle == NULL) {
		error = dlerror();
		m->error = strdup(error == NULL ? "cannot be loaded" : error);
	}
	m->next = all;
	all = m;
	return m;
}

/* Puts the real words in the place of those that stand for them, also for pam_get_authtok(3), which looks at the same list. */
static int
fill_in(int fd, long long at, int size, int argc, const char **argv)
{
	struct kept *k = all_kept;
	char *word;
	int i;

	while (k != NULL && k->at != at)
		k = k->next;
	if (k == NULL) {
		k = malloc(sizeof(*k) + (size_t)size);
		if (k == NULL || pread(fd, k->text, (size_t)size, at) != size || k->text[size - 1] != '\0') {
			free(k);
			return -1;
		}
		k->at = at;
		k->next = all_kept;
		all_kept = k;
	}
	for (i = 1, word = k->text; i < argc && word < k->text + size; i++, word += strlen(word) + 1)
		argv[i] = word;
	return i == argc ? 0 : -1;
}

static int
forward(const char *function, pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	int fd = -1, line = -1, size = 0, words, code = PAM_MODULE_UNKNOWN; /* libpam's answer for a module or function that is not there */
	long long at = 0;
	const char *why = NULL;
	struct loaded *module;
	entry_fn *entry = NULL;

	/* Whether there is anybody to report to or not, the real module is called. */
	words = argc < 2 ? 0 : sscanf(argv[0], "%d:%d:%lld:%d", &fd, &line, &at, &size);
	if (words < 2)
		return PAM_MODULE_UNKNOWN;
	if (words == 4 && (size <= 0 || fill_in(fd, at, size, argc, argv) < 0))
		return PAM_MODULE_UNKNOWN;
	module = find(argv[1]);
	event_write(fd, EVENT_ENTER, line, flags, NULL);
	if (module == NULL)
		why = "out of memory";
	else if (module->handle == NULL)
		why = module->error;
	else if ((entry = (entry_fn *)dlsym(module->handle, function)) == NULL)
		why = function;
	if (entry != NULL)
		code = entry(pamh, flags, argc - 2, argc > 2 ? argv + 2 : NULL);
	event_write(fd, EVENT_LEAVE, line, code, why);
	return code;
}

#define FORWARD(function)                                                        \
	int function(pam_handle_t *pamh, int flags, int argc, const char **argv) \
	{                                                                        \
		return forward(#function, pamh, flags, argc, argv);              \
	}

FORWARD(pam_sm_authenticate)
FORWARD(pam_sm_setcred)
FORWARD(pam_sm_acct_mgmt)
FORWARD(pam_sm_open_session)
FORWARD(pam_sm_close_session)
FORWARD(pam_sm_chauthtok)
