/*
 * Random bytes from the kernel's generator, asked anew on each call: nothing is
 * kept that a forked process could share.
 */
#ifndef WEIR_RANDOM_H
#define WEIR_RANDOM_H

#include <stddef.h>

/* Fills buf with n bytes, at most 256.  Ends the process if the kernel has none. */
void weir_random(void *buf, size_t n);

#endif
