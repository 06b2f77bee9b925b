/*
 * The checksum of an entry: XXH3 of 64 bits, the same on every machine.
 *
 * The checksum is computed over the whole body for each entry from Redis and
 * for each entry that is stored. xxHash selects its instructions at compile
 * time, and the instructions that all x86-64 processors have take three times
 * as long as AVX2. So the function is compiled twice, and the processor at run
 * time decides which one is called.
 */

#ifndef WEIR_CACHE_CHECKSUM_H
#define WEIR_CACHE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint64_t weir_checksum(const void *data, size_t len);

#endif
