/*
 * pam_pwb.c - what PAM hosts load. It asks a worker and does as told within the bounds of PROTOCOL; it decides nothing about
 * a person. One connection a call, nothing kept between calls: forks between them are harmless. See pam_pwb(8).
 *
 * Only this file knows PAM. What cannot be asked is answered by "cannot tell", never by "wrong" and never by success.
 */
#define _GNU_SOURCE
#include "reach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <security/pam_ext.h>
#include <security/pam_modules.h>
#include <security/pam_modutil.h>

#ifndef PWB_SOCKET
#define PWB_SOCKET "/run/pwb/worker.sock"
#endif
#ifndef PWB_WORKER
#define PWB_WORKER "/usr/bin/pwb"
#endif

#define EXPORT __attribute__((visibility("default")))

struct call {
	pam_handle_t *pamh;
	unsigned flags;
	int argc;
	const char **argv;
	enum frame_op op;
	const char *user; /* as the host set it, or NULL */
	int elsewhere;    /* not 0 when the resident worker, asked for a home, sees other files than the host */
	struct worker worker;
	struct frame frame;
};

/* What a host hears when no worker can be asked, or one broke off: "cannot tell", as each call says it. */
static int
cannot_tell(const struct call *c)
{
	switch (c->op) {
	case FRAME_OP_OPEN_SESSION:
		return PAM_SESSION_ERR;
	case FRAME_OP_CHAUTHTOK:
		return (c->flags & PAM_PRELIM_CHECK) != 0 ? PAM_IGNORE : PAM_AUTHTOK_ERR;
	default:
		return PAM_AUTHINFO_UNAVAIL;
	}
}

static const char *
item(const struct call *c, int type)
{
	const void *value = NULL;

	if (pam_get_item(c->pamh, type, &value) != PAM_SUCCESS)
		return NULL;
	return value;
}

/* --- reaching a worker ---------------------------------------------------------------------------------------------- */

static int
fill_hello(struct call *c)
{
	const struct hello hello = {
		.op = c->op, .flags = c->flags,
		.pid = (uint32_t)getpid(), .uid = (uint32_t)getuid(), .euid = (uint32_t)geteuid(),
		.service = item(c, PAM_SERVICE), .user = c->user, .tty = item(c, PAM_TTY), .rhost = item(c, PAM_RHOST), .ruser = item(c, PAM_RUSER),
		.argc = c->argc < 0 ? 0 : (unsigned)c->argc, .argv = c->argv,
	};

	return frame_hello(&c->frame, &hello);
}

