/*
 * weir_dashboard: a page, and the events that keep it up to date.
 *
 *     module    the directive, the page, the header of both
 *     events    the listeners, and when they get a document
 *     document  the document of weir_status as one event
 *     page/     the page, which is compiled in
 *
 * Calls go down in this list, never up.
 */

#ifndef _NGX_HTTP_WEIR_DASHBOARD_H_INCLUDED_
#define _NGX_HTTP_WEIR_DASHBOARD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


typedef struct {
    ngx_str_t    backend;    /* URI of the backend's metrics; len 0: none */
    ngx_str_t    traces;     /* URI in front of a trace's id; len 0: none */
    ngx_str_t    hello;      /* the first event of each listener; len 0: the
                                location has no weir_dashboard */
} ngx_http_weir_dashboard_loc_conf_t;


/*
 * An event with the document of weir_status, in blocks that all listeners of a
 * worker share.  It is freed with its last user.
 */
typedef struct ngx_http_weir_dashboard_document_s
    ngx_http_weir_dashboard_document_t;

struct ngx_http_weir_dashboard_document_s {
    ngx_pool_t   *pool;
    ngx_uint_t    users;
    size_t        size;      /* bytes of all blocks */
    ngx_chain_t  *blocks;    /* in memory that nobody changes any more */
};


extern ngx_module_t  ngx_http_weir_dashboard_module;

/* The page, and its Content-Security-Policy; made by the build. */
extern const u_char  ngx_http_weir_dashboard_page[];
extern const size_t  ngx_http_weir_dashboard_page_len;
extern const char    ngx_http_weir_dashboard_policy[];


/*
 * events: makes the request, whose header was sent, a listener, which gets
 * hello and then each document, until it leaves or the worker ends.  hello
 * lives as long as the request.
 *
 * NGX_DONE, or NGX_ERROR: no memory, or the client is gone.
 */
ngx_int_t ngx_http_weir_dashboard_listen(ngx_http_request_t *r,
    ngx_str_t *hello);

/* events: true if this worker has no room for one more listener. */
ngx_uint_t ngx_http_weir_dashboard_is_full(void);

/*
 * document: begins the next one, with the configuration of r, which need not
 * live longer than this call.  One is written at a time.  NGX_OK, or NGX_ERROR:
 * no memory.
 */
ngx_int_t ngx_http_weir_dashboard_document_begin(ngx_http_request_t *r);

/*
 * document: writes a part of what was begun, which takes less than a
 * millisecond.  NGX_OK: *document is complete, and the caller is its first user;
 * NGX_AGAIN: there are more parts; NGX_ERROR: no memory, nothing is left.
 */
ngx_int_t ngx_http_weir_dashboard_document_next(
    ngx_http_weir_dashboard_document_t **document);

/* document: drops what was begun, if anything was. */
void ngx_http_weir_dashboard_document_drop(void);

/* document: one user less. */
void ngx_http_weir_dashboard_document_free(
    ngx_http_weir_dashboard_document_t *document);


#endif /* _NGX_HTTP_WEIR_DASHBOARD_H_INCLUDED_ */
