/*
 * prompt.c - asks a person, or whoever holds the other end of standard input. Answers are read byte by byte when that is no
 * terminal, so that what follows stays for the next reader. End of input is no answer (NULL), a read error is PAM_CONV_ERR.
 * A terminal whose echo was off gets it back whatever happens, and then the signal that came is let do its work.
 */
#define _GNU_SOURCE
#include "conv.h"
#include "process.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define ANSWER_MAX 4095 /* as misc_conv(3) */

/* Signals that would leave the terminal silent behind this program. */
static const int ending[PROCESS_ENDINGS] = PROCESS_ENDING;

static volatile sig_atomic_t caught;  /* the signal that ends */
static volatile sig_atomic_t stopped; /* SIGTSTP came */
static pthread_t reader;

static void
on_ending(int signal)
{
	caught = signal;
	if (!pthread_equal(pthread_self(), reader)) /* any thread of the Go runtime may be hit; the one that reads must wake up */
		pthread_kill(reader, signal);
}

static void
on_stop(int signal)
{
	(void)signal;
	stopped = 1;
}

void
conversation_say(int fd, const char *text)
{
	size_t left;
	ssize_t n;

	if (text == NULL)
		text = "(null)"; /* as printf(3), and so misc_conv(3) */
	left = strlen(text);
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

/* What is changed while a question is open, to be put back. */
struct guard {
	struct sigaction endings[PROCESS_ENDINGS], stop;
	sigset_t mask;
};

/* Takes over a signal, but never one that the caller had this process ignore. */
static void
take(int signal, void (*handler)(int), struct sigaction *ret_before)
{
	struct sigaction catch = { .sa_handler = handler, .sa_flags = SA_ONSTACK };

	sigemptyset(&catch.sa_mask);
	sigaction(signal, &catch, ret_before);
	if (ret_before->sa_handler == SIG_IGN)
		sigaction(signal, ret_before, NULL);
}

/* Ending signals come in while ppoll waits, and at no other time: one between the question and the read is not missed. */
static void
guard_begin(struct guard *g, int echo)
{
	sigset_t block;
	size_t i;

	caught = stopped = 0;
	reader = pthread_self();
	sigemptyset(&block);
	for (i = 0; i < PROCESS_ENDINGS && !echo; i++)
		sigaddset(&block, ending[i]);
	pthread_sigmask(SIG_BLOCK, &block, &g->mask);
	for (i = 0; i < PROCESS_ENDINGS && !echo; i++)
		take(ending[i], on_ending, &g->endings[i]);
	take(SIGTSTP, on_stop, &g->stop); /* a stopped program would leave the terminal silent: it stops after the answer */
}

static void
guard_end(const struct guard *g, int echo)
{
	size_t i;

	sigaction(SIGTSTP, &g->stop, NULL);
	for (i = 0; i < PROCESS_ENDINGS && !echo; i++)
		sigaction(ending[i], &g->endings[i], NULL);
	pthread_sigmask(SIG_SETMASK, &g->mask, NULL);
	if (caught != 0)
		raise(caught);
	if (stopped)
		raise(SIGTSTP);
}

/*
 * Reads from a terminal one line of at most ANSWER_MAX bytes, with echo or without: their number, 0 at the end of input, or -1. The
 * question comes after the switch, which throws away what was typed before: nobody answers a question that was not asked yet.
 */
static ssize_t
ask_terminal(const struct conversation *c, const char *prompt, int echo, char *line)
{
	struct pollfd input = { .fd = c->in, .events = POLLIN };
	struct termios was, asking;
	struct guard guard;
	ssize_t n = -1;

	if (tcgetattr(c->in, &was) < 0)
		return -1;
	asking = was;
	if (!echo)
		asking.c_lflag &= (tcflag_t)~ECHO;
	guard_begin(&guard, echo);
	tcsetattr(c->in, TCSAFLUSH, &asking);
	conversation_say(c->ask, prompt);
	while (caught == 0) {
		if (ppoll(&input, 1, NULL, &guard.mask) < 0 && errno == EINTR)
			continue;
		n = read(c->in, line, ANSWER_MAX);
		if (n >= 0 || errno != EINTR)
			break;
	}
	tcsetattr(c->in, TCSADRAIN, &was);
	if (!echo)
		conversation_say(c->ask, "\n");
	tcsetattr(c->in, TCSAFLUSH, &was);
	if (caught != 0)
		explicit_bzero(line, ANSWER_MAX);
	guard_end(&guard, echo);
	return n;
}

/* The same from anything else, and not a byte more than the line. */
static ssize_t
ask_pipe(const struct conversation *c, const char *prompt, char *line)
{
	ssize_t n, have = 0;

	conversation_say(c->ask, prompt);
	while (have < ANSWER_MAX) {
		n = read(c->in, line + have, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		if (line[have++] == '\n')
			break;
	}
	return have;
}

int
prompt_person(struct conversation *c, const char *prompt, int echo, char **ret_answer)
{
	char line[ANSWER_MAX + 1];
	int newline = 0, code = PAM_SUCCESS;
	ssize_t n;

	n = isatty(c->in) ? ask_terminal(c, prompt, echo, line) : ask_pipe(c, prompt, line);
	if (n > 0 && line[n - 1] == '\n') {
		newline = 1;
		line[n - 1] = '\0';
	}
	if (n >= 0)
		line[n] = '\0';
	if (echo && !newline)
		conversation_say(c->ask, "\n");
	c->in_line = !echo && !isatty(c->in) && prompt != NULL && prompt[0] != '\0';
	if (n < 0)
		code = PAM_CONV_ERR;
	*ret_answer = n > 0 ? strdup(line) : NULL;
	if (n > 0 && *ret_answer == NULL)
		code = PAM_BUF_ERR;
	explicit_bzero(line, sizeof(line));
	return code;
}
