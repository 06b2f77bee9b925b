/* Clocks and random numbers; see ngx_http_weir_clock.h. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "http/ngx_http_weir_clock.h"

#include <sys/random.h>
#include <time.h>


uint64_t
ngx_http_weir_ms(void)
{
    return ngx_http_weir_ns() / 1000000;
}


uint64_t
ngx_http_weir_ns(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


uint64_t
ngx_http_weir_random(void)
{
    uint64_t  n;

    if (getrandom(&n, sizeof(n), 0) != sizeof(n)) {
        n = (uint64_t) ngx_random() << 32 ^ (uint64_t) ngx_random() << 8
            ^ ngx_http_weir_ms() ^ ngx_pid;
    }

    return n ? n : 1;
}
