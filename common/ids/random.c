#include "common/ids/random.h"

#include <stdlib.h>
#include <sys/random.h>

void weir_random(void *buf, size_t n)
{
    /* getentropy(3) waits only until the generator was seeded once after boot. */
    if (getentropy(buf, n) != 0)
        abort();
}
