/* Private to record/. */

#ifndef _NGX_HTTP_WEIR_RECORD_PRIVATE_H_INCLUDED_
#define _NGX_HTTP_WEIR_RECORD_PRIVATE_H_INCLUDED_


#include "record/ngx_http_weir_record.h"


/* times: adds $weir_times; called before the configuration is read. */
ngx_int_t ngx_http_weir_record_add_variables(ngx_conf_t *cf);

/* times: true if the configuration uses $weir_times. */
ngx_uint_t ngx_http_weir_record_is_printed(ngx_conf_t *cf);

/*
 * turn: lets this process call the function that ends a turn; NGX_OK, or
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_weir_record_turn_begin(ngx_cycle_t *cycle);


/* That of a main request that is not fresh. */

static ngx_inline ngx_http_weir_record_t *
ngx_http_weir_record_get(ngx_http_request_t *r)
{
    ngx_http_weir_record_t  *record;

    record = ngx_http_get_module_ctx(r, ngx_http_weir_record_module);

    return record || !ngx_http_weir_record_is_cleared(r)
           ? record : ngx_http_weir_record_restore(r);
}


#endif /* _NGX_HTTP_WEIR_RECORD_PRIVATE_H_INCLUDED_ */
