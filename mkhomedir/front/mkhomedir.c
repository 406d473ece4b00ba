/*
 * mkhomedir.c - what the names mkhomedir_helper (pam_mkhomedir(8)) and mkhomedir (oddjobd-mkhomedir.conf(5)) lead to. It asks
 * the resident worker for the home, as pam_pwb.so does in open_session: no program of Go has to be started for that, which takes
 * longer than to copy a small skeleton. It makes nothing itself. Whenever it has not heard that the home is there, it becomes the
 * program that makes homes alone, with the same name, arguments and input; it complains only when it cannot.
 */
#define _GNU_SOURCE
#include "../../pam_pwb/shim/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <syslog.h>
#include <unistd.h>

#include <security/pam_modules.h>

#ifndef PWB_SOCKET
#define PWB_SOCKET "/run/pwb/worker.sock"
#endif
#ifndef PWB_HOMEMAKER
#define PWB_HOMEMAKER "/usr/libexec/pwb/homemaker"
#endif

#define INPUT_MAX 65536 /* as in homemaker */
#define PATH_BUFFER 64
#define ODDJOB_FAILURE 1

/* What a command line asks for, as arguments of the module; NULL where it says nothing. */
struct wish {
	const char *user;
	const char *umask, *skel, *home_mode;
	int quiet;
};

/* What standard input had: oddjobd writes the user's name there. It is handed on to whom this becomes. */
static char input[INPUT_MAX + 1], first_line[FRAME_STRING_MAX + 1];
static size_t input_size;

/* USER [UMASK [SKEL [HOME_MODE]]], as pam_mkhomedir(8) gives them. */
static int
parse_helper(int argc, char **argv, struct wish *w)
{
	if (argc < 2 || argc > 5)
		return -EINVAL;
	w->user = argv[1];
	w->umask = argc > 2 ? argv[2] : NULL;
	w->skel = argc > 3 ? argv[3] : NULL;
	w->home_mode = argc > 4 ? argv[4] : NULL;
	w->quiet = 1;
	return 0;
}

