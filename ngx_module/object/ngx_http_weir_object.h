/*
 * The object file of the module: the stamp of its structures in shared memory
 * (layout), and the check that its file is still the one that is loaded
 * (build).
 */

#ifndef _NGX_HTTP_WEIR_OBJECT_H_INCLUDED_
#define _NGX_HTTP_WEIR_OBJECT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The stamp at the start of every root structure in a shared memory zone; never
 * 0.  It is derived from the build, so it changes with any layout.
 */
uint64_t ngx_http_weir_layout(void);


/*
 * Called with each accepted configuration: warns if the module's file was
 * replaced since it was loaded.
 */
void ngx_http_weir_check_build(ngx_log_t *log);


/*
 * For a zone's init function, which may receive memory that is already in use:
 * checks that the stamp found there is ours.  If not, logs "[emerg]" and
 * returns NGX_ERROR; the new configuration is refused then, and the old one
 * continues.
 */
ngx_int_t ngx_http_weir_check_layout(ngx_shm_zone_t *shm_zone,
    uint64_t layout);


#endif /* _NGX_HTTP_WEIR_OBJECT_H_INCLUDED_ */
