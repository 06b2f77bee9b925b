/*
 * Requests with the method PURGE: the request's key, or the tags that its
 * Cache-Tag names, become invalid (with Weir-Soft: 1 stale) before the response
 * is sent.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/ngx_http_weir_cache_first_read.h"
#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "cache/lookup/key/ngx_http_weir_cache_key_text.h"
#include "cache/purge/ngx_http_weir_cache_purge.h"
#include "http/ngx_http_weir.h"


static ngx_int_t ngx_http_weir_cache_purge(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf);
static ngx_int_t ngx_http_weir_cache_purge_problem(ngx_http_request_t *r,
    weir_str_t detail);
static ngx_int_t ngx_http_weir_cache_purged(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, ngx_uint_t tags, ngx_uint_t soft);


static ngx_str_t  ngx_http_weir_cache_cache_tag = ngx_string("Cache-Tag");
static ngx_str_t  ngx_http_weir_cache_soft = ngx_string("Weir-Soft");


ngx_int_t
ngx_http_weir_cache_purge_handler(ngx_http_request_t *r)
{
    ngx_http_weir_cache_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_cache_module);

    if (clcf->zone == NULL || r != r->main || r->error_page
        || r->method == NGX_HTTP_CONNECT)
    {
        /* the cache ignores tunnels */
        return NGX_DECLINED;
    }

    if (clcf->purge && r->method_name.len == 5
        && ngx_strncmp(r->method_name.data, "PURGE", 5) == 0)
    {
        return ngx_http_weir_cache_purge(r, clcf);
    }

    if (clcf->zone->redis && r->content_handler
        && !clcf->zone->invalidation->tried)
    {
        return ngx_http_weir_cache_first_read(r, clcf->zone);
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_weir_cache_purge(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf)
{
    ngx_int_t         rc;
    ngx_str_t         key, value;
    ngx_uint_t        soft;
    ngx_array_t      *tags;
    ngx_table_elt_t  *h;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    soft = 0;
    h = ngx_http_weir_find_header(&r->headers_in.headers,
                                  &ngx_http_weir_cache_soft);
    if (h) {
        value = h->value;

        if (value.len != 1 || (value.data[0] != '0' && value.data[0] != '1')) {
            return ngx_http_weir_cache_purge_problem(r,
                                         WEIR_STR("Weir-Soft must be 0 or 1."));
        }

        soft = (value.data[0] == '1');
    }

    tags = ngx_http_weir_header_lines(r, &r->headers_in.headers,
                                      &ngx_http_weir_cache_cache_tag);
    if (tags == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (tags->nelts) {
        rc = ngx_http_weir_cache_invalidate_tags(r, clcf->zone, tags, soft,
                                                 NULL);
        if (rc == NGX_DECLINED) {
            return ngx_http_weir_cache_purge_problem(r,
                                         WEIR_STR("Cache-Tag contains no tag."));
        }

        return rc == NGX_OK ? ngx_http_weir_cache_purged(r, clcf->zone, 1, soft)
                            : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_weir_cache_key_text(r, clcf, &key) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_weir_cache_invalidate_key(r, clcf->zone, &key, soft, NULL);

    return ngx_http_weir_cache_purged(r, clcf->zone, 0, soft);
}


static ngx_int_t
ngx_http_weir_cache_purge_problem(ngx_http_request_t *r, weir_str_t detail)
{
    weir_problem_t  problem;

    ngx_memzero(&problem, sizeof(weir_problem_t));
    problem.status = NGX_HTTP_BAD_REQUEST;
    problem.title = "Malformed PURGE";
    problem.detail = detail;

    return ngx_http_weir_send_problem(r, &problem);
}


static ngx_int_t
ngx_http_weir_cache_purged(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, ngx_uint_t tags, ngx_uint_t soft)
{
    ngx_buf_t       *b;
    ngx_chain_t      out;
    weir_problem_t   problem;

    static ngx_str_t  name = ngx_string("Weir-Invalidation");
    static ngx_str_t  value = ngx_string("pending");

    if (!ngx_http_weir_cache_invalidation_is_heard(zone)) {

        if (ngx_http_weir_add_header(r, &name, &value) == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_memzero(&problem, sizeof(weir_problem_t));
        problem.status = NGX_HTTP_SERVICE_UNAVAILABLE;
        problem.title = "Invalidation pending";
        problem.detail = WEIR_STR("This edge has applied the invalidation;"
                                  " other edges apply it when Redis accepts"
                                  " messages again.");

        return ngx_http_weir_send_problem(r, &problem);
    }

    b = ngx_create_temp_buf(r->pool, 64);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last = ngx_sprintf(b->last, "{\"invalidated\":\"%s\",\"soft\":%s}\n",
                          tags ? "tags" : "key", soft ? "true" : "false");
    b->last_buf = 1;
    b->last_in_chain = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    out.buf = b;
    out.next = NULL;

    ngx_http_finalize_request(r, ngx_http_weir_send_response(r, &out));

    return NGX_DONE;
}
