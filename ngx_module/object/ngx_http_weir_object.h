/*
 * The object file of the module: the stamp of what it keeps in shared memory
 * (layout), and whether its file is still the one that runs (build).
 */

#ifndef _NGX_HTTP_WEIR_OBJECT_H_INCLUDED_
#define _NGX_HTTP_WEIR_OBJECT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The stamp that every structure at the root of a shared memory zone begins
 * with; never 0.  It is of the build, so it changes with any layout.
 */
uint64_t ngx_http_weir_layout(void);


/*
 * Called with each configuration that is taken: warns when the module's file was
 * replaced since it was loaded.
 */
void ngx_http_weir_check_build(ngx_log_t *log);


/*
 * For a zone's init function, which is handed memory that was in use before:
 * whether the stamp found there is ours.  Logs "[emerg]" and returns NGX_ERROR
 * when it is not; the configuration is refused then, and the old one stays.
 */
ngx_int_t ngx_http_weir_check_layout(ngx_shm_zone_t *shm_zone,
    uint64_t layout);


#endif /* _NGX_HTTP_WEIR_OBJECT_H_INCLUDED_ */
