/* $weir_times: the phases of a request. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "record/ngx_http_weir_record.h"
#include "record/ngx_http_weir_record_private.h"


/* Digits of a time in milliseconds, with the point and three decimals. */
#define NGX_HTTP_WEIR_RECORD_TIME_LEN  (NGX_INT64_LEN + sizeof(".000") - 1)


static ngx_int_t ngx_http_weir_record_times(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static u_char *ngx_http_weir_record_print(u_char *p, ngx_str_t *name,
    uint64_t ns);


static ngx_str_t  ngx_http_weir_record_name = ngx_string("weir_times");


/*
 * "name=milliseconds" of each phase that took time, in their order. Then the
 * time of connecting, which is a part of upstream, if it took a millisecond of
 * nginx's time; the number of servers tried, if more than one; and the sum.
 */

static ngx_int_t
ngx_http_weir_record_times(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                  *p;
    uint64_t                 total, spent;
    ngx_uint_t               i, tries;
    ngx_msec_t               connect;
    ngx_http_weir_record_t  *record;

    static ngx_str_t  connecting = ngx_string("connect");
    static ngx_str_t  sum = ngx_string("total");

    record = ngx_http_weir_record(r);

    if (record == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, (NGX_HTTP_WEIR_PHASES + 2)
                             * (sizeof("response= ")
                                + NGX_HTTP_WEIR_RECORD_TIME_LEN)
                             + sizeof("tries= ") + NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->data = p;

    ngx_http_weir_record_change(record, record->phase);

    total = 0;

    for (i = 0; i < NGX_HTTP_WEIR_PHASES; i++) {
        spent = ngx_http_weir_clock_ns(record->spent[i]);
        total += spent;

        if (spent) {
            p = ngx_http_weir_record_print(p, ngx_http_weir_record_phase(i),
                                           spent);
        }
    }

    connect = ngx_http_weir_record_connect(r->main, &tries);

    if (connect) {
        p = ngx_http_weir_record_print(p, &connecting,
                                       (uint64_t) connect * 1000000);
    }

    if (tries > 1) {
        p = ngx_sprintf(p, "tries=%ui ", tries);
    }

    p = ngx_http_weir_record_print(p, &sum, total);

    v->len = p - 1 - v->data;
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;

    return NGX_OK;
}


static u_char *
ngx_http_weir_record_print(u_char *p, ngx_str_t *name, uint64_t ns)
{
    return ngx_sprintf(p, "%V=%uL.%03uL ", name, ns / 1000000,
                       ns / 1000 % 1000);
}


ngx_int_t
ngx_http_weir_record_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var;

    var = ngx_http_add_variable(cf, &ngx_http_weir_record_name,
                                NGX_HTTP_VAR_NOCACHEABLE);
    if (var == NULL) {
        return NGX_ERROR;
    }

    var->get_handler = ngx_http_weir_record_times;

    return NGX_OK;
}


ngx_uint_t
ngx_http_weir_record_is_printed(ngx_conf_t *cf)
{
    ngx_uint_t                  i;
    ngx_http_variable_t        *v;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    v = cmcf->variables.elts;

    for (i = 0; i < cmcf->variables.nelts; i++) {
        if (v[i].name.len == ngx_http_weir_record_name.len
            && ngx_strncmp(v[i].name.data, ngx_http_weir_record_name.data,
                           v[i].name.len)
               == 0)
        {
            return 1;
        }
    }

    return 0;
}
