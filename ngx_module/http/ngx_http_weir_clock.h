/* Clocks and random numbers. */

#ifndef _NGX_HTTP_WEIR_CLOCK_H_INCLUDED_
#define _NGX_HTTP_WEIR_CLOCK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * CLOCK_MONOTONIC in milliseconds, the same for all processes of this machine.
 * Read at the call, unlike ngx_current_msec, which is the time of the worker's
 * last event-loop iteration.
 */
uint64_t ngx_http_weir_ms(void);

/* The same in nanoseconds. */
uint64_t ngx_http_weir_ns(void);

/* A random number other than 0, from the kernel's generator. */
uint64_t ngx_http_weir_random(void);


#endif /* _NGX_HTTP_WEIR_CLOCK_H_INCLUDED_ */