/* Text of a worker's, for a line of the log. */
static char *
printable(char *text)
{
	char *p;

	for (p = text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	return text;
}

static int
receive_ack(struct call *c)
{
	unsigned kind = 0, version;
	uint32_t seq = 0;
	char *build;
	int error;

	error = worker_recv(&c->worker, &c->frame, &kind, &seq);
	if (error < 0)
		return error;
	version = frame_get_u8(&c->frame);
	build = frame_get_str(&c->frame);
	if (kind != FRAME_HELLO_ACK || seq != 0 || frame_done(&c->frame) < 0)
		return -EBADMSG;
	if (version != FRAME_VERSION) {
		pam_syslog(c->pamh, LOG_ERR, "the worker (%s) speaks protocol %u, this module %d; restart the worker and this service",
		    printable(build), version, FRAME_VERSION);
		return -EPROTONOSUPPORT;
	}
	return 0;
}

/* A stopped worker still takes connections, and is known by its silence. */
static int
greet(struct call *c, int64_t milliseconds)
{
	int error;

	c->worker.deadline = worker_now() + milliseconds * 1000000;
	error = fill_hello(c);
	if (error == 0)
		error = worker_send(&c->worker, &c->frame);
	if (error == 0)
		error = receive_ack(c);
	if (error < 0) {
		error = worker_reason(&c->worker, error);
		worker_leave(&c->worker);
	}
	return error;
}

/* Connects to the resident worker, unless that is known to be elsewhere, or starts one. A host without root can only do the first. */
static int
reach(struct call *c)
{
	int resident, error;

	c->worker = (struct worker){ .fd = -1 };
	error = fill_hello(c);
	if (error < 0) { /* a stranger may name a user of any length: nobody is asked, and nothing started, for that */
		errno = -error;
		pam_syslog(c->pamh, LOG_ERR, "ask a worker: %m");
		return error;
	}
	resident = c->elsewhere ? -EXDEV : worker_connect(&c->worker, PWB_SOCKET);
	if (resident == 0)
		resident = greet(c, FRAME_ACK_MS);
	if (resident == 0) {
		c->elsewhere = c->op == FRAME_OP_OPEN_SESSION && !worker_is_here(&c->worker);
		return 0;
	}
	if (geteuid() != 0) {
		errno = -resident;
		pam_syslog(c->pamh, LOG_ERR, "ask the worker at %s: %m; start pwb-worker.socket (only root can do without)", PWB_SOCKET);
		return resident;
	}
	error = worker_spawn(&c->worker, PWB_WORKER);
	if (error == 0)
		error = greet(c, FRAME_START_MS);
	if (error < 0) {
		errno = -resident;
		pam_syslog(c->pamh, LOG_ERR, "ask the worker at %s: %m", PWB_SOCKET);
		errno = -error;
		pam_syslog(c->pamh, LOG_ERR, "start %s for this call: %m%s", PWB_WORKER,
		    error == -EPERM ? "; it and every folder above must be root's and writable by no one else" : "");
	}
	return error;
}

/* --- doing as the worker says ---------------------------------------------------------------------------------------- */

static int
answer(struct call *c, uint32_t seq, int code, const char *bytes, size_t n)
{
	frame_begin(&c->frame, FRAME_ANSWER, seq);
	frame_put_u32(&c->frame, (uint32_t)code);
	frame_put_bytes(&c->frame, bytes, n);
	frame_end(&c->frame);
	return worker_send(&c->worker, &c->frame);
}

/* Sends what a person gave: text may be NULL, and is refused when it is longer than any ticket. */
static int
answer_text(struct call *c, uint32_t seq, int code, const char *text)
{
	size_t n = code == PAM_SUCCESS && text != NULL ? strnlen(text, FRAME_TICKET_MAX + 1) : 0;

	if (code == PAM_SUCCESS && text == NULL)
		code = PAM_CONV_ERR;
	if (n > FRAME_TICKET_MAX) {
		code = PAM_BUF_ERR;
		n = 0;
	}
	return answer(c, seq, code, text, n);
}

static int
get_authtok(struct call *c, uint32_t seq)
{
	char *prompt = frame_get_str(&c->frame);
	const char *token = NULL;
	int code;

	if (frame_done(&c->frame) < 0 || c->op != FRAME_OP_AUTHENTICATE)
		return -EBADMSG;
	/* libpam itself honours use_first_pass and try_first_pass here, as for pam_unix, and wipes the token in pam_end. */
	code = pam_get_authtok(c->pamh, PAM_AUTHTOK, &token, prompt[0] != '\0' ? prompt : NULL);
	return answer_text(c, seq, code, token);
}

static int
prompt(struct call *c, uint32_t seq)
{
	int style = frame_get_u8(&c->frame);
	char *text = frame_get_str(&c->frame), *reply = NULL;
	int tells = style == PAM_TEXT_INFO || style == PAM_ERROR_MSG;
	int code = PAM_SUCCESS, error;

	if (frame_done(&c->frame) < 0 || (!tells && style != PAM_PROMPT_ECHO_OFF && style != PAM_PROMPT_ECHO_ON))
		return -EBADMSG;
	if (!tells || (c->flags & PAM_SILENT) == 0)
		code = pam_prompt(c->pamh, style, &reply, "%s", text);
	error = tells ? answer(c, seq, code, NULL, 0) : answer_text(c, seq, code, reply);
	if (reply != NULL) {
		explicit_bzero(reply, strlen(reply));
		free(reply);
	}
	return error;
}

/* CVE-2024-9313: a user whom the host has named is not replaced, whatever the worker says. */
static int
set_user(struct call *c)
{
	const char *user = frame_get_str(&c->frame);

	if (frame_done(&c->frame) < 0 || user[0] == '\0' || c->user != NULL || c->op != FRAME_OP_AUTHENTICATE)
		return -EBADMSG;
	return pam_set_item(c->pamh, PAM_USER, user) == PAM_SUCCESS ? 0 : -ENOMEM;
}

/* The session's environment is the host's; ours are the names that start with PWB_, so never PATH or LD_PRELOAD. */
static int
put_env(struct call *c)
{
	const char *setting = frame_get_str(&c->frame);

	if (frame_done(&c->frame) < 0 || strncmp(setting, "PWB_", 4) != 0 || strchr(setting, '=') == NULL)
		return -EBADMSG;
	return pam_putenv(c->pamh, setting) == PAM_SUCCESS ? 0 : -ENOMEM;
}

static int
fail_delay(struct call *c)
{
	uint32_t delay = frame_get_u32(&c->frame);

	if (frame_done(&c->frame) < 0 || delay > FRAME_DELAY_MAX)
		return -EBADMSG;
	pam_fail_delay(c->pamh, delay);
	return 0;
}

static int
log_line(struct call *c)
{
	int priority = frame_get_u8(&c->frame);
	char *text = frame_get_str(&c->frame);

	if (frame_done(&c->frame) < 0 || priority > LOG_DEBUG)
		return -EBADMSG;
	pam_syslog(c->pamh, priority, "%s", printable(text));
	return 0;
}

static int
result(struct call *c, int *ret_code)
{
	uint32_t code = frame_get_u32(&c->frame);

	if (frame_done(&c->frame) < 0 || code >= _PAM_RETURN_VALUES)
		return -EBADMSG;
	*ret_code = (int)code;
	return 1;
}

/* Does what one frame asks: 0 to go on, 1 after RESULT, or a negative errno. A person's time is not the worker's. */
static int
obey(struct call *c, unsigned kind, uint32_t seq, int *ret_code)
{
	int64_t began = worker_now();
	int error;

	switch (kind) {
	case FRAME_GET_AUTHTOK:
		error = get_authtok(c, seq);
		break;
	case FRAME_PROMPT:
		error = prompt(c, seq);
		break;
	case FRAME_SET_USER:
		return set_user(c);
	case FRAME_PUT_ENV:
		return put_env(c);
	case FRAME_FAIL_DELAY:
		return fail_delay(c);
	case FRAME_LOG:
		return log_line(c);
	case FRAME_RESULT:
		return result(c, ret_code);
	default:
		return -EBADMSG;
	}
	c->worker.deadline += worker_now() - began;
	return error;
}

static int
converse(struct call *c, int *ret_code)
{
	unsigned kind = 0;
	uint32_t seq = 0, n;
	int error;

	c->worker.deadline = worker_now() + (c->op == FRAME_OP_OPEN_SESSION ? FRAME_HOME_MS : FRAME_WORK_MS) * INT64_C(1000000);
	for (n = 1; n <= FRAME_CALL_MAX; n++) {
		error = worker_recv(&c->worker, &c->frame, &kind, &seq);
		if (error == 0 && seq != n)
			error = -EBADMSG;
		if (error == 0)
			error = obey(c, kind, seq, ret_code);
		if (error != 0)
			return error;
	}
	return -EMSGSIZE;
}

static int
ask(struct call *c)
{
	int code = cannot_tell(c), error;

	error = frame_open(&c->frame);
	if (error == 0)
		error = reach(c);
	if (error == 0) {
		error = converse(c, &code);
		if (error < 0) {
			errno = -error;
			pam_syslog(c->pamh, LOG_ERR, "the worker broke off: %m");
		}
		worker_leave(&c->worker);
	}
	frame_close(&c->frame);
	return error == 1 ? code : cannot_tell(c);
}

/* --- the entry points ------------------------------------------------------------------------------------------------ */

static void
begin(struct call *c, enum frame_op op, pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	*c = (struct call){ .pamh = pamh, .flags = (unsigned)flags, .argc = argc, .argv = argv, .op = op };
	c->user = item(c, PAM_USER);
	if (c->user != NULL && c->user[0] == '\0')
		c->user = NULL;
}

/*
 * root is never ours: known before anything is asked, so that root gets in when nothing of ours works. By name: a look-up
 * would cost every login, and the worker refuses uid 0 by whatever name.
 */
static int
is_root(const struct call *c)
{
	return c->user != NULL && strcmp(c->user, "root") == 0;
}

static int
has_home(const struct call *c)
{
	const struct passwd *pw = pam_modutil_getpwnam(c->pamh, c->user);
	struct stat st;

	return pw != NULL && pw->pw_dir != NULL && pw->pw_dir[0] == '/' && stat(pw->pw_dir, &st) == 0 && S_ISDIR(st.st_mode);
}

EXPORT int
pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	struct call c;

	begin(&c, FRAME_OP_AUTHENTICATE, pamh, flags, argc, argv);
	return is_root(&c) ? PAM_USER_UNKNOWN : ask(&c);
}

