/*
 * conv.c - the conversation function: messages in their order, however many, each shown, answered or refused. A module that only
 * tells may pass no room for responses; a message that needs no answer gets NULL, as from misc_conv(3).
 */
#define _GNU_SOURCE
#include "conv.h"
#include "event.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct conversation *
conversation_new(void)
{
	struct conversation *c = calloc(1, sizeof(*c));

	if (c == NULL)
		abort();
	c->in = STDIN_FILENO;
	c->ask = c->error = STDERR_FILENO;
	c->info = STDOUT_FILENO;
	c->record = -1;
	return c;
}

int
conversation_add(struct conversation *c, const char *pattern, const char *text, enum answer_kind kind, int once)
{
	struct answer *a = calloc(1, sizeof(*a)), **last = &c->answers;
	int error;

	if (a == NULL)
		return REG_ESPACE;
	error = regcomp(&a->pattern, pattern, REG_EXTENDED | REG_NOSUB);
	if (error != 0) {
		free(a);
		return error;
	}
	a->kind = kind;
	a->once = once;
	a->text = strdup(text);
	while (*last != NULL)
		last = &(*last)->next;
	*last = a;
	return a->text == NULL ? REG_ESPACE : 0;
}

const char *
conversation_error(int code)
{
	static char text[128];

	regerror(code, NULL, text, sizeof(text));
	return text;
}

unsigned
conversation_used(const struct conversation *c, int n)
{
	const struct answer *a = c->answers;

	while (a != NULL && n-- > 0)
		a = a->next;
	return a == NULL ? 0 : a->used;
}

int
conversation_record(struct conversation *c)
{
	if (c->record < 0)
		c->record = memfd_create("pamtester", MFD_CLOEXEC);
	if (c->record >= 0)
		fcntl(c->record, F_SETFL, O_APPEND); /* others write there as well */
	return c->record;
}

void
conversation_rewind(struct conversation *c)
{
	struct answer *a;

	for (a = c->answers; a != NULL; a = a->next)
		a->spent = 0;
	free(c->unanswered);
	c->unanswered = NULL;
}

static void
wipe(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

void
conversation_free(struct conversation *c)
{
	struct answer *a, *next;

	for (a = c->answers; a != NULL; a = next) {
		next = a->next;
		regfree(&a->pattern);
		wipe(a->text);
		free(a);
	}
	wipe(c->secret);
	free(c->unanswered);
	free(c);
}

void
no_delay(int status, unsigned delay, void *data)
{
	(void)status;
	(void)delay;
	(void)data;
}

/* Answers from the table, from the secret, or by asking, in this order. */
static int
answer(struct conversation *c, const char *prompt, int echo, char **ret_answer)
{
	const char *text = NULL;
	struct answer *a;

	for (a = c->answers; a != NULL; a = a->next)
		if (!a->spent && regexec(&a->pattern, prompt == NULL ? "" : prompt, 0, NULL, 0) == 0)
			break;
	if (a != NULL) {
		a->used++;
		a->spent = a->once;
		if (a->kind == ANSWER_EOF)
			return PAM_SUCCESS;
		if (a->kind == ANSWER_ERROR)
			return PAM_CONV_ERR;
		text = a->text;
	} else if (!echo) {
		text = c->secret;
	}
	if (text == NULL && !c->alone)
		return prompt_person(c, prompt, echo, ret_answer);
	if (text == NULL) {
		if (c->unanswered == NULL)
			c->unanswered = strdup(prompt == NULL ? "" : prompt);
		return PAM_CONV_ERR;
	}
	*ret_answer = strdup(text);
	return *ret_answer == NULL ? PAM_BUF_ERR : PAM_SUCCESS;
}

static void
tell(struct conversation *c, int fd, const char *text)
{
	if (c->quiet)
		return;
	if (fd == c->ask)
		c->in_line = 0;
	conversation_say(fd, text);
	conversation_say(fd, "\n");
}

static int
converse(struct conversation *c, const struct pam_message *m, char **ret_answer)
{
	char text[64];
	int code;

	switch (m->msg_style) {
	case PAM_PROMPT_ECHO_OFF:
	case PAM_PROMPT_ECHO_ON:
		code = answer(c, m->msg, m->msg_style == PAM_PROMPT_ECHO_ON, ret_answer);
		event_write(c->record, EVENT_PROMPT, m->msg_style, *ret_answer != NULL, m->msg);
		return code;
	case PAM_ERROR_MSG:
		event_write(c->record, EVENT_MESSAGE, m->msg_style, 0, m->msg);
		tell(c, c->error, m->msg);
		return PAM_SUCCESS;
	case PAM_TEXT_INFO:
		event_write(c->record, EVENT_MESSAGE, m->msg_style, 0, m->msg);
		tell(c, c->info, m->msg);
		return PAM_SUCCESS;
	case PAM_BINARY_PROMPT:
		return PAM_CONV_ERR;
	default:
		snprintf(text, sizeof(text), "erroneous conversation (%d)\n", m->msg_style);
		conversation_say(c->error, text);
		return PAM_CONV_ERR;
	}
}

static long long
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
}

int
conversation_answer(int n, const struct pam_message **messages, struct pam_response **ret_responses, void *data)
{
	struct conversation *c = data;
	struct pam_response *responses;
	long long began = now_ns();
	int i, code = PAM_SUCCESS;

	if (n <= 0)
		return PAM_CONV_ERR;
	responses = calloc((size_t)n, sizeof(*responses));
	if (responses == NULL)
		return PAM_CONV_ERR;
	for (i = 0; i < n && code == PAM_SUCCESS; i++)
		code = converse(c, messages[i], &responses[i].resp);
	c->spent_ns += now_ns() - began;
	if (code == PAM_SUCCESS && ret_responses != NULL) { /* modules that only tell may want no responses */
		*ret_responses = responses;
		return PAM_SUCCESS;
	}
	for (i = 0; i < n; i++)
		wipe(responses[i].resp);
	free(responses);
	return code;
}
