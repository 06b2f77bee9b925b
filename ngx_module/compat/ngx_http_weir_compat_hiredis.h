/*
 * What differs between hiredis versions, and nowhere else.
 *
 * 1.0 made the length of an array size_t and added RESP3 types to the reader's
 * table of functions; as this side never sends HELLO, a server never uses them.
 */

#ifndef _NGX_HTTP_WEIR_COMPAT_HIREDIS_H_INCLUDED_
#define _NGX_HTTP_WEIR_COMPAT_HIREDIS_H_INCLUDED_


#include <hiredis/hiredis.h>


#if (HIREDIS_MAJOR >= 1)
typedef size_t  ngx_http_weir_hiredis_count_t;
#else
typedef int     ngx_http_weir_hiredis_count_t;
#endif


#endif /* _NGX_HTTP_WEIR_COMPAT_HIREDIS_H_INCLUDED_ */
