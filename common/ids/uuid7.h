/*
 * UUIDs of version 7 (RFC 9562 section 5.7): 48 bits of Unix time in milliseconds, then 74 random
 * bits.  They grow with time, so an index over them is written at its end; within a millisecond
 * they have no order.
 */
#ifndef WEIR_UUID7_H
#define WEIR_UUID7_H

#include "common/text/str.h"

#include <stdint.h>

#define WEIR_UUID_LEN 36

/* Writes a new UUID in lower case, with a NUL. */
void weir_uuid7(char out[WEIR_UUID_LEN + 1]);

/* The same from given parts, for tests. */
void weir_uuid7_from(uint64_t unix_ms, const uint8_t random[10], char out[WEIR_UUID_LEN + 1]);

/*
 * Reads any UUID in its textual form (RFC 9562 section 4: 8-4-4-4-12 digits in either case).
 * Returns 0 with the lower-case form in out, or -1 if s is invalid.
 */
int weir_uuid_parse(weir_str_t s, char out[WEIR_UUID_LEN + 1]);

#endif
