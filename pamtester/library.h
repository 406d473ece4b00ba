/* library.h - the libpam that is loaded. */
#ifndef PAMTESTER_LIBRARY_H
#define PAMTESTER_LIBRARY_H

/* The n-th text in libpam's image that ends in some words, from 0; NULL when there are no more. It is libpam's own. */
const char *library_text(const char *end, int n);

#endif
