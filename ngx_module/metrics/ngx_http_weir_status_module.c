/*
 * weir_status: Weir's version, the state of caches and breakers, and percentiles
 * of routes and upstreams, as JSON for operators and scripts.
 *
 * Counters are read without a lock: each is correct, but they may be from
 * slightly different times.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "cache/request/ngx_http_weir_cache_request.h"
#include "cache/serve/ngx_http_weir_cache_serve.h"
#include "common/problem.h"
#include "common/version.h"
#include "http/ngx_http_weir.h"
#include "metrics/ngx_http_weir_metrics_parts.h"
#include "metrics/ngx_http_weir_status.h"
#include "metrics/series/ngx_http_weir_series.h"


/* Upper limit of bytes per zone, without its name. */
#define NGX_HTTP_WEIR_STATUS_ZONE  2048


static ngx_int_t ngx_http_weir_status_handler(ngx_http_request_t *r);
static ngx_buf_t *ngx_http_weir_status_document(ngx_http_request_t *r,
    ngx_array_t *breakers, ngx_uint_t complete);
static u_char *ngx_http_weir_status_zone(u_char *p, u_char *last,
    ngx_http_weir_cache_zone_t *zone);
static char *ngx_http_weir_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_http_weir_status_commands[] = {

    { ngx_string("weir_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_weir_status,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_status_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_weir_status_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_status_module_ctx,      /* module context */
    ngx_http_weir_status_commands,         /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_weir_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_buf_t                      *b;
    ngx_http_weir_status_series_t  *series;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    b = ngx_http_weir_status_begin(r, 0, &series);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    return ngx_http_weir_metrics_parts_send(r, b,
                                            series
                                            ? ngx_http_weir_status_series_next
                                            : NULL,
                                            series);
}


ngx_buf_t *
ngx_http_weir_status_begin(ngx_http_request_t *r, ngx_uint_t history,
    ngx_http_weir_status_series_t **series)
{
    ngx_array_t  breakers;

    if (ngx_array_init(&breakers, r->pool, 4, sizeof(ngx_buf_t *)) != NGX_OK
        || ngx_http_weir_status_breakers(r, &breakers) != NGX_OK)
    {
        return NULL;
    }

    *series = ngx_http_weir_status_series_create(r, history);

    if (*series == NULL && ngx_http_weir_series_zone(r)) {
        /* a document without them would look complete */
        return NULL;
    }

    return ngx_http_weir_status_document(r, &breakers, *series == NULL);
}


/*
 * Includes the buffers of the breakers; complete: with the end, behind which
 * there are no series.  NULL: no memory.
 */

static ngx_buf_t *
ngx_http_weir_status_document(ngx_http_request_t *r, ngx_array_t *breakers,
    ngx_uint_t complete)
{
    u_char                       *p, *last;
    size_t                        size;
    ngx_buf_t                    *b, **breaker;
    ngx_uint_t                    i;
    ngx_array_t                  *zones;
    ngx_http_weir_cache_zone_t  **zone;

    breaker = breakers->elts;
    zones = ngx_http_weir_cache_zones(r);
    zone = zones->elts;
    size = sizeof("{\"version\":\"" WEIR_VERSION "\",\"caches\":{\n},\n\"breakers\":{\n}}\n");

    for (i = 0; i < breakers->nelts; i++) {
        size += sizeof(",\n") - 1 + (breaker[i]->last - breaker[i]->pos);
    }

    for (i = 0; i < zones->nelts; i++) {
        size += NGX_HTTP_WEIR_STATUS_ZONE
                + weir_json_string(NULL, 0,
                                   (weir_str_t) { (char *) zone[i]->name.data,
                                                  zone[i]->name.len });
    }

    size += NGX_HTTP_WEIR_STATUS_EXPORTER + ngx_http_weir_status_tokens_size(r)
            + ngx_http_weir_status_limits_size(r);

    b = ngx_create_temp_buf(r->pool, size);
    if (b == NULL) {
        return NULL;
    }

    p = b->last;
    last = b->end;

    p = ngx_slprintf(p, last, "{\"version\":\"" WEIR_VERSION "\"");
    p = ngx_http_weir_status_exporter(r, p, last);
    p = ngx_http_weir_status_tokens(r, p, last);
    p = ngx_http_weir_status_limits(r, p, last);
    p = ngx_slprintf(p, last, ",\"caches\":{");

    for (i = 0; i < zones->nelts; i++) {
        p = ngx_slprintf(p, last, "%s\n", i ? "," : "");
        p = ngx_http_weir_status_zone(p, last, zone[i]);
    }

    p = ngx_slprintf(p, last, "\n},\n\"breakers\":{");

    for (i = 0; i < breakers->nelts; i++) {
        p = ngx_slprintf(p, last, "%s\n%*s", i ? "," : "",
                         (size_t) (breaker[i]->last - breaker[i]->pos),
                         breaker[i]->pos);
    }

    b->last = ngx_slprintf(p, last, complete ? "\n}}\n" : "\n}");

    return b;
}


static u_char *
ngx_http_weir_status_zone(u_char *p, u_char *last,
    ngx_http_weir_cache_zone_t *zone)
{
    ngx_uint_t                               i;
    ngx_http_weir_cache_usage_t              usage;
    ngx_http_weir_cache_counters_t          *n;
    ngx_http_weir_cache_invalidation_info_t  info;

    n = ngx_http_weir_cache_zone_counters(zone);
    ngx_http_weir_cache_zone_usage(zone, &usage);
    ngx_http_weir_cache_invalidation_info(zone, &info);

    p += weir_json_string((char *) p, last - p,
                          (weir_str_t) { (char *) zone->name.data,
                                         zone->name.len });

    p = ngx_slprintf(p, last, ":{\"entries\":%ui,\"bytes\":%uz,\"size\":%uz,"
                     "\"hits\":{\"memory\":%uA,\"redis\":%uA},"
                     "\"stale\":%uA,\"collapsed\":%uA,\"forwarded\":{",
                     usage.entries, usage.bytes, usage.size,
                     n->hits_memory, n->hits_redis, n->stale, n->collapsed);

    for (i = 0; i < NGX_HTTP_WEIR_CACHE_REASONS; i++) {
        p = ngx_slprintf(p, last, "%s\"%V\":%uA", i ? "," : "",
                         &ngx_http_weir_cache_reasons[i], n->forwarded[i]);
    }

    p = ngx_slprintf(p, last, "},\"revalidated\":%uA,\"stale_if_error\":%uA,"
                     "\"stored\":%uA,\"evicted\":%uA,\"refused\":%uA,"
                     "\"recovered\":%uA,\"forged\":%uA,",
                     n->revalidated, n->stale_errors, n->stored, n->evicted,
                     n->refused, n->recovered, n->forged);

    return ngx_slprintf(p, last, "\"invalidations\":{\"applied\":%uL,"
                        "\"position\":\"%uL-%uL\",\"floor\":\"%uL-%uL\","
                        "\"lag_ms\":%L,\"era\":\"%016xL\",\"forgotten\":%uL,"
                        "\"gaps\":%uL,\"pending\":%ui,\"malformed\":%uL,"
                        "\"unsent\":%uL,\"writes_refused\":%s,\"clients\":{"
                        "\"pending\":%ui,\"forgotten\":%uL,\"unsent\":%uL},"
                        "\"follower\":%P}}",
                        info.applied, info.position.ms, info.position.seq,
                        info.floor.ms, info.floor.seq, info.lag, info.era,
                        info.evicted, info.gaps, info.pending,
                        info.malformed, info.unsent,
                        info.refusing ? "true" : "false",
                        info.clients_pending, info.clients_forgotten,
                        info.clients_unsent, info.follower);
}


static char *
ngx_http_weir_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_weir_loc_conf_t  *wlcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_weir_status_handler) {
        return "is duplicate";
    }

    clcf->handler = ngx_http_weir_status_handler;

    wlcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_weir_module);
    wlcf->status = 1;

    ngx_http_weir_series_require(cf);

    return NGX_CONF_OK;
}
