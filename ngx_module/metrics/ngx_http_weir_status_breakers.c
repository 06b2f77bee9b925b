/* The breakers in weir_status. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker.h"
#include "breaker/zone/ngx_http_weir_breaker_log.h"
#include "common/problem.h"
#include "metrics/ngx_http_weir_status.h"


/* Limit of breakers listed per zone; clients may have created more. */
#define NGX_HTTP_WEIR_STATUS_BREAKERS  256

/* Upper limit of bytes per breaker; a byte of a key takes up to six. */
#define NGX_HTTP_WEIR_STATUS_BREAKER                                          \
    (768 + 6 * NGX_HTTP_WEIR_BREAKER_KEY_MAX)


static ngx_buf_t *ngx_http_weir_status_breaker_zone(ngx_http_request_t *r,
    ngx_shm_zone_t *zone);
static u_char *ngx_http_weir_status_breaker(u_char *p, u_char *last,
    ngx_http_weir_breaker_info_t *info);


ngx_int_t
ngx_http_weir_status_breakers(ngx_http_request_t *r, ngx_array_t *bufs)
{
    ngx_buf_t                          *b, **buf;
    ngx_uint_t                          i, j;
    ngx_http_weir_breaker_t           **breaker;
    ngx_http_weir_breaker_main_conf_t  *bmcf;

    bmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_breaker_module);
    breaker = bmcf->breakers.elts;

    for (i = 0; i < bmcf->breakers.nelts; i++) {

        for (j = 0; j < i && breaker[j]->zone != breaker[i]->zone; j++) {
            /* void */
        }

        if (j < i) {
            continue;
        }

        b = ngx_http_weir_status_breaker_zone(r, breaker[i]->zone);
        buf = ngx_array_push(bufs);

        if (b == NULL || buf == NULL) {
            return NGX_ERROR;
        }

        *buf = b;
    }

    return NGX_OK;
}


static ngx_buf_t *
ngx_http_weir_status_breaker_zone(ngx_http_request_t *r, ngx_shm_zone_t *zone)
{
    u_char                             *p, *last;
    ngx_int_t                           i, n;
    ngx_buf_t                          *b;
    weir_str_t                          name;
    ngx_http_weir_breaker_info_t       *breakers;
    ngx_http_weir_breaker_zone_info_t   info;

    breakers = ngx_palloc(r->pool, NGX_HTTP_WEIR_STATUS_BREAKERS
                                   * sizeof(ngx_http_weir_breaker_info_t));
    if (breakers == NULL) {
        return NULL;
    }

    n = ngx_http_weir_breaker_list(zone, r->pool, &info, breakers,
                                        NGX_HTTP_WEIR_STATUS_BREAKERS);
    if (n == NGX_ERROR) {
        return NULL;
    }

    name.data = (char *) info.name.data;
    name.len = info.name.len;

    b = ngx_create_temp_buf(r->pool, 256 + weir_json_string(NULL, 0, name)
                                     + n * NGX_HTTP_WEIR_STATUS_BREAKER);
    if (b == NULL) {
        return NULL;
    }

    p = b->last;
    last = b->end;

    p += weir_json_string((char *) p, last - p, name);
    p = ngx_slprintf(p, last, ":{\"breakers\":%ui,\"not_closed\":%ui,"
                     "\"forgotten\":%uL,\"uncounted\":%uL,\"keys\":{",
                     info.breakers, info.not_closed, info.forgotten,
                     info.uncounted);

    for (i = 0; i < n; i++) {
        p = ngx_slprintf(p, last, "%s\n", i ? "," : "");
        p = ngx_http_weir_status_breaker(p, last, &breakers[i]);
    }

    b->last = ngx_slprintf(p, last, "}}");

    return b;
}


static u_char *
ngx_http_weir_status_breaker(u_char *p, u_char *last,
    ngx_http_weir_breaker_info_t *info)
{
    p += weir_json_string((char *) p, last - p,
                          (weir_str_t) { (char *) info->key.data,
                                         info->key.len });

    p = ngx_slprintf(p, last, ":{\"state\":\"%V\",\"since_ms\":%uL,"
                     "\"calls\":%uD,\"failed\":%uD,\"slow\":%uD,"
                     "\"timeouts\":%uD,\"in_a_row\":%uD,"
                     "\"openings\":%uL,\"refused\":%uL,\"probes\":%uL",
                     ngx_http_weir_breaker_log_state(info->state), info->since,
                     info->counts.calls, info->counts.failed, info->counts.slow,
                     info->counts.timeouts, info->counts.row,
                     info->openings, info->refused, info->probes);

    if (info->forced) {
        p = ngx_slprintf(p, last, ",\"forced\":true");
    }

    if (info->state == WEIR_BREAKER_OPEN) {
        p = ngx_slprintf(p, last, ",\"retry_after_ms\":%uL",
                         info->retry_after);
    }

    if (info->rule != WEIR_BREAKER_BY_NOTHING) {
        p = ngx_slprintf(p, last, ",\"reason\":\"");
        p = ngx_http_weir_breaker_log_reason(p, last, info->rule,
                                             &info->opened, info->window,
                                             info->cause);
        p = ngx_slprintf(p, last, "\"");
    }

    return ngx_slprintf(p, last, "}");
}
