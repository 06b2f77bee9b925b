/*
 * A weir_api block while it is read, line by line; private to the
 * configuration.  Its arrays are in the configuration's temporary pool.
 */

#ifndef _NGX_HTTP_WEIR_VERSION_BLOCK_H_INCLUDED_
#define _NGX_HTTP_WEIR_VERSION_BLOCK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* A "deprecated" line, kept until "versions" is known. */
typedef struct {
    ngx_str_t     version;
    time_t        since;
    time_t        sunset;                  /* 0: none */
    ngx_str_t     link;
    ngx_uint_t    gone;                    /* bool */
} ngx_http_weir_version_deprecated_t;


typedef struct {
    ngx_str_t     media_type;
    ngx_str_t     header;
    ngx_array_t   versions;                /* of ngx_str_t */
    ngx_str_t     default_version;
    ngx_array_t   deprecated;     /* of ngx_http_weir_version_deprecated_t */
} ngx_http_weir_version_block_t;


/*
 * Reads the block that follows in the configuration and checks each line by
 * itself.  NGX_OK, or NGX_ERROR after an error, which was logged.
 */
ngx_int_t ngx_http_weir_version_read_block(ngx_conf_t *cf,
    ngx_http_weir_version_block_t *block);

/*
 * Returns the index of a version, compared without regard to case, or
 * NGX_ERROR.
 */
ngx_int_t ngx_http_weir_version_find(ngx_array_t *versions, ngx_str_t *name);


#endif /* _NGX_HTTP_WEIR_VERSION_BLOCK_H_INCLUDED_ */
