/*
 * Integers as bytes, little endian, independent of the machine's byte order and of alignment.  On a
 * little-endian machine a call is one instruction.
 */
#ifndef WEIR_BYTES_H
#define WEIR_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t weir_get32(const void *p)
{
    uint32_t n;

    memcpy(&n, p, sizeof(n));

    return le32toh(n);
}

static inline uint64_t weir_get64(const void *p)
{
    uint64_t n;

    memcpy(&n, p, sizeof(n));

    return le64toh(n);
}

static inline void weir_put32(void *p, uint32_t n)
{
    n = htole32(n);
    memcpy(p, &n, sizeof(n));
}

static inline void weir_put64(void *p, uint64_t n)
{
    n = htole64(n);
    memcpy(p, &n, sizeof(n));
}

#endif