EXPORT int
pam_sm_acct_mgmt(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	struct call c;

	begin(&c, FRAME_OP_ACCT_MGMT, pamh, flags, argc, argv);
	return c.user == NULL || is_root(&c) ? PAM_USER_UNKNOWN : ask(&c);
}

/* Nothing is held for anybody between calls, so there is nothing to set, refresh or delete; PAM_IGNORE would make a chain
 * of nothing but ours a refusal. */
EXPORT int
pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)pamh, (void)flags, (void)argc, (void)argv;
	return PAM_SUCCESS;
}

/* A home that is there is left alone, and nobody needs to be asked for that: sessions go on when the worker is down. */
EXPORT int
pam_sm_open_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	struct call c;
	int code;

	begin(&c, FRAME_OP_OPEN_SESSION, pamh, flags, argc, argv);
	if (c.user == NULL)
		return PAM_USER_UNKNOWN;
	if (has_home(&c))
		return PAM_SUCCESS;
	code = ask(&c);
	/* A worker that sees other files than the host has seen to a home, but not to this one. */
	return code == PAM_SUCCESS && c.elsewhere && geteuid() == 0 && !has_home(&c) ? ask(&c) : code;
}

EXPORT int
pam_sm_close_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)pamh, (void)flags, (void)argc, (void)argv;
	return PAM_SUCCESS;
}

EXPORT int
pam_sm_chauthtok(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	struct call c;

	begin(&c, FRAME_OP_CHAUTHTOK, pamh, flags, argc, argv);
	if (c.user == NULL || (c.flags & PAM_CHANGE_EXPIRED_AUTHTOK) != 0 || is_root(&c))
		return PAM_IGNORE;
	return ask(&c);
}
