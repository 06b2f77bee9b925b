// uses: nginx hiredis
// needs: ngx_module/cache/lookup/key/ngx_http_weir_cache_uri.c
// needs: ngx_module/cache/lookup/key/ngx_http_weir_cache_flags.c ngx_module/cache/policy/tags.c
// needs: ngx_module/cache/policy/cache_control.c
// needs: ngx_module/cache/policy/vary.c ngx_module/cache/entry_mac.c common/hash/blake2b.c
// needs: t/fuzz/nginx.c ngx_module/http/ngx_http_weir_module.c
// needs: ngx_module/http/ngx_http_weir_headers.c
/*
 * What the edge's glue reads of header lines, on any bytes: If-None-Match, X-Accel-Expires, the
 * variant that Vary's fields select with its digest under a secret, Cache-Control with Pragma, and
 * Location as a key.  Each line of the input is "name: value" of the request; the first one is the
 * URI, the second one the list of fields, the third one the response's ETag.
 */
#include "ngx_module/cache/lookup/key/ngx_http_weir_cache_key.c"
#include "ngx_module/cache/lookup/key/ngx_http_weir_cache_key_vary.c"
#include "ngx_module/cache/lookup/key/ngx_http_weir_cache_redirect.c"
#include "ngx_module/cache/serve/ngx_http_weir_cache_restore.c"

#include "cache/lookup/key/ngx_http_weir_cache_uri.h"
#include "flag/ngx_http_weir_flag.h"

#include "budget.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {30000, 100, 100000, 300};

#define LINES_MAX 100

ngx_module_t ngx_http_weir_cache_module;

ngx_uint_t ngx_http_weir_cache_sent(ngx_http_weir_cache_ctx_t *ctx, weir_str_t *name,
                                    ngx_str_t *value)
{
    (void)ctx, (void)name, (void)value;
    return 0;
}

/* The location has no weir_flag. */
ngx_http_weir_flag_t *ngx_http_weir_flag_request_find(ngx_http_request_t *r, u_char *name,
                                                      size_t len)
{
    (void)r, (void)name, (void)len;
    return NULL;
}

static ngx_str_t line(const uint8_t **p, const uint8_t *end)
{
    const uint8_t *start = *p,
                  *newline = start < end ? memchr(start, '\n', (size_t)(end - start)) : NULL;

    *p = newline != NULL ? newline + 1 : end;
    return (ngx_str_t){(size_t)((newline != NULL ? newline : end) - start), (u_char *)start};
}

/* Everything that a worker has around a request, as far as it is asked for. */
typedef struct {
    ngx_http_request_t r;
    ngx_http_upstream_t upstream;
    ngx_connection_t connection;
    ngx_table_elt_t headers[LINES_MAX], etag;
    ngx_http_weir_cache_ctx_t ctx;
    ngx_http_weir_cache_loc_conf_t conf;
    void *loc_conf[1];
    ngx_http_weir_cache_zone_t zone;
    ngx_http_weir_cache_invalidation_t invalidation;
    weir_invalidations_t table;
    weir_entry_mac_t mac;
} world_t;

static void add_header(world_t *w, ngx_str_t text)
{
    ngx_table_elt_t *h = &w->headers[w->r.headers_in.headers.part.nelts++];
    u_char *colon = text.len > 0 ? memchr(text.data, ':', text.len) : NULL,
           *end = text.data + text.len;
    ngx_str_t value = {0, end};

    if (colon != NULL) {
        text.len = (size_t)(colon - text.data);
        while (++colon < end && *colon == ' ') {
        }
        value = (ngx_str_t){(size_t)(end - colon), colon};
    }
    *h = (ngx_table_elt_t){.hash = 1, .key = text, .value = value};
    if (text.len == 13 && ngx_strncasecmp(text.data, (u_char *)"If-None-Match", 13) == 0)
        w->r.headers_in.if_none_match = h;
    if (text.len == 4 && ngx_strncasecmp(text.data, (u_char *)"Host", 4) == 0)
        w->r.headers_in.host = h;
}

