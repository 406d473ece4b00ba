/*
 * host CONFDIR SERVICE USER OP... - a PAM host for tests. USER "-" leaves the user open. It answers every prompt with $TICKET,
 * prints what it is shown, what would be logged and what each call returned, and at the end the user, the PWB_ environment,
 * and how many more descriptors it has than at the start.
 */
#define _GNU_SOURCE
#include <security/pam_appl.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* libpam's log lines come here in place of the C library's. */
static void
log_line(int priority, const char *format, va_list ap)
{
	printf("log %d: ", LOG_PRI(priority));
	vprintf(format, ap);
	printf("\n");
}
void syslog(int priority, const char *format, ...) { va_list ap; va_start(ap, format); log_line(priority, format, ap); va_end(ap); }
void __syslog_chk(int priority, int flag, const char *format, ...);
void __syslog_chk(int priority, int flag, const char *format, ...) { va_list ap; (void)flag; va_start(ap, format); log_line(priority, format, ap); va_end(ap); }

static int
converse(int n, const struct pam_message **messages, struct pam_response **ret, void *data)
{
	int i;

	(void)data;
	*ret = calloc((size_t)n, sizeof(**ret));
	for (i = 0; i < n; i++) {
		printf("shown %d: %s\n", messages[i]->msg_style, messages[i]->msg);
		if (messages[i]->msg_style <= PAM_PROMPT_ECHO_ON && getenv("TICKET") != NULL)
			(*ret)[i].resp = strdup(getenv("TICKET"));
	}
	return PAM_SUCCESS;
}

static int
call(pam_handle_t *pamh, const char *op)
{
	int flags = 0;

	if (strncmp(op, "silent-", 7) == 0) {
		flags = PAM_SILENT;
		op += 7;
	}
	if (strcmp(op, "authenticate") == 0)
		return pam_authenticate(pamh, flags);
	if (strcmp(op, "acct_mgmt") == 0)
		return pam_acct_mgmt(pamh, flags);
	if (strcmp(op, "setcred") == 0)
		return pam_setcred(pamh, flags | PAM_ESTABLISH_CRED);
	if (strcmp(op, "open_session") == 0)
		return pam_open_session(pamh, flags);
	if (strcmp(op, "close_session") == 0)
		return pam_close_session(pamh, flags);
	if (strcmp(op, "chauthtok") == 0)
		return pam_chauthtok(pamh, flags);
	fprintf(stderr, "no such operation: %s\n", op);
	exit(2);
}

static int
descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

int
main(int argc, char **argv)
{
	struct pam_conv conv = { converse, NULL };
	pam_handle_t *pamh = NULL;
	const void *user = NULL;
	char **env, **e;
	int i, rc = 0, before = descriptors();

	if (argc < 4)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	rc = pam_start_confdir(argv[2], strcmp(argv[3], "-") == 0 ? NULL : argv[3], &conv, argv[1], &pamh);
	if (rc != PAM_SUCCESS)
		return 2;
	for (i = 4; i < argc; i++) {
		rc = call(pamh, argv[i]);
		printf("%s: %d\n", argv[i], rc);
	}
	pam_get_item(pamh, PAM_USER, &user);
	printf("user: %s\n", user == NULL ? "" : (const char *)user);
	env = pam_getenvlist(pamh);
	for (e = env; e != NULL && *e != NULL; e++) {
		printf("env: %s\n", *e);
		free(*e);
	}
	free(env);
	pam_end(pamh, rc);
	printf("descriptors left: %d\n", descriptors() - before);
	return 0;
}
