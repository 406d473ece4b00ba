/*
 * frame.c - frames as bytes. See frame.h and PROTOCOL.
 */
#define _GNU_SOURCE
#include "../frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void
fail(struct frame *f, int error)
{
	if (f->error == 0)
		f->error = error;
}

int
frame_open(struct frame *f)
{
	memset(f, 0, sizeof(*f));
	f->data = malloc(FRAME_MAX);
	return f->data == NULL ? -ENOMEM : 0;
}

void
frame_wipe(struct frame *f)
{
	if (f->len > f->peak)
		f->peak = f->len;
	if (f->peak > 0)
		explicit_bzero(f->data, f->peak);
	f->len = f->at = f->peak = 0;
}

void
frame_close(struct frame *f)
{
	if (f->data == NULL)
		return;
	frame_wipe(f);
	free(f->data);
	f->data = NULL;
}

/* Returns where n more bytes go, or NULL when they do not fit. */
static uint8_t *
grow(struct frame *f, size_t n)
{
	uint8_t *p;

	if (f->error != 0)
		return NULL;
	if (n > FRAME_MAX - f->len) {
		fail(f, -EMSGSIZE);
		return NULL;
	}
	p = f->data + f->len;
	f->len += n;
	return p;
}

static void
store_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t
load_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void
frame_begin(struct frame *f, enum frame_kind kind, uint32_t seq)
{
	f->len = f->at = 0;
	f->error = 0;
	frame_put_u8(f, 'P');
	frame_put_u8(f, 'W');
	frame_put_u8(f, FRAME_VERSION);
	frame_put_u8(f, (uint8_t)kind);
	frame_put_u32(f, seq);
	frame_put_u32(f, 0);
}

void
frame_put_u8(struct frame *f, uint8_t v)
{
	uint8_t *p = grow(f, 1);

	if (p != NULL)
		*p = v;
}

void
frame_put_u32(struct frame *f, uint32_t v)
{
	uint8_t *p = grow(f, 4);

	if (p != NULL)
		store_u32(p, v);
}

void
frame_put_bytes(struct frame *f, const void *bytes, size_t n)
{
	uint8_t *p;

	if (n > FRAME_MAX) {
		fail(f, -EMSGSIZE);
		return;
	}
	frame_put_u32(f, (uint32_t)n);
	p = grow(f, n);
	if (p != NULL && n > 0)
		memcpy(p, bytes, n);
}

void
frame_put_str(struct frame *f, const char *s)
{
	size_t n = s == NULL ? 0 : strnlen(s, FRAME_STRING_MAX + 1);

	if (n > FRAME_STRING_MAX)
		fail(f, -EMSGSIZE);
	else
		frame_put_bytes(f, s, n);
}

int
frame_end(struct frame *f)
{
	if (f->len > f->peak)
		f->peak = f->len;
	if (f->error == 0)
		store_u32(f->data + 8, (uint32_t)(f->len - FRAME_HEADER));
	return f->error;
}

int
frame_hello(struct frame *f, const struct hello *h)
{
	unsigned i;

	frame_begin(f, FRAME_HELLO, 0);
	if (h->argc > FRAME_ARGS_MAX) {
		fail(f, -E2BIG);
		return f->error;
	}
	frame_put_u8(f, FRAME_VERSION);
	frame_put_u8(f, FRAME_VERSION);
	frame_put_u8(f, (uint8_t)h->op);
	frame_put_u8(f, h->user != NULL && h->user[0] != '\0' ? FRAME_USER_SET : 0);
	frame_put_u32(f, h->flags);
	frame_put_u32(f, h->pid);
	frame_put_u32(f, h->uid);
	frame_put_u32(f, h->euid);
	frame_put_str(f, h->service);
	frame_put_str(f, h->user);
	frame_put_str(f, h->tty);
	frame_put_str(f, h->rhost);
	frame_put_str(f, h->ruser);
	frame_put_u32(f, h->argc);
	for (i = 0; i < h->argc; i++)
		frame_put_str(f, h->argv[i]);
	return frame_end(f);
}

int
frame_check(struct frame *f, size_t n, unsigned *ret_kind, uint32_t *ret_seq)
{
	f->len = f->at = 0;
	f->error = 0;
	if (n < FRAME_HEADER || n > FRAME_MAX)
		return -EBADMSG;
	f->len = n;
	if (f->data[0] != 'P' || f->data[1] != 'W' || f->data[2] != FRAME_VERSION)
		return -EBADMSG;
	if (load_u32(f->data + 8) != n - FRAME_HEADER)
		return -EBADMSG;
	f->at = FRAME_HEADER;
	*ret_kind = f->data[3];
	*ret_seq = load_u32(f->data + 4);
	return 0;
}

/* Returns the next n bytes, or NULL when the payload has not that many. */
static uint8_t *
take(struct frame *f, size_t n)
{
	uint8_t *p;

	if (f->error != 0)
		return NULL;
	if (n > f->len - f->at) {
		fail(f, -EBADMSG);
		return NULL;
	}
	p = f->data + f->at;
	f->at += n;
	return p;
}

uint8_t
frame_get_u8(struct frame *f)
{
	const uint8_t *p = take(f, 1);

	return p == NULL ? 0 : *p;
}

uint32_t
frame_get_u32(struct frame *f)
{
	const uint8_t *p = take(f, 4);

	return p == NULL ? 0 : load_u32(p);
}

char *
frame_get_str(struct frame *f)
{
	static char empty[1];
	uint32_t n = frame_get_u32(f);
	uint8_t *p = n > FRAME_STRING_MAX ? NULL : take(f, n);
	char *s;

	if (n > FRAME_STRING_MAX)
		fail(f, -EBADMSG);
	if (p != NULL && n > 0 && memchr(p, 0, n) != NULL)
		fail(f, -EBADMSG);
	if (f->error != 0)
		return empty;
	/* The length is read; its four bytes make room for the NUL that C wants and the wire does not carry. */
	s = (char *)p - 1;
	memmove(s, p, n);
	s[n] = '\0';
	return s;
}

int
frame_done(struct frame *f)
{
	if (f->at != f->len)
		fail(f, -EBADMSG);
	return f->error;
}
