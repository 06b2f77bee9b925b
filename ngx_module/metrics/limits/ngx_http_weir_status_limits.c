/* Slots in weir_status; nothing without a weir_limit_zone. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/problem.h"
#include "limit/ngx_http_weir_limit_zone.h"
#include "metrics/ngx_http_weir_status.h"


/* Bytes of a zone and of a key at most, with its name; a byte takes up to six. */
#define NGX_HTTP_WEIR_STATUS_LIMIT_ZONE  192
#define NGX_HTTP_WEIR_STATUS_LIMIT       (320 + 6 * WEIR_SLOTS_KEY_MAX)


static u_char *ngx_http_weir_status_limits_zone(u_char *p, u_char *last,
    ngx_shm_zone_t *zone, ngx_array_t *keys);
static u_char *ngx_http_weir_status_limits_key(u_char *p, u_char *last,
    ngx_http_weir_limit_use_t *use);


size_t
ngx_http_weir_status_limits_size(ngx_http_request_t *r)
{
    size_t                             size;
    ngx_uint_t                         i;
    ngx_shm_zone_t                   **zone;
    ngx_http_weir_limit_main_conf_t   *lmcf;

    lmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_limit_module);
    zone = lmcf->zones.elts;

    size = sizeof(",\n\"limits\":{}")
           + lmcf->keys.nelts * NGX_HTTP_WEIR_STATUS_LIMIT;

    for (i = 0; i < lmcf->zones.nelts; i++) {
        size += 6 * zone[i]->shm.name.len + NGX_HTTP_WEIR_STATUS_LIMIT_ZONE;
    }

    return size;
}


u_char *
ngx_http_weir_status_limits(ngx_http_request_t *r, u_char *p, u_char *last)
{
    ngx_uint_t                         i;
    ngx_shm_zone_t                   **zone;
    ngx_http_weir_limit_main_conf_t   *lmcf;

    lmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_limit_module);
    zone = lmcf->zones.elts;

    if (lmcf->zones.nelts == 0) {
        return p;
    }

    for (i = 0; i < lmcf->zones.nelts; i++) {
        p = ngx_slprintf(p, last, "%s\n", i ? "," : ",\n\"limits\":{");
        p = ngx_http_weir_status_limits_zone(p, last, zone[i], &lmcf->keys);
    }

    return ngx_slprintf(p, last, "}");
}


static u_char *
ngx_http_weir_status_limits_zone(u_char *p, u_char *last,
    ngx_shm_zone_t *zone, ngx_array_t *keys)
{
    ngx_uint_t                        i, n;
    ngx_http_weir_limit_use_t        *use;
    ngx_http_weir_limit_zone_info_t   info;

    ngx_http_weir_limit_zone_info(zone, &info);

    p += weir_json_string((char *) p, last - p,
                          (weir_str_t) { (char *) zone->shm.name.data,
                                         zone->shm.name.len });

    p = ngx_slprintf(p, last, ":{\"all_keys\":%ui,\"requests\":%ui,"
                     "\"forgotten\":%uL,\"uncounted\":%uL,\"reclaimed\":%uL,"
                     "\"keys\":{", info.keys, info.tickets, info.forgotten,
                     info.uncounted, info.reclaimed);

    use = keys->elts;
    n = 0;

    for (i = 0; i < keys->nelts; i++) {
        if (use[i].limit->zone == zone && !use[i].variable) {
            p = ngx_slprintf(p, last, "%s\n", n++ ? "," : "");
            p = ngx_http_weir_status_limits_key(p, last, &use[i]);
        }
    }

    return ngx_slprintf(p, last, "}}");
}


static u_char *
ngx_http_weir_status_limits_key(u_char *p, u_char *last,
    ngx_http_weir_limit_use_t *use)
{
    ngx_uint_t                  i;
    ngx_http_weir_limit_info_t  info;

    ngx_http_weir_limit_zone_key(use, &info);

    p += weir_json_string((char *) p, last - p,
                          (weir_str_t) { (char *) use->key.data,
                                         use->key.len });

    p = ngx_slprintf(p, last, ":{\"limit\":%ui,\"in_use\":%ui,"
                     "\"waiting\":%ui,\"admitted\":%uL,\"queued\":%uL,"
                     "\"refused\":{", info.limit, info.in_use, info.waiting,
                     info.counts.admitted, info.counts.queued);

    for (i = 0; i < WEIR_SLOTS_REASONS; i++) {
        p = ngx_slprintf(p, last, "%s\"%V\":%uL", i ? "," : "",
                         ngx_http_weir_limit_reason(i),
                         info.counts.refused[i]);
    }

    return ngx_slprintf(p, last, "}}");
}