static void read_all(world_t *w, ngx_str_t fields)
{
    ngx_str_t key = {0, NULL}, own, variant;
    int64_t seconds;
    size_t len;
    u_char *text = ngx_palloc(w->r.pool, w->r.unparsed_uri.len + 2);
    ngx_table_elt_t *location;
    ngx_str_t name = ngx_string("Location");
    char list[WEIR_VARY_FIELDS_MAX * (WEIR_VARY_NAME_MAX + 1)];

    assert(ngx_http_weir_cache_key_read_request(&w->ctx) == NGX_OK);
    if (w->r.headers_in.if_none_match != NULL)
        (void)ngx_http_weir_cache_restore_matches_none(&w->r);
    if (ngx_http_weir_cache_redirect_accel_expires(&w->r, &seconds) == NGX_OK)
        assert(seconds >= 0 && seconds <= WEIR_CACHE_SECONDS_MAX);

    own = (ngx_str_t){w->r.unparsed_uri.len + 2, text};
    memcpy(text, "k ", 2);
    if (w->r.unparsed_uri.len > 0)
        memcpy(text + 2, w->r.unparsed_uri.data, w->r.unparsed_uri.len);
    location = ngx_http_weir_find_header(&w->r.headers_in.headers, &name);
    if (location != NULL &&
        ngx_http_weir_cache_uri_key(&w->r, &w->conf, &own, &location->value, 0, &key) == NGX_OK) {
        assert(key.len >= 3 && memcmp(key.data, "k /", 3) == 0);
        assert(key.len == 3 || key.data[3] != '/');
        assert(memchr(key.data, '#', key.len) == NULL);
    }

    if (!weir_vary_fields(&(weir_str_t){(char *)fields.data, fields.len}, 1, list, &len))
        return;
    fields = (ngx_str_t){len, (u_char *)list};
    assert(ngx_http_weir_cache_key_vary_select(&w->ctx, &fields) == NGX_OK);
    variant = w->ctx.vary;
    w->zone.mac = &w->mac;
    assert(ngx_http_weir_cache_key_vary_select(&w->ctx, &fields) == NGX_OK);
    assert(w->ctx.vary.len == WEIR_ENTRY_MAC_VARY_LEN);
    for (size_t i = 0; i < w->ctx.vary.len; i++)
        assert(strchr("0123456789abcdef", w->ctx.vary.data[i]) != NULL);
    assert(variant.len < 64 || memmem(w->ctx.vary.data, 64, variant.data, 64) == NULL);
}

static void run(const uint8_t *data, size_t size)
{
    static world_t w;
    const uint8_t *p = data, *end = data + size;
    ngx_str_t fields;

    memset(&w, 0, sizeof(w));
    w.r.pool = ngx_create_pool(1024, NULL);
    w.r.connection = &w.connection;
    w.r.upstream = &w.upstream;
    w.r.loc_conf = w.loc_conf;
    w.loc_conf[0] = &w.conf;
    w.ctx.request = &w.r;
    w.ctx.conf = &w.conf;
    w.conf.zone = &w.zone;
    w.zone.invalidation = &w.invalidation;
    w.invalidation.table = &w.table;
    ngx_str_set(&w.ctx.key, "k");
    assert(weir_entry_mac_read(&w.mac, WEIR_STR("a secret of sixteen")) == NULL);
    w.r.unparsed_uri = line(&p, end);
    fields = line(&p, end);
    w.etag.value = line(&p, end);
    w.r.headers_out.etag = &w.etag;
    w.r.headers_in.headers.part.elts = w.headers;
    while (p < end && w.r.headers_in.headers.part.nelts < LINES_MAX)
        add_header(&w, line(&p, end));
    w.upstream.headers_in.headers = w.r.headers_in.headers;
    read_all(&w, fields);
    ngx_destroy_pool(w.r.pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