/* A name that came by half is somebody else's: 0, or why not all of it could be read. */
static int
read_input(void)
{
	ssize_t n;

	while (input_size < INPUT_MAX) {
		n = read(0, input + input_size, INPUT_MAX - input_size);
		if (n == 0)
			return 0;
		if (n > 0)
			input_size += (size_t)n;
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* Oddjob's options, and the user's name in the first line of input. What is odd is for whom this becomes. */
static int
parse_oddjob(int argc, char **argv, struct wish *w)
{
	size_t n = strcspn(input, "\r\n");
	int option, empty = 0;

	opterr = 0;
	while ((option = getopt(argc, argv, "+nqfs:u:")) != -1)
		switch (option) {
		case 'n':
			empty = 1;
			break;
		case 'q':
			w->quiet = 1;
			break;
		case 'f': /* fills a home that is the user's already; ours never has to */
			break;
		case 's':
			w->skel = optarg;
			break;
		case 'u':
			w->umask = optarg;
			break;
		default:
			return -EINVAL;
		}
	if (empty)
		w->skel = "";
	if (optind < argc || n > FRAME_STRING_MAX || (n < input_size && input[n] == '\0'))
		return -EINVAL;
	memcpy(first_line, input, n);
	w->user = first_line;
	return 0;
}

static int
send_hello(const struct worker *k, struct frame *f, const struct wish *w)
{
	char umask[PATH_BUFFER], home_mode[PATH_BUFFER], skel[FRAME_STRING_MAX];
	const char *argv[4];
	struct hello hello = {
		.op = FRAME_OP_OPEN_SESSION, .pid = (uint32_t)getpid(), .uid = (uint32_t)getuid(), .euid = (uint32_t)geteuid(),
		.service = "mkhomedir", .user = w->user, .argv = argv,
	};
	int n = 0;

	if (w->umask != NULL) {
		n |= snprintf(umask, sizeof(umask), "umask=%s", w->umask) >= (int)sizeof(umask);
		argv[hello.argc++] = umask;
	}
	if (w->home_mode != NULL && w->home_mode[0] != '\0') {
		n |= snprintf(home_mode, sizeof(home_mode), "home_mode=%s", w->home_mode) >= (int)sizeof(home_mode);
		argv[hello.argc++] = home_mode;
	}
	if (w->skel != NULL) {
		n |= snprintf(skel, sizeof(skel), "skel=%s", w->skel) >= (int)sizeof(skel);
		argv[hello.argc++] = skel;
	}
	if (w->quiet)
		argv[hello.argc++] = "silent";
	if (n != 0 || frame_hello(f, &hello) < 0)
		return -EMSGSIZE;
	return worker_send(k, f);
}

static int
receive_ack(const struct worker *k, struct frame *f)
{
	unsigned kind = 0, version;
	uint32_t seq = 0;
	int error = worker_recv(k, f, &kind, &seq);

	if (error < 0)
		return error;
	version = frame_get_u8(f);
	frame_get_str(f); /* its build */
	return kind == FRAME_HELLO_ACK && seq == 0 && version == FRAME_VERSION && frame_done(f) == 0 ? 0 : -EBADMSG;
}

/* Confirms a message for the person. One that tells, and is no error, is sent when a home was made; nobody is here to be asked. */
static int
show(const struct worker *k, struct frame *f, uint32_t seq, int *ret_made)
{
	int style = frame_get_u8(f);

	frame_get_str(f);
	if (frame_done(f) < 0 || (style != PAM_TEXT_INFO && style != PAM_ERROR_MSG))
		return -EBADMSG;
	if (style == PAM_TEXT_INFO)
		*ret_made = 1;
	frame_begin(f, FRAME_ANSWER, seq);
	frame_put_u32(f, PAM_SUCCESS);
	frame_put_bytes(f, NULL, 0);
	frame_end(f);
	return worker_send(k, f);
}

static int
result(struct frame *f)
{
	uint32_t code = frame_get_u32(f);

	return frame_done(f) == 0 && code == PAM_SUCCESS ? 0 : -EBADMSG;
}

/* Hears the call out. Lines for a log are not repeated: the worker has one, and what went wrong is said by whom this becomes. */
static int
hear(struct worker *k, struct frame *f, int *ret_made)
{
	unsigned kind = 0;
	uint32_t seq = 0, n;
	int error = 0;

	k->deadline = worker_now() + FRAME_HOME_MS * INT64_C(1000000);
	for (n = 1; n <= FRAME_CALL_MAX && error == 0; n++) {
		error = worker_recv(k, f, &kind, &seq);
		if (error < 0)
			return error;
		if (seq != n)
			return -EBADMSG;
		if (kind == FRAME_RESULT)
			return result(f);
		if (kind == FRAME_PROMPT)
			error = show(k, f, seq, ret_made);
		else if (kind != FRAME_LOG)
			error = -EBADMSG;
	}
	return error < 0 ? error : -EMSGSIZE;
}

/* Returns 0 when the home is there, and whether this call has made it. */
static int
ask(const struct wish *w, int *ret_made)
{
	struct worker k = { .fd = -1, .deadline = worker_now() + FRAME_ACK_MS * INT64_C(1000000) };
	struct frame f = { .data = NULL };
	int error;

	if (w->user[0] == '\0')
		return -EINVAL;
	error = worker_connect(&k, PWB_SOCKET);
	if (error < 0)
		return error;
	error = worker_is_here(&k) ? frame_open(&f) : -EXDEV; /* a program in a container wants its home there */
	if (error == 0)
		error = send_hello(&k, &f, w);
	if (error == 0)
		error = receive_ack(&k, &f);
	if (error == 0)
		error = hear(&k, &f, ret_made);
	frame_close(&f);
	close(k.fd);
	return error;
}

/* Gives the input that is read already to whom this becomes: 0, or a negative errno. */
static int
give_back(void)
{
	int fd = memfd_create("input", 0);
	ssize_t n = fd < 0 ? -1 : pwrite(fd, input, input_size, 0);

	if (n < 0 || dup2(fd, 0) < 0)
		return -errno;
	if (fd != 0)
		close(fd);
	return (size_t)n == input_size ? 0 : -EIO;
}

/* What mends it, where something here does. */
static const char *
advice(int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
	case ENOEXEC:
		return "; reinstall pwb";
	case EACCES:
		return "; it must be executable, and its file system not mounted noexec";
	default:
		return "";
	}
}

/* The runtime of Go does not start in the memory that a session may be held to, and the program that does not start makes no home. */
static void
lift(int which)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(which, &limit) == 0 || getrlimit(which, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(which, &limit);
}

/* Becomes the program that makes homes alone, or says why not: to the system's log too, since pam_mkhomedir(8) runs its helper with
 * streams that nobody reads. */
static int
become(const char *name, int helper, char **argv)
{
	int error = helper ? 0 : give_back();

	openlog(name, LOG_PERROR, LOG_AUTHPRIV);
	if (error < 0) {
		syslog(LOG_ERR, "hand the user's name on: %s", strerror(-error));
		return ODDJOB_FAILURE;
	}
	lift(RLIMIT_AS);
	lift(RLIMIT_DATA);
	execv(PWB_HOMEMAKER, argv);
	error = errno;
	syslog(LOG_ERR, "%s: %s%s", PWB_HOMEMAKER, strerror(error), advice(error));
	return helper ? PAM_PERM_DENIED : ODDJOB_FAILURE;
}

int
main(int argc, char **argv)
{
	struct wish wish = { .user = "" };
	const char *name = argc > 0 ? strrchr(argv[0], '/') : NULL;
	int helper, made = 0, error;

	/* A stream that nobody reads, as pam_mkhomedir(8) gives its helper, and a limit of the session's are errors, not the end. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	name = name != NULL ? name + 1 : argc > 0 ? argv[0] : "";
	helper = strcmp(name, "mkhomedir_helper") == 0;
	error = helper ? 0 : read_input();
	if (error < 0) {
		openlog(name, LOG_PERROR, LOG_AUTHPRIV);
		syslog(LOG_ERR, "read the user's name: %s", strerror(-error));
		return ODDJOB_FAILURE;
	}
	error = helper ? parse_helper(argc, argv, &wish) : parse_oddjob(argc, argv, &wish);
	if (error == 0 && geteuid() == 0 && ask(&wish, &made) == 0) {
		if (!helper && made)
			printf("Creating home directory for %s.", wish.user); /* pam_oddjob_mkhomedir shows it as it is */
		return 0;
	}
	return become(name, helper, argv);
}
