/*
 * The time, and random numbers.
 */

#ifndef _NGX_HTTP_WEIR_CLOCK_H_INCLUDED_
#define _NGX_HTTP_WEIR_CLOCK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Milliseconds of CLOCK_MONOTONIC, which all processes of the box share: read now,
 * and not when the worker's loop went round last (ngx_current_msec).
 */
uint64_t ngx_http_weir_ms(void);

/* The same in nanoseconds. */
uint64_t ngx_http_weir_ns(void);

/* A random number that is not 0, of the kernel's generator. */
uint64_t ngx_http_weir_random(void);


#endif /* _NGX_HTTP_WEIR_CLOCK_H_INCLUDED_ */
