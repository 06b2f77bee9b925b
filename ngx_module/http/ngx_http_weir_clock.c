/* Clocks and random numbers; see ngx_http_weir_clock.h. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "http/ngx_http_weir_clock.h"

#include <sys/random.h>
#include <time.h>


/* Clock and counter are compared over at least this time. */
#define NGX_HTTP_WEIR_CLOCK_MEASURE   20   /* ms */

#define NGX_HTTP_WEIR_CLOCK_READINGS  16


ngx_uint_t  ngx_http_weir_clock_has_tsc;
double      ngx_http_weir_clock_tick = 1;
double      ngx_http_weir_clock_seconds = 1e-9;


#if (__x86_64__)

static void ngx_http_weir_clock_file(char *name, u_char *text, size_t size);


/* Both at the same time, when begin was first called. */
static uint64_t  ngx_http_weir_clock_first_ns;
static uint64_t  ngx_http_weir_clock_first_tick;


/*
 * The counter halfway between its values before and after the clock was read:
 * of some readings the quickest, between which the process was not interrupted.
 */

static uint64_t
ngx_http_weir_clock_read(uint64_t *tick)
{
    uint64_t    ns, best, before, took, quickest;
    ngx_uint_t  i;

    best = 0;
    *tick = 0;
    quickest = (uint64_t) -1;

    for (i = 0; i < NGX_HTTP_WEIR_CLOCK_READINGS; i++) {
        before = __builtin_ia32_rdtsc();
        ns = ngx_http_weir_ns();
        took = __builtin_ia32_rdtsc() - before;

        if (took < quickest) {
            quickest = took;
            best = ns;
            *tick = before + took / 2;
        }
    }

    return best;
}


/*
 * True if the TSC runs at one rate, and is the same on all processors: the
 * kernel's clock is the TSC; or it is that of KVM, which a guest has also where
 * its TSC could be the clock, and the processor says that the TSC neither changes
 * its rate nor stops.
 */

static ngx_uint_t
ngx_http_weir_clock_trusts_tsc(void)
{
    u_char  text[4096];

    ngx_http_weir_clock_file("/sys/devices/system/clocksource/clocksource0/"
                             "current_clocksource",
                             text, sizeof(text));

    if (ngx_strcmp(text, "tsc\n") == 0) {
        return 1;
    }

    if (ngx_strcmp(text, "kvm-clock\n") != 0) {
        return 0;
    }

    /* the first processor's; the kernel writes the flags of all alike */

    ngx_http_weir_clock_file("/proc/cpuinfo", text, sizeof(text));

    return ngx_strstr(text, " constant_tsc ") != NULL
           && ngx_strstr(text, " nonstop_tsc ") != NULL;
}


/* The beginning of a file, as a string; empty if it cannot be read. */

static void
ngx_http_weir_clock_file(char *name, u_char *text, size_t size)
{
    ssize_t   n;
    ngx_fd_t  fd;

    text[0] = '\0';

    fd = ngx_open_file(name, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        return;
    }

    n = ngx_read_fd(fd, text, size - 1);
    text[n > 0 ? n : 0] = '\0';

    (void) ngx_close_file(fd);
}


void
ngx_http_weir_clock_begin(void)
{
    if (ngx_http_weir_clock_first_tick == 0
        && ngx_http_weir_clock_trusts_tsc())
    {
        ngx_http_weir_clock_first_ns =
                     ngx_http_weir_clock_read(&ngx_http_weir_clock_first_tick);
    }
}


void
ngx_http_weir_clock_measure(void)
{
    uint64_t  ns, tick;

    if (ngx_http_weir_clock_first_tick == 0) {
        return;
    }

    ns = ngx_http_weir_clock_read(&tick);

    if (ns - ngx_http_weir_clock_first_ns
        < NGX_HTTP_WEIR_CLOCK_MEASURE * 1000000)
    {
        ngx_msleep(NGX_HTTP_WEIR_CLOCK_MEASURE);
        ns = ngx_http_weir_clock_read(&tick);
    }

    ngx_http_weir_clock_tick = (double) (ns - ngx_http_weir_clock_first_ns)
                               / (tick - ngx_http_weir_clock_first_tick);
    ngx_http_weir_clock_seconds = ngx_http_weir_clock_tick * 1e-9;
    ngx_http_weir_clock_has_tsc = 1;
}


#else


void
ngx_http_weir_clock_begin(void)
{
}


void
ngx_http_weir_clock_measure(void)
{
}


#endif


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
ngx_http_weir_unix_ns(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);

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
