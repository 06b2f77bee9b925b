/* Clocks and random numbers. */

#ifndef _NGX_HTTP_WEIR_CLOCK_H_INCLUDED_
#define _NGX_HTTP_WEIR_CLOCK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "common/hint.h"


/*
 * CLOCK_MONOTONIC in milliseconds, the same for all processes of this machine.
 * Read at the call, unlike ngx_current_msec, which is the time of the worker's
 * last event-loop iteration.
 */
uint64_t ngx_http_weir_ms(void);

/* The same in nanoseconds. */
uint64_t ngx_http_weir_ns(void);

/* CLOCK_REALTIME: nanoseconds since 1970. */
uint64_t ngx_http_weir_unix_ns(void);

/*
 * Ticks, for durations that are measured often: the processor's counter (TSC) if
 * the kernel's own clock is derived from it, or could be, which takes a third of
 * the time of ngx_http_weir_ns(), or else that.  Ticks of different processors
 * may differ by some nanoseconds, so a later one may be smaller.
 */
extern weir_local ngx_uint_t  ngx_http_weir_clock_has_tsc;
extern weir_local double      ngx_http_weir_clock_tick;   /* ns */
extern weir_local double      ngx_http_weir_clock_seconds; /* the same */

static ngx_inline uint64_t
ngx_http_weir_ticks(void)
{
#if (__x86_64__)

    if (ngx_http_weir_clock_has_tsc) {
        return __builtin_ia32_rdtsc();
    }

#endif

    return ngx_http_weir_ns();
}


/* The same, but not before an earlier one, which another processor may have had. */

static ngx_inline uint64_t
ngx_http_weir_ticks_from(uint64_t earlier)
{
    uint64_t  tick;

    tick = ngx_http_weir_ticks();

    return ngx_max(tick, earlier);
}


/* The length of so many ticks in nanoseconds. */

static ngx_inline uint64_t
ngx_http_weir_clock_ns(uint64_t ticks)
{
    return (int64_t) ((int64_t) ticks * ngx_http_weir_clock_tick);
}


/*
 * Find the length of a tick: begin is called while the configuration is read,
 * and measure when a process begins.  It may sleep for some milliseconds.
 */
void ngx_http_weir_clock_begin(void);
void ngx_http_weir_clock_measure(void);

/* A random number other than 0, from the kernel's generator. */
uint64_t ngx_http_weir_random(void);


#endif /* _NGX_HTTP_WEIR_CLOCK_H_INCLUDED_ */
