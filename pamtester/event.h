/*
 * event.h - what happened inside a call of libpam, written down as it happens: by the conversation, and by the module that stands
 * before each real one under --trace. One descriptor takes both, so that their order says which module said what.
 *
 * A record is 24 bytes, little-endian, and a text: size of all (4), kind (4), two numbers (4 and 4), nanoseconds of the monotonic
 * clock (8). Never an answer: what a person types is in no record.
 */
#ifndef PAMTESTER_EVENT_H
#define PAMTESTER_EVENT_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

enum event_kind {
	EVENT_ENTER = 1, /* a module is called: line, flags */
	EVENT_LEAVE,     /* it answered: line, code; the text says why it could not be called */
	EVENT_MESSAGE,   /* it said something: style */
	EVENT_PROMPT     /* it asked: style, whether it got an answer */
};

#define EVENT_HEAD 24
#define EVENT_TEXT_MAX 65536

static inline void
event_put(unsigned char *to, uint64_t value, int bytes)
{
	int i;

	for (i = 0; i < bytes; i++)
		to[i] = (unsigned char)(value >> (8 * i));
}

/*
 * Writes one record to fd, in one call; -1 is nowhere, and so is what cannot be asked for seals: a module has closed the descriptor, and
 * this is another. A limit of file sizes loses the record, not the process. errno stays what it was: modules look at it.
 */
static inline void
event_write(int fd, enum event_kind kind, int32_t a, int32_t b, const char *text)
{
	unsigned char head[EVENT_HEAD];
	struct timespec now;
	struct iovec parts[2];
	size_t length = text == NULL ? 0 : strnlen(text, EVENT_TEXT_MAX);
	static const struct timespec at_once = { 0, 0 };
	sigset_t too_long, mask, pending;
	int was = errno;

	if (fd < 0 || fcntl(fd, F_GET_SEALS) < 0) {
		errno = was;
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	event_put(head, EVENT_HEAD + length, 4);
	event_put(head + 4, (uint64_t)kind, 4);
	event_put(head + 8, (uint32_t)a, 4);
	event_put(head + 12, (uint32_t)b, 4);
	event_put(head + 16, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec, 8);
	parts[0].iov_base = head;
	parts[0].iov_len = sizeof(head);
	parts[1].iov_base = (void *)(uintptr_t)text;
	parts[1].iov_len = length;
	sigemptyset(&too_long);
	sigaddset(&too_long, SIGXFSZ);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &too_long, &mask);
	while (writev(fd, parts, 2) < 0 && errno == EINTR)
		;
	if (!sigismember(&pending, SIGXFSZ))
		sigtimedwait(&too_long, NULL, &at_once);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	errno = was;
}

#endif
