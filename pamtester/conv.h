/*
 * conv.h - the conversation of pamtester: what libpam's own misc_conv(3) does, with its faults mended.
 */
#ifndef PAMTESTER_CONV_H
#define PAMTESTER_CONV_H

#include <security/pam_appl.h>
#include <stddef.h>

struct conversation {
	char *secret;       /* answers hidden questions in place of a person; NULL asks */
	size_t asked;       /* questions so far */
	int quiet;          /* shows nothing of what modules say */
	long long spent_ns; /* time that answering took */
};

/* conversation_answer is a pam_conv(3) function; data is a struct conversation. */
int conversation_answer(int n, const struct pam_message **messages, struct pam_response **ret_responses, void *data);

/* default_signals gives signals that end a program back to the kernel, away from the Go runtime's dump of goroutines. */
void default_signals(void);

/* no_delay is a PAM_FAIL_DELAY function that does not wait. */
void no_delay(int status, unsigned delay, void *data);

#endif
