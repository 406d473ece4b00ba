/*
 * conv.h - the conversation of pamtester: what libpam's own misc_conv(3) does, with its faults mended, and answers from a secret or
 * a table in place of a person.
 */
#ifndef PAMTESTER_CONV_H
#define PAMTESTER_CONV_H

#include <regex.h>
#include <security/pam_appl.h>
#include <stddef.h>

enum answer_kind {
	ANSWER_TEXT, /* the text */
	ANSWER_EOF,  /* no answer, as at the end of input */
	ANSWER_ERROR /* PAM_CONV_ERR */
};

struct answer {
	regex_t pattern;
	enum answer_kind kind;
	char *text;
	int once;      /* answers one question of a handle */
	int spent;     /* has done so */
	unsigned used; /* questions so far */
	struct answer *next;
};

struct conversation {
	int in;                 /* where a person answers */
	int ask, error, info;   /* where questions, errors and other texts go */
	char *secret;           /* answers hidden questions; NULL asks */
	struct answer *answers; /* answer questions, the first that fits and is not spent */
	int alone;              /* nobody is there: a question that none of these answers is a failure */
	int quiet;              /* shows nothing of what modules say */
	int record;             /* descriptor for events, or -1 */
	int in_line;            /* a question was asked of no terminal: nothing has ended its line */
	char *unanswered;       /* the first question of a handle that nobody answered */
	long long spent_ns;     /* time that answering took */
};

struct conversation *conversation_new(void);

/* conversation_answer is a pam_conv(3) function; data is a struct conversation. */
int conversation_answer(int n, const struct pam_message **messages, struct pam_response **ret_responses, void *data);

/* conversation_add appends an answer. Returns 0, or regcomp(3)'s error, whose text conversation_error gives. */
int conversation_add(struct conversation *c, const char *pattern, const char *text, enum answer_kind kind, int once);
const char *conversation_error(int code);

/* conversation_used says how many questions answer number n has answered. */
unsigned conversation_used(const struct conversation *c, int n);

/* conversation_record begins to write down what modules say, and returns the descriptor, or -1. */
int conversation_record(struct conversation *c);

/* conversation_rewind is the beginning of a handle: answers for once are there again, and no question is without one. */
void conversation_rewind(struct conversation *c);

/* conversation_free wipes the secret and the answers. */
void conversation_free(struct conversation *c);

/* prompt_person asks a person one question: PAM_SUCCESS and an answer, NULL at the end of input, or PAM_CONV_ERR, PAM_BUF_ERR. */
int prompt_person(struct conversation *c, const char *prompt, int echo, char **ret_answer);

/* conversation_say writes all of a text, whatever interrupts. */
void conversation_say(int fd, const char *text);

/* no_delay is a PAM_FAIL_DELAY function that does not wait. */
void no_delay(int status, unsigned delay, void *data);

#endif
