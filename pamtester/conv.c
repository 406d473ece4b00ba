/*
 * conv.c - asks a person, or whoever holds the other end of standard input. Prompts go to standard error; answers come from
 * standard input, byte by byte when that is no terminal, so that what follows stays for the next reader. End of input is no
 * answer (NULL), a read error is PAM_CONV_ERR. A terminal whose echo was off gets it back whatever happens, and then the
 * signal that came is let do its work.
 */
#define _GNU_SOURCE
#include "conv.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX 4095 /* as misc_conv(3) */

static volatile sig_atomic_t caught;
static pthread_t reader;

static void
on_signal(int signal)
{
	caught = signal;
	if (!pthread_equal(pthread_self(), reader)) /* any thread of the Go runtime may be hit; the one that reads must wake up */
		pthread_kill(reader, signal);
}

static const int ending[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGPIPE };

#define ENDINGS (sizeof(ending) / sizeof(ending[0]))

void
default_signals(void)
{
	signal(SIGQUIT, SIG_DFL);
	signal(SIGALRM, SIG_DFL); /* Go ignores it; --timeout means it */
}

void
no_delay(int status, unsigned delay, void *data)
{
	(void)status;
	(void)delay;
	(void)data;
}

static void
say(int fd, const char *text)
{
	size_t left = text == NULL ? 0 : strlen(text);
	ssize_t n;

	while (left > 0) {
		n = write(fd, text, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		text += n;
		left -= (size_t)n;
	}
}

/* Reads one line of at most ANSWER_MAX bytes: their number without the newline, 0 at the end of input, or -1. */
static ssize_t
read_line(char *line, int terminal, int *ret_newline)
{
	ssize_t n, have = 0;

	*ret_newline = 0;
	if (terminal) {
		n = read(STDIN_FILENO, line, ANSWER_MAX);
		have = n;
	} else {
		while (have < ANSWER_MAX) {
			do
				n = read(STDIN_FILENO, line + have, 1);
			while (n < 0 && errno == EINTR && caught == 0);
			if (n < 0)
				return -1;
			if (n == 0)
				break;
			have++;
			if (line[have - 1] == '\n')
				break;
		}
	}
	if (have > 0 && line[have - 1] == '\n') {
		*ret_newline = 1;
		line[have - 1] = '\0';
	}
	return have;
}

/*
 * Asks with echo off, and gives the echo back before any signal does its work. The prompt comes after the switch, which
 * throws away what was typed before: nobody answers a question that was not asked yet.
 */
static ssize_t
ask_hidden(const char *prompt, char *line, int *ret_newline)
{
	struct sigaction catch = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK }, before[ENDINGS], stop = { .sa_handler = SIG_IGN }, stopped;
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	struct termios was, silent;
	sigset_t mask, unmasked;
	ssize_t n = -1;
	size_t i;
	int error;

	if (tcgetattr(STDIN_FILENO, &was) < 0)
		return -1;
	silent = was;
	silent.c_lflag &= (tcflag_t)~ECHO;
	caught = 0;
	reader = pthread_self();
	/* Signals come in while ppoll waits, and at no other time: one between the prompt and the read is not missed. */
	sigemptyset(&mask);
	for (i = 0; i < ENDINGS; i++)
		sigaddset(&mask, ending[i]);
	pthread_sigmask(SIG_BLOCK, &mask, &unmasked);
	sigemptyset(&catch.sa_mask);
	for (i = 0; i < ENDINGS; i++)
		sigaction(ending[i], &catch, &before[i]);
	sigaction(SIGTSTP, &stop, &stopped); /* a stopped program would leave the terminal silent */
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	say(STDERR_FILENO, prompt);
	while (caught == 0) {
		if (ppoll(&input, 1, NULL, &unmasked) < 0 && errno == EINTR)
			continue;
		n = read_line(line, 1, ret_newline);
		if (n >= 0 || errno != EINTR)
			break;
	}
	error = errno;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
	say(STDERR_FILENO, "\n");
	sigaction(SIGTSTP, &stopped, NULL);
	for (i = 0; i < ENDINGS; i++)
		sigaction(ending[i], &before[i], NULL);
	pthread_sigmask(SIG_SETMASK, &unmasked, NULL);
	if (caught != 0) {
		explicit_bzero(line, ANSWER_MAX);
		signal(caught, SIG_DFL);
		raise(caught);
	}
	errno = error;
	return n;
}

/* Asks one question: *ret_answer is the answer, or NULL at the end of input. Returns PAM_SUCCESS, PAM_CONV_ERR or PAM_BUF_ERR. */
static int
ask(const char *prompt, int echo, char **ret_answer)
{
	char line[ANSWER_MAX + 1];
	int terminal = isatty(STDIN_FILENO), newline = 0, code = PAM_SUCCESS;
	ssize_t n;

	if (terminal && !echo) {
		n = ask_hidden(prompt, line, &newline);
	} else {
		say(STDERR_FILENO, prompt);
		caught = 0;
		do
			n = read_line(line, terminal, &newline);
		while (n < 0 && errno == EINTR);
	}
	if (n < 0)
		return PAM_CONV_ERR;
	line[n] = '\0';
	if (echo && !newline)
		say(STDERR_FILENO, "\n");
	*ret_answer = n > 0 ? strdup(line) : NULL;
	if (n > 0 && *ret_answer == NULL)
		code = PAM_BUF_ERR;
	explicit_bzero(line, sizeof(line));
	return code;
}

static int
converse(struct conversation *c, const struct pam_message *m, char **ret_answer)
{
	char text[64];

	switch (m->msg_style) {
	case PAM_PROMPT_ECHO_OFF:
	case PAM_PROMPT_ECHO_ON:
		c->asked++;
		if (m->msg_style == PAM_PROMPT_ECHO_OFF && c->secret != NULL) {
			*ret_answer = strdup(c->secret);
			return *ret_answer == NULL ? PAM_BUF_ERR : PAM_SUCCESS;
		}
		return ask(m->msg, m->msg_style == PAM_PROMPT_ECHO_ON, ret_answer);
	case PAM_ERROR_MSG:
		if (!c->quiet) {
			say(STDERR_FILENO, m->msg);
			say(STDERR_FILENO, "\n");
		}
		return PAM_SUCCESS;
	case PAM_TEXT_INFO:
		if (!c->quiet) {
			say(STDOUT_FILENO, m->msg);
			say(STDOUT_FILENO, "\n");
		}
		return PAM_SUCCESS;
	case PAM_BINARY_PROMPT:
		return PAM_CONV_ERR;
	default:
		snprintf(text, sizeof(text), "erroneous conversation (%d)\n", m->msg_style);
		say(STDERR_FILENO, text);
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
		if (responses[i].resp != NULL) {
			explicit_bzero(responses[i].resp, strlen(responses[i].resp));
			free(responses[i].resp);
		}
	free(responses);
	return code;
}
