/*
 * The checksum of an entry: XXH3 of 64 bits, the same on every machine.
 *
 * It is computed over the whole body for each entry from Redis and for each that
 * is stored.  xxHash chooses its instructions when it is compiled, and what all
 * x86-64 processors have takes it three times as long as AVX2 does; so there are
 * two of it, and the processor decides.
 */

#ifndef WEIR_CACHE_CHECKSUM_H
#define WEIR_CACHE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Two compilers don't do it alike; elsewhere there is one. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define WEIR_CHECKSUM_AVX2 1
#endif

uint64_t weir_checksum(const void *data, size_t len);

#ifdef WEIR_CHECKSUM_AVX2
/* Private: only for a processor with AVX2. */
uint64_t weir_checksum_avx2(const void *data, size_t len);
#endif

#endif
