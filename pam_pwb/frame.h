/*
 * frame.h - the frames between pam_pwb.so and its worker, version 1. Both ends are compiled against this header: the C
 * half uses all of it, the Go half (package pampwb) takes the numbers. The text of the protocol is in PROTOCOL.
 *
 * The functions know bytes only: no descriptor, no PAM. Both directions keep the first error in the frame, so that a
 * caller reads or writes a whole payload and asks once. Nothing here trusts a length, an offset or a NUL before it is
 * checked, from whichever side the frame comes.
 */
#ifndef PWB_FRAME_H
#define PWB_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_VERSION     1
#define FRAME_HEADER      12u     /* 'P' 'W' version kind, u32 sequence, u32 payload length; big-endian */
#define FRAME_MAX         65536u  /* bytes of one frame, header included */
#define FRAME_STRING_MAX  4096u   /* bytes of any string but a ticket */
#define FRAME_TICKET_MAX  16384u  /* bytes of a ticket */
#define FRAME_ARGS_MAX    64u     /* module arguments in HELLO */
#define FRAME_CALL_MAX    256u    /* frames that the worker may send in one call, RESULT included */
#define FRAME_DELAY_MAX   5000000u /* microseconds that FAIL_DELAY may ask for */

#define FRAME_ACK_MS      1000    /* HELLO to HELLO_ACK; a stopped worker is known by its silence */
#ifndef FRAME_START_MS
#define FRAME_START_MS    5000    /* the same for a worker that is being started: there is no other to turn to */
#endif
#ifndef FRAME_WORK_MS /* tests wait less */
#define FRAME_WORK_MS     10000   /* a whole call, less the time that the person takes */
#endif
#ifndef FRAME_HOME_MS
#define FRAME_HOME_MS     300000  /* the same for open_session: a large home on a slow disk, which is not there before it is whole */
#endif

enum frame_kind {
	FRAME_HELLO = 1,
	FRAME_HELLO_ACK = 2,
	FRAME_ANSWER = 3,
	FRAME_GET_AUTHTOK = 16,
	FRAME_PROMPT = 17,
	FRAME_SET_USER = 18,
	FRAME_PUT_ENV = 19,
	FRAME_FAIL_DELAY = 20,
	FRAME_LOG = 21,
	FRAME_RESULT = 31
};

enum frame_op {
	FRAME_OP_AUTHENTICATE = 1,
	FRAME_OP_ACCT_MGMT = 2,
	FRAME_OP_OPEN_SESSION = 3,
	FRAME_OP_CHAUTHTOK = 4,
	FRAME_OP_PUBLISH = 5 /* not PAM's, and never the module's: see PROTOCOL 7 */
};

#define FRAME_USER_SET 1u /* bit of HELLO's state byte: the host has named a user */

struct frame {
	uint8_t *data; /* FRAME_MAX bytes, owned */
	size_t len;    /* bytes in use, header included */
	size_t at;     /* where the next get reads */
	size_t peak;   /* most bytes ever in use, for wiping */
	int error;     /* 0, or the negative errno of the first put or get that could not be done */
};

/* frame_open gives f its buffer: 0 or -ENOMEM. frame_close wipes and frees it; a frame of zero bytes may be closed. */
int frame_open(struct frame *f);
void frame_close(struct frame *f);

/* frame_wipe forgets what f holds. */
void frame_wipe(struct frame *f);

/* frame_begin starts an outgoing frame; puts append to its payload; frame_end fills in the length and returns f->error. */
void frame_begin(struct frame *f, enum frame_kind kind, uint32_t seq);
void frame_put_u8(struct frame *f, uint8_t v);
void frame_put_u32(struct frame *f, uint32_t v);
void frame_put_bytes(struct frame *f, const void *p, size_t n);
void frame_put_str(struct frame *f, const char *s); /* NULL counts as empty; over FRAME_STRING_MAX is -EMSGSIZE */
int frame_end(struct frame *f);

/* hello is what HELLO says. Strings may be NULL, which counts as empty; a user who is not empty is one whom the host has named. */
struct hello {
	enum frame_op op;
	unsigned flags; /* of PAM */
	uint32_t pid, uid, euid;
	const char *service, *user, *tty, *rhost, *ruser;
	unsigned argc;
	const char *const *argv; /* the module's arguments */
};

/* frame_hello makes f a whole HELLO, and returns f->error; more than FRAME_ARGS_MAX arguments are -E2BIG. */
int frame_hello(struct frame *f, const struct hello *h);

/*
 * frame_check judges an incoming frame of n bytes in f->data: magic, version, length. It sets *ret_kind and *ret_seq and
 * returns 0, or -EBADMSG. Gets then read the payload in order; frame_done says that all of it was read, and returns f->error.
 */
int frame_check(struct frame *f, size_t n, unsigned *ret_kind, uint32_t *ret_seq);
uint8_t frame_get_u8(struct frame *f);
uint32_t frame_get_u32(struct frame *f);
char *frame_get_str(struct frame *f); /* NUL-terminated, inside f->data until the next receive; "" after an error */
int frame_done(struct frame *f);

#endif
