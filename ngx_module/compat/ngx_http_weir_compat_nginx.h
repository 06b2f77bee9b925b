/*
 * What differs between nginx versions, and nowhere else.
 *
 * 1.23.0 turned repeated headers from arrays into linked lists: every header
 * element got a "next" pointer that must be set by who pushes the element.
 */

#ifndef _NGX_HTTP_WEIR_COMPAT_NGINX_H_INCLUDED_
#define _NGX_HTTP_WEIR_COMPAT_NGINX_H_INCLUDED_


#include <nginx.h>


#if (nginx_version >= 1023000)
#define ngx_http_weir_header_init(h)  (h)->next = NULL
#else
#define ngx_http_weir_header_init(h)
#endif


#endif /* _NGX_HTTP_WEIR_COMPAT_NGINX_H_INCLUDED_ */
