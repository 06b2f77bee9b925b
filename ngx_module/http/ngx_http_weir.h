/*
 * What all of Weir's nginx modules share: answering with a problem
 * document, and the configuration of a location.  Everything here runs in a worker, on the
 * event loop, and never blocks; memory comes from the request's pool.
 */

#ifndef _NGX_HTTP_WEIR_H_INCLUDED_
#define _NGX_HTTP_WEIR_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/problem.h"
#include "http/ngx_http_weir_headers.h"
#include "http/ngx_http_weir_outcome.h"


extern ngx_module_t  ngx_http_weir_module;


typedef struct {
    ngx_flag_t   problem_pages;
    ngx_str_t    pass;                     /* what *_pass says; len 0: none */

    /* what other modules have made known of the location; not inherited */
    unsigned     status:1;                 /* weir_status answers here */
    unsigned     purges:1;                 /* weir_cache_purge answers PURGE */
    unsigned     breaker:1;                /* weir_breaker is asked here */
} ngx_http_weir_loc_conf_t;


/*
 * Whether Weir answers the request itself, in no version of the API that the
 * location may have.  Problem documents are not meant.
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
 * Ends the request with a problem document (RFC 9457).  For phase handlers
 * (not content handlers), as "return ngx_http_weir_send_problem(r, &problem);".
 *
 * The request body is discarded.  Headers already put into r->headers_out
 * (Retry-After, Vary ...) are sent along.  When the location has an error_page
 * for the status, nothing is sent here and the status is returned instead, so
 * that the operator's page wins.
 *
 * Returns NGX_DONE when the request has been finalized here (the caller must
 * not touch r afterwards), or an HTTP status for nginx to handle.
 */
ngx_int_t ngx_http_weir_send_problem(ngx_http_request_t *r,
    weir_problem_t *problem);


/*
 * The body of a response that is a problem document, of the request's pool, and
 * into r->headers_out what describes it.  NULL: no memory.
 */
ngx_chain_t *ngx_http_weir_problem_body(ngx_http_request_t *r,
    weir_problem_t *problem);


/*
 * Sends the header and then the body, which ends the response.  Whatever the
 * caller gets it gives to ngx_http_finalize_request(), or returns it from a
 * content handler.
 *
 * nginx's senders say NGX_AGAIN when they took everything and the client has
 * not yet: over TLS, behind other pipelined responses, over HTTP/2, with
 * limit_rate.  Only NGX_ERROR and a status end the response early.  A filter
 * that has answered with an error of its own in the response's place
 * (r->filter_finalize) has sent a body already.
 */
ngx_int_t ngx_http_weir_send_response(ngx_http_request_t *r,
    ngx_chain_t *body);


/*
 * problem_pages: makes nginx's own error pages problem documents, in locations
 * with weir_problem_pages.  init installs its filters.
 */
void ngx_http_weir_problem_pages_init(void);


/*
 * Whether a location that is being merged answers nothing but files: it has no
 * content handler, nor any location, "if" or "limit_except" within it.
 */
static ngx_inline ngx_uint_t
ngx_http_weir_is_idle(ngx_http_core_loc_conf_t *clcf)
{
    return clcf->name.len && !clcf->noname && clcf->handler == NULL
           && clcf->locations == NULL;
}


/*
 * Where the configuration is being read, as "file:line" of its pool; NGX_OK or
 * NGX_ERROR (no memory).  For messages when it has been read on.
 */
ngx_int_t ngx_http_weir_place(ngx_conf_t *cf, ngx_str_t *place);


/*
 * variables: whether a text with variables names one that has no value yet
 * before the content phase ($proxy_host, $upstream_..., $sent_http_...,
 * $request_body ...), and if so which: name points into the text.  A variable
 * made of such a one (map, set) is not recognized.
 */
ngx_uint_t ngx_http_weir_late_variable(ngx_str_t *text, ngx_str_t *name);

/* variables: whether a text with variables names this one */
ngx_uint_t ngx_http_weir_has_variable(ngx_str_t *text, ngx_str_t *wanted);


#endif /* _NGX_HTTP_WEIR_H_INCLUDED_ */
