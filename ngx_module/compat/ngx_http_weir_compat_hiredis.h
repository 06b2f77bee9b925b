/*
 * Differences between hiredis versions; no other file has any.
 *
 * hiredis 1.0 made the length of an array size_t and added RESP3 types to the
 * reader's table of functions.  The edge never sends HELLO, so a server that
 * uses them is invalid; without a function the reader would return a number in
 * place of a pointer.
 */

#ifndef _NGX_HTTP_WEIR_COMPAT_HIREDIS_H_INCLUDED_
#define _NGX_HTTP_WEIR_COMPAT_HIREDIS_H_INCLUDED_


#include <hiredis/hiredis.h>


#if (HIREDIS_MAJOR >= 1)

typedef size_t  ngx_http_weir_hiredis_count_t;

static inline void *
ngx_http_weir_hiredis_no_double(const redisReadTask *task, double value,
    char *text, size_t len)
{
    return NULL;
}


static inline void *
ngx_http_weir_hiredis_no_bool(const redisReadTask *task, int value)
{
    return NULL;
}


#define NGX_HTTP_WEIR_HIREDIS_REFUSE_RESP3                                    \
    .createDouble = ngx_http_weir_hiredis_no_double,                          \
    .createBool = ngx_http_weir_hiredis_no_bool

#else

typedef int     ngx_http_weir_hiredis_count_t;

#define NGX_HTTP_WEIR_HIREDIS_REFUSE_RESP3

#endif


#endif /* _NGX_HTTP_WEIR_COMPAT_HIREDIS_H_INCLUDED_ */
