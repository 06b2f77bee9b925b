/* The checksum with AVX2; see checksum.h. */

#include "cache/checksum_avx2.h"

#ifdef WEIR_CHECKSUM_AVX2

#pragma GCC target("avx2")

#define XXH_INLINE_ALL
#include <xxhash.h>

#if XXH_VECTOR != XXH_AVX2
#error "xxHash has not taken AVX2"
#endif

uint64_t weir_checksum_avx2(const void *data, size_t len)
{
    return XXH3_64bits(data, len);
}

#endif
