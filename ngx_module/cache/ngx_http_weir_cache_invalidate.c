/*
 * Invalidations that are made on this box: a response's Weir-Invalidate, and
 * requests with the method PURGE.
 *
 * Both are applied to the zone's table before the response leaves, and are
 * written to the stream, so that the other edges learn of them; nobody waits for
 * that.  What Redis didn't take is sent again by the follower.  A response that
 * has a Weir-Position says that the upstream has written the message itself.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"
#include "cache/tags.h"
#include "http/ngx_http_weir.h"


/* Milliseconds between two looks whether the stream was read. */
#define NGX_HTTP_WEIR_CACHE_FIRST_READ_POLL  2


typedef struct {
    ngx_http_request_t  *request;
    ngx_event_t          poll;
} ngx_http_weir_cache_first_read_t;


static ngx_int_t ngx_http_weir_cache_first_read(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone);
static void ngx_http_weir_cache_first_read_handler(ngx_event_t *ev);
static void ngx_http_weir_cache_first_read_cleanup(void *data);
static ngx_int_t ngx_http_weir_cache_purge(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf);
static ngx_int_t ngx_http_weir_cache_purge_problem(ngx_http_request_t *r,
    weir_str_t detail);
static ngx_int_t ngx_http_weir_cache_purged(ngx_http_request_t *r,
    ngx_uint_t tags, ngx_uint_t soft);
