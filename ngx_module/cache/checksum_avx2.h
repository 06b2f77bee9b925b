/* The checksum (checksum.h) with AVX2: for checksum.c alone. */

#ifndef WEIR_CACHE_CHECKSUM_AVX2_H
#define WEIR_CACHE_CHECKSUM_AVX2_H

#include <stddef.h>
#include <stdint.h>

/* The function attributes need GCC on x86-64; other builds have one function. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define WEIR_CHECKSUM_AVX2 1

/* Only for a processor with AVX2. */
uint64_t weir_checksum_avx2(const void *data, size_t len);
#endif

#endif
