/* See checksum.h. */

#include "cache/checksum.h"
#include "cache/checksum_avx2.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t weir_checksum(const void *data, size_t len)
{
#ifdef WEIR_CHECKSUM_AVX2
    if (__builtin_cpu_supports("avx2")) {
        return weir_checksum_avx2(data, len);
    }
#endif

    return XXH3_64bits(data, len);
}
