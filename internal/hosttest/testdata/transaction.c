/*
 * transaction SERVICE USER - one PAM transaction in a fresh process, as every login is one: start, authenticate, acct_mgmt,
 * setcred, open_session, close_session, setcred(DELETE), end. The ticket comes on standard input. Prints the nanoseconds
 * from start to end, the growth of the resident set in KiB by the first authenticate and from the end of the first cycle to
 * that of the last (a third argument says how many), and threads and descriptors that are more than before.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char ticket[20000];

static int
converse(int n, const struct pam_message **m, struct pam_response **ret, void *data)
{
	int i;

	(void)data;
	*ret = calloc((size_t)n, sizeof(**ret));
	for (i = 0; i < n; i++)
		if (m[i]->msg_style == PAM_PROMPT_ECHO_OFF)
			(*ret)[i].resp = strdup(ticket);
	return PAM_SUCCESS;
}

static int
count(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static long
resident(void)
{
	long size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (fscanf(f, "%ld %ld", &size, &pages) != 2)
		pages = 0;
	fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void
check(const char *what, int rc)
{
	if (rc != PAM_SUCCESS) {
		fprintf(stderr, "%s: %d %s\n", what, rc, pam_strerror(NULL, rc));
		exit(1);
	}
}

int
main(int argc, char **argv)
{
	struct pam_conv conv = { converse, NULL };
	pam_handle_t *h = NULL;
	int threads, fds, cycles = argc > 3 ? atoi(argv[3]) : 1;
	double began;
	long rss, grown = 0, drift = 0;

	if (argc < 3 || fread(ticket, 1, sizeof(ticket) - 1, stdin) == 0)
		return 2;
	ticket[strcspn(ticket, "\n")] = '\0';
	threads = count("/proc/self/task");
	fds = count("/proc/self/fd");
	rss = resident();
	began = now();
	while (cycles-- > 0) {
		check("start", pam_start(argv[1], argv[2], &conv, &h));
		check("authenticate", pam_authenticate(h, 0));
		if (grown == 0)
			grown = resident() - rss;
		check("acct_mgmt", pam_acct_mgmt(h, 0));
		check("setcred", pam_setcred(h, PAM_ESTABLISH_CRED));
		check("open_session", pam_open_session(h, 0));
		check("close_session", pam_close_session(h, 0));
		check("setcred", pam_setcred(h, PAM_DELETE_CRED));
		check("end", pam_end(h, PAM_SUCCESS));
		if (drift == 0)
			drift = resident();
	}
	printf("%.0f %ld %ld %d %d\n", now() - began, grown, resident() - drift, count("/proc/self/task") - threads, count("/proc/self/fd") - fds);
	return 0;
}
