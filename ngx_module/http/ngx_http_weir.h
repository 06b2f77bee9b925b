/*
 * Shared by all of Weir's nginx modules: problem documents, and the
 * configuration of a location.  All functions run in a worker on the event loop
 * and never block; memory comes from the request's pool.
 */

#ifndef _NGX_HTTP_WEIR_H_INCLUDED_
#define _NGX_HTTP_WEIR_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/hint.h"
#include "common/problem.h"
#include "http/ngx_http_weir_headers.h"
#include "http/ngx_http_weir_outcome.h"


extern weir_local ngx_module_t  ngx_http_weir_module;


/* What metrics/series has counted last for a location, in this process. */
typedef struct {
    uint64_t     labels;                   /* 0: nothing */
    void        *by;                       /* version or upstream */
    struct ngx_http_weir_series_part_s  *part;
} ngx_http_weir_counted_t;


typedef struct {
    ngx_flag_t   problem_pages;
    ngx_str_t    pass;                     /* argument of *_pass; len 0: none */
    ngx_str_t    route;                    /* see http/route; len 0:
                                              "_other" */
    struct ngx_http_weir_usage_s  *usage;  /* of the route, in this process (see
                                              usage/); NULL: not counted yet */
    ngx_http_weir_counted_t  request;      /* the last request of clients, */
    ngx_http_weir_counted_t  versioned;    /* the same with weir_version, */
    ngx_http_weir_counted_t  upstream;     /* and the last one to upstreams */
    unsigned     named:1;                  /* route is that of a weir_route,
                                              also of an enclosing block */

    /* set by other modules; not inherited, status only by if, limit_except */
    unsigned     status:1;                 /* weir_status, weir_metrics or
                                              weir_dashboard */
    unsigned     purges:1;                 /* weir_cache_purge answers PURGE */
    unsigned     breaker:1;                /* the location has weir_breaker */
    unsigned     breaker_stale:2;          /* ... and weir_breaker_fallback
                                              stale: 2, its own, 1, inherited */
    unsigned     limit:1;                  /* the location has weir_limit */
    unsigned     versions:1;               /* the location has weir_version */
} ngx_http_weir_loc_conf_t;


/*
 * True if Weir answers the request itself, independent of any API version of
 * the location.  Does not include problem documents.
 */
static ngx_inline ngx_uint_t
ngx_http_weir_answers_itself(ngx_http_request_t *r)
{
    ngx_http_weir_loc_conf_t  *wlcf;

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_module);

    return wlcf->status
           || (wlcf->purges && r->method_name.len == 5
               && ngx_strncmp(r->method_name.data, "PURGE", 5) == 0);
}


/*
 * Ends the request with a problem document (RFC 9457).  For phase handlers (not
 * content handlers), as "return ngx_http_weir_send_problem(r, &problem);".
 *
 * The request body is discarded.  Headers already added to r->headers_out
 * (Retry-After, Vary ...)  are sent, too.  If the location has an error_page
 * for the status, nothing is sent here and the status is returned instead, so
 * that the operator's page is sent.
 *
 * Returns NGX_DONE if the request was finalized here (the caller must not
 * access r afterwards), or an HTTP status for nginx to handle.
 */
ngx_int_t ngx_http_weir_send_problem(ngx_http_request_t *r,
    weir_problem_t *problem);


/*
 * Builds the body of a problem document in the request's pool, and sets the
 * content fields in r->headers_out.  NULL: no memory.
 */
ngx_chain_t *ngx_http_weir_problem_body(ngx_http_request_t *r,
    weir_problem_t *problem);


/*
 * Sends the header and then the body, which ends the response.  The caller
 * passes the result to ngx_http_finalize_request(), or returns it from a
 * content handler.
 *
 * nginx's senders return NGX_AGAIN if they accepted everything and the client
 * has not received it yet: over TLS, after other pipelined responses, over
 * HTTP/2, with limit_rate.  Only NGX_ERROR and a status end the response early.
 * A filter that has replaced the response by an error (r->filter_finalize) has
 * sent a body already.
 */
ngx_int_t ngx_http_weir_send_response(ngx_http_request_t *r,
    ngx_chain_t *body);


/*
 * problem_pages: converts nginx's own error pages to problem documents in
 * locations with weir_problem_pages.  init installs its filters.
 */
void ngx_http_weir_problem_pages_init(void);


/*
 * True if a location that is being merged serves files only: it has no content
 * handler, and no location, "if" or "limit_except" inside.
 */
static ngx_inline ngx_uint_t
ngx_http_weir_is_idle(ngx_http_core_loc_conf_t *clcf)
{
    return clcf->name.len && !clcf->noname && clcf->handler == NULL
           && clcf->locations == NULL;
}


/*
 * The place in the configuration that is being read, as "file:line", from its
 * pool; NGX_OK or NGX_ERROR (no memory).  For messages that are logged later.
 */
ngx_int_t ngx_http_weir_place(ngx_conf_t *cf, ngx_str_t *place);

/*
 * Appends a handler to a phase, for postconfiguration; NGX_OK or NGX_ERROR (no
 * memory).  nginx runs the handlers of a phase from the last one to the first,
 * those of the log phase from the first one.
 */
ngx_int_t ngx_http_weir_add_handler(ngx_conf_t *cf, ngx_uint_t phase,
    ngx_http_handler_pt handler);

/*
 * The handler always declines: from now on it is called with less work.  For the
 * beginning of a process, whose configuration has requests of HTTP.
 */
void ngx_http_weir_declines(ngx_cycle_t *cycle, ngx_http_handler_pt handler);


/*
 * variables: adds the variables of a table that ends with
 * ngx_http_null_variable, for preconfiguration; NGX_OK or NGX_ERROR (no memory,
 * or nginx refused and logged a name).
 */
ngx_int_t ngx_http_weir_add_variables(ngx_conf_t *cf,
    ngx_http_variable_t *vars);

/*
 * variables: a text of the configuration in which variables are replaced in
 * each request, from the configuration's pool.  text is not kept.  NULL: no
 * memory, or a variable that does not exist, which nginx has logged.
 */
ngx_http_complex_value_t *ngx_http_weir_compile(ngx_conf_t *cf,
    ngx_str_t *text);

/*
 * variables: true if a text contains a variable that has no value yet before
 * the content phase ($proxy_host, $upstream_..., $sent_http_..., $request_body
 * ...); name then points to it in the text.  A variable derived from such a one
 * (map, set) is not recognized.
 */
ngx_uint_t ngx_http_weir_late_variable(ngx_str_t *text, ngx_str_t *name);

/* variables: true if a text contains this variable. */
ngx_uint_t ngx_http_weir_has_variable(ngx_str_t *text, ngx_str_t *wanted);


#endif /* _NGX_HTTP_WEIR_H_INCLUDED_ */
