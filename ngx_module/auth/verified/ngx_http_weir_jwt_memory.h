/*
 * The shared memory of weir_jwt: which tokens were verified, and which were
 * refused for their signature (remembered.h).  All workers use it, and it stays
 * with a reload.  Forged tokens cannot displace good ones: they have a table of
 * their own.
 */

#ifndef _NGX_HTTP_WEIR_JWT_MEMORY_H_INCLUDED_
#define _NGX_HTTP_WEIR_JWT_MEMORY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "auth/audit/ngx_http_weir_jwt_audit.h"
#include "auth/verified/remembered.h"


#define NGX_HTTP_WEIR_JWT_MEMORY_SIZE  (2 * 1024 * 1024)
#define NGX_HTTP_WEIR_JWT_MEMORY_MIN   (64 * 1024)


typedef struct {
    uint64_t              layout;
    weir_remembered_t    *verified;
    weir_remembered_t    *refused;     /* digests with the secret of verified */
    ngx_atomic_t          audit[NGX_HTTP_WEIR_JWT_AUDIT_RESULTS];
} ngx_http_weir_jwt_memory_t;


/*
 * Adds the zone, when the configuration has been read; *memory is set when it
 * was made.
 */
ngx_int_t ngx_http_weir_jwt_memory_add(ngx_conf_t *cf, size_t size,
    ngx_http_weir_jwt_memory_t **memory, void *tag);


#endif /* _NGX_HTTP_WEIR_JWT_MEMORY_H_INCLUDED_ */