static ngx_int_t ngx_http_weir_cache_invalidate_filter(ngx_http_request_t *r);
static ngx_uint_t ngx_http_weir_cache_changes_target(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_cache_read_position(ngx_http_request_t *r,
    weir_position_t *position);
static ngx_int_t ngx_http_weir_cache_invalidate_target(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf, weir_position_t *position);
static ngx_int_t ngx_http_weir_cache_key_of(ngx_http_request_t *r,
    ngx_str_t *own, ngx_str_t *reference, ngx_str_t *key);
static ngx_int_t ngx_http_weir_cache_path_of(ngx_http_request_t *r,
    ngx_str_t *path);
static void ngx_http_weir_cache_trim_port(ngx_str_t *host, ngx_str_t *port);
static ngx_int_t ngx_http_weir_cache_invalidate_tags(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, ngx_array_t *lines, ngx_uint_t soft,
    weir_position_t *position);
static void ngx_http_weir_cache_invalidate(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, uint64_t *hashes, ngx_uint_t n,
    char *field, ngx_str_t *text, ngx_uint_t soft, weir_position_t *position);


static ngx_str_t  ngx_http_weir_cache_cache_tag = ngx_string("Cache-Tag");
static ngx_str_t  ngx_http_weir_cache_soft = ngx_string("Weir-Soft");
static ngx_str_t  ngx_http_weir_cache_invalidate_name =
                                                ngx_string("Weir-Invalidate");
static ngx_str_t  ngx_http_weir_cache_position = ngx_string("Weir-Position");


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


ngx_int_t
ngx_http_weir_cache_invalidate_handler(ngx_http_request_t *r)
{
    ngx_http_weir_cache_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_cache_module);

    if (clcf->zone == NULL || r != r->main || r->error_page) {
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


/*
 * Just after the zone was made its stream has not been read yet, and what is
 * stored now could not be used afterwards.  Requests wait for that, not longer
 * than for any reply of Redis.
 */

static ngx_int_t
ngx_http_weir_cache_first_read(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone)
{
    uint64_t                           waited;
    ngx_pool_cleanup_t                *cln;
    ngx_http_weir_cache_first_read_t  *first;

    waited = ngx_http_weir_cache_ms() - zone->invalidation->created;

    if (waited >= ngx_http_weir_redis_timeout(zone->redis)) {
        return NGX_DECLINED;
    }

    for (cln = r->pool->cleanup;
         cln;
         cln = cln->next)
    {
        if (cln->handler == ngx_http_weir_cache_first_read_cleanup) {
            break;
        }
    }

    if (cln == NULL) {
        cln = ngx_pool_cleanup_add(r->pool,
                                   sizeof(ngx_http_weir_cache_first_read_t));
        if (cln == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_memzero(cln->data, sizeof(ngx_http_weir_cache_first_read_t));
        cln->handler = ngx_http_weir_cache_first_read_cleanup;
    }

    first = cln->data;

    first->request = r;
    first->poll.handler = ngx_http_weir_cache_first_read_handler;
    first->poll.data = first;
    first->poll.log = r->connection->log;

    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_add_timer(&first->poll, NGX_HTTP_WEIR_CACHE_FIRST_READ_POLL);

    return NGX_AGAIN;
}


static void
ngx_http_weir_cache_first_read_handler(ngx_event_t *ev)
{
    ngx_connection_t                  *c;
    ngx_http_request_t                *r;
    ngx_http_weir_cache_first_read_t  *first;

    first = ev->data;
    r = first->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_weir_cache_first_read_cleanup(void *data)
{
    ngx_http_weir_cache_first_read_t  *first = data;

    if (first->poll.timer_set) {
        ngx_del_timer(&first->poll);
    }
}


/* The key of the request, or the tags of its Cache-Tag. */

static ngx_int_t
ngx_http_weir_cache_purge(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf)
{
    uint64_t          hash;
    ngx_int_t         rc;
    ngx_str_t         key, value;
    weir_str_t        text;
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
                                         WEIR_STR("Weir-Soft is 0 or 1."));
        }

        soft = (value.data[0] == '1');
    }

    tags = ngx_http_weir_cache_lines(r, &r->headers_in.headers,
                                     &ngx_http_weir_cache_cache_tag);
    if (tags == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (tags->nelts) {
        rc = ngx_http_weir_cache_invalidate_tags(r, clcf->zone, tags, soft,
                                                 NULL);
        if (rc == NGX_DECLINED) {
            return ngx_http_weir_cache_purge_problem(r,
                                         WEIR_STR("Cache-Tag names no tag."));
        }

        return rc == NGX_OK ? ngx_http_weir_cache_purged(r, 1, soft)
                            : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_complex_value(r, clcf->key, &key) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    text.data = (char *) key.data;
    text.len = key.len;
    hash = weir_key_hash(text);

    ngx_http_weir_cache_invalidate(r, clcf->zone, &hash, 1, "keys", &key, soft,
                                   NULL);

    return ngx_http_weir_cache_purged(r, 0, soft);
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
ngx_http_weir_cache_purged(ngx_http_request_t *r, ngx_uint_t tags,
    ngx_uint_t soft)
{
    ngx_int_t    rc;
    ngx_buf_t   *b;
    ngx_chain_t  out;

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

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        ngx_http_finalize_request(r, rc);
        return NGX_DONE;
    }

    out.buf = b;
    out.next = NULL;

    ngx_http_finalize_request(r, ngx_http_output_filter(r, &out));

    return NGX_DONE;
}


void
ngx_http_weir_cache_init_invalidate_filter(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_weir_cache_invalidate_filter;
}


static ngx_int_t
ngx_http_weir_cache_invalidate_filter(ngx_http_request_t *r)
{
    ngx_uint_t                       changes;
    ngx_array_t                     *lines;
    weir_position_t                  position, *written;
    ngx_http_weir_cache_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_cache_module);

    if (clcf->zone == NULL || !clcf->invalidate || r != r->main
        || r->upstream == NULL)
    {
        return ngx_http_next_header_filter(r);
    }

    lines = ngx_http_weir_cache_lines(r, &r->upstream->headers_in.headers,
                                      &ngx_http_weir_cache_invalidate_name);
    if (lines == NULL) {
        return NGX_ERROR;
    }

    changes = ngx_http_weir_cache_changes_target(r);

    if (!changes && lines->nelts == 0) {
        return ngx_http_next_header_filter(r);
    }

    /* an upstream that knows its position has written the message itself */

    written = (ngx_http_weir_cache_read_position(r, &position) == NGX_OK)
              ? &position : NULL;

    if (changes
        && ngx_http_weir_cache_invalidate_target(r, clcf, written) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_weir_cache_invalidate_tags(r, clcf->zone, lines, 0, written)
        == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


/* The Weir-Position of the upstream's response; NGX_DECLINED: none. */

static ngx_int_t
ngx_http_weir_cache_read_position(ngx_http_request_t *r,
    weir_position_t *position)
{
    weir_str_t        value;
    ngx_table_elt_t  *h;

    h = ngx_http_weir_find_header(&r->upstream->headers_in.headers,
                                  &ngx_http_weir_cache_position);
    if (h == NULL) {
        return NGX_DECLINED;
    }

    value.data = (char *) h->value.data;
    value.len = h->value.len;

    if (weir_position_parse(value, position)) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "upstream sent an invalid Weir-Position \"%V\", taken as none;"
                  " it must be like 1700000000000-0", &h->value);

    return NGX_DECLINED;
}


/* A success with a method that is not safe, RFC 9111 section 4.4 */

static ngx_uint_t
ngx_http_weir_cache_changes_target(ngx_http_request_t *r)
{
    return !(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_OPTIONS
                          |NGX_HTTP_PROPFIND|NGX_HTTP_TRACE))
           && r->upstream->headers_in.status_n >= 200
           && r->upstream->headers_in.status_n < 400
           && r->upstream->headers_in.status_n == r->headers_out.status;
}


/* What is stored of the target, of Location and of Content-Location. */

static ngx_int_t
ngx_http_weir_cache_invalidate_target(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf, weir_position_t *position)
{
    uint64_t          hash;
    ngx_int_t         rc;
    ngx_str_t         keys[3];
    weir_str_t        text;
    ngx_uint_t        i, n;
    ngx_table_elt_t  *h;

    static ngx_str_t  names[] = {
        ngx_string("Location"),
        ngx_string("Content-Location")
    };

    if (ngx_http_complex_value(r, clcf->key, &keys[0]) != NGX_OK) {
        return NGX_ERROR;
    }

    n = 1;

    for (i = 0; i < 2; i++) {
        h = ngx_http_weir_find_header(&r->upstream->headers_in.headers,
                                      &names[i]);
        if (h == NULL) {
            continue;
        }

        rc = ngx_http_weir_cache_key_of(r, &keys[0], &h->value, &keys[n]);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_OK) {
            n++;
        }
    }

    for (i = 0; i < n; i++) {
        text.data = (char *) keys[i].data;
        text.len = keys[i].len;
        hash = weir_key_hash(text);

        ngx_http_weir_cache_invalidate(r, clcf->zone, &hash, 1, "keys",
                                       &keys[i], 0, position);
    }

    return NGX_OK;
}


/*
 * The key that another URI of the same origin would have: that of the request
 * with the URI in the place of its own.  NGX_DECLINED: of another origin, or
 * the key doesn't hold the URI as it was requested.
 */

static ngx_int_t
ngx_http_weir_cache_key_of(ngx_http_request_t *r, ngx_str_t *own,
    ngx_str_t *reference, ngx_str_t *key)
{
    u_char     *p, *at;
    ngx_int_t   rc;
    ngx_str_t   path;

    path = *reference;

    if (path.len && path.data[0] != '/') {
        rc = ngx_http_weir_cache_path_of(r, &path);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (path.len == 0 || path.data[0] != '/'
        || (path.len > 1 && path.data[1] == '/'))
    {
        return NGX_DECLINED;
    }

    /* RFC 3986 section 3.5: the fragment is the client's */

    p = ngx_strlchr(path.data, path.data + path.len, '#');
    if (p) {
        path.len = p - path.data;
    }

    if (r->unparsed_uri.len == 0 || own->len < r->unparsed_uri.len) {
        return NGX_DECLINED;
    }

    for (at = own->data;
         at <= own->data + own->len - r->unparsed_uri.len;
         at++)
    {
        if (ngx_memcmp(at, r->unparsed_uri.data, r->unparsed_uri.len) == 0) {
            break;
        }
    }

    if (at > own->data + own->len - r->unparsed_uri.len) {
        return NGX_DECLINED;
    }

    key->len = own->len - r->unparsed_uri.len + path.len;

    key->data = ngx_pnalloc(r->pool, key->len);
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(key->data, own->data, at - own->data);
    p = ngx_cpymem(p, path.data, path.len);
    at += r->unparsed_uri.len;
    ngx_memcpy(p, at, own->data + own->len - at);

    return NGX_OK;
}


/*
 * The path, with the query, that a reference leads to which doesn't begin with
 * it: an absolute URI of the request's own origin, or one that is relative to
 * the target URI (RFC 3986 section 5.2).  NGX_DECLINED: of another origin, or
 * a reference to the target itself.
 */

static ngx_int_t
ngx_http_weir_cache_path_of(ngx_http_request_t *r, ngx_str_t *path)
{
    u_char     *p, *last, *end;
    ngx_str_t   host, own, port, base;

    end = path->data + path->len;

    for (p = path->data; p < end && *p != ':' && *p != '/' && *p != '?'
                         && *p != '#'; p++) { /* void */ }

    if (p < end && *p == ':') {

        ngx_str_set(&own, "http");
        ngx_str_set(&port, ":80");

#if (NGX_HTTP_SSL)
        if (r->connection->ssl) {
            ngx_str_set(&own, "https");
            ngx_str_set(&port, ":443");
        }
#endif

        if ((size_t) (p - path->data) != own.len
            || ngx_strncasecmp(path->data, own.data, own.len) != 0
            || end - p < 3 || p[1] != '/' || p[2] != '/'
            || r->headers_in.host == NULL)
        {
            return NGX_DECLINED;
        }

        host.data = p + 3;

        for (p += 3; p < end && *p != '/' && *p != '?' && *p != '#'; p++) {
            /* void */
        }

        host.len = p - host.data;
        own = r->headers_in.host->value;

        ngx_http_weir_cache_trim_port(&host, &port);
        ngx_http_weir_cache_trim_port(&own, &port);

        if (host.len != own.len
            || ngx_strncasecmp(host.data, own.data, own.len) != 0)
        {
            return NGX_DECLINED;
        }

        path->data = p;
        path->len = end - p;

        return NGX_OK;
    }

    if (p == path->data && (p == end || *p != '/')) {
        return NGX_DECLINED;
    }

    /* the target's path up to its last slash, and the reference behind it */

    base = r->unparsed_uri;

    p = ngx_strlchr(base.data, base.data + base.len, '?');
    if (p) {
        base.len = p - base.data;
    }

    while (base.len && base.data[base.len - 1] != '/') {
        base.len--;
    }

    if (base.len == 0 || base.data[0] != '/') {
        return NGX_DECLINED;
    }

    p = ngx_pnalloc(r->pool, base.len + path->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    last = ngx_cpymem(p, base.data, base.len);

    for (end = path->data; end < path->data + path->len; /* void */ ) {
        u_char  *segment = end;
        size_t   left = path->data + path->len - segment;

        if (*segment == '?' || *segment == '#') {
            last = ngx_cpymem(last, segment, left);
            break;
        }

        while (end < path->data + path->len && *end != '/' && *end != '?'
               && *end != '#')
        {
            end++;
        }

        left = end - segment;

        if (end < path->data + path->len && *end == '/') {
            end++;
        }

        if (left == 1 && segment[0] == '.') {
            continue;
        }

        if (left == 2 && segment[0] == '.' && segment[1] == '.') {

            if (last - p > 1) {
                do {
                    last--;
                } while (last[-1] != '/');
            }

            continue;
        }

        last = ngx_cpymem(last, segment, end - segment);
    }

    path->data = p;
    path->len = last - p;

    return NGX_OK;
}


/* The port that a scheme has anyway is not part of an origin's name. */

static void
ngx_http_weir_cache_trim_port(ngx_str_t *host, ngx_str_t *port)
{
    if (host->len > port->len
        && ngx_memcmp(host->data + host->len - port->len, port->data,
                      port->len)
           == 0)
    {
        host->len -= port->len;
    }
}


/* NGX_OK, NGX_DECLINED (there is no tag), or NGX_ERROR (no memory). */

static ngx_int_t
ngx_http_weir_cache_invalidate_tags(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, ngx_array_t *lines, ngx_uint_t soft,
    weir_position_t *position)
{
    size_t       pos, len;
    u_char      *p;
    uint64_t    *hash;
    ngx_str_t    text;
    weir_str_t  *line, tag;
    ngx_uint_t   i;
    ngx_array_t  hashes;

    if (ngx_array_init(&hashes, r->pool, 8, sizeof(uint64_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    line = lines->elts;
    len = 0;

    for (i = 0; i < lines->nelts; i++) {
        len += line[i].len + 1;

        for (pos = 0; weir_tags_next(line[i], &pos, &tag); /* void */ ) {
            hash = ngx_array_push(&hashes);
            if (hash == NULL) {
                return NGX_ERROR;
            }

            *hash = weir_tag_hash(tag);
        }
    }

    if (hashes.nelts == 0) {
        return NGX_DECLINED;
    }

    text.data = ngx_pnalloc(r->pool, len);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    p = text.data;

    for (i = 0; i < lines->nelts; i++) {
        p = ngx_cpymem(p, line[i].data, line[i].len);
        *p++ = ',';
    }

    text.len = len - 1;

    ngx_http_weir_cache_invalidate(r, zone, hashes.elts, hashes.nelts, "tags",
                                   &text, soft, position);

    return NGX_OK;
}


/* Here at once, and by the stream everywhere else. */

static void
ngx_http_weir_cache_invalidate(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, uint64_t *hashes, ngx_uint_t n,
    char *field, ngx_str_t *text, ngx_uint_t soft, weir_position_t *position)
{
    u_char                         edge[16 + 1 + NGX_INT64_LEN];
    uint64_t                       local, now;
    ngx_str_t                      argv[9];
    weir_invalidations_t          *table;
    ngx_http_weir_redis_command_t  cmd;

    now = ngx_http_weir_cache_ms();

    table = ngx_http_weir_cache_invalidation_lock(zone);

    local = weir_invalidations_make(table, hashes, n, soft, position,
                                    zone->redis != NULL, now);

    ngx_http_weir_cache_invalidation_unlock(zone);

    if (zone->redis == NULL || position) {
        return;
    }

    ngx_str_set(&argv[0], "XADD");
    ngx_str_set(&argv[1], NGX_HTTP_WEIR_CACHE_STREAM);
    ngx_str_set(&argv[2], "*");
    argv[3].data = (u_char *) field;
    argv[3].len = ngx_strlen(field);
    argv[4] = *text;
    ngx_str_set(&argv[5], "edge");
    argv[6].data = edge;
    argv[6].len = ngx_sprintf(edge, "%016xL-%uL", table->origin, local) - edge;
    ngx_str_set(&argv[7], "soft");
    ngx_str_set(&argv[8], "1");

    ngx_memzero(&cmd, sizeof(ngx_http_weir_redis_command_t));
    cmd.log = r->connection->log;

    (void) ngx_http_weir_redis_command(zone->redis, &cmd, soft ? 9 : 7, argv);
}
