/*
 * Random bytes, read from the kernel's generator on each call: no state that a forked process could
 * share.
 */
#ifndef WEIR_RANDOM_H
#define WEIR_RANDOM_H

#include <stddef.h>

/* Fills buf with n bytes, at most 256. Aborts the process if the kernel's generator fails. */
void weir_random(void *buf, size_t n);

#endif
