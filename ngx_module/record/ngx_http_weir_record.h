/*
 * The record of a request: the time it spent in each phase.
 *
 * A phase clock: at any time a request is in one phase, and entering another
 * one adds the time since the last change to the phase that ends.  So the
 * phases add up to the request's time, and each change reads the clock once
 * (CLOCK_MONOTONIC, through the vDSO).  nginx's own time does not advance while
 * a worker is busy, and has a resolution of one millisecond.
 *
 * A record exists only if the configuration uses $weir_times, and only for
 * requests of clients, not for subrequests.  Without a record, entering a phase
 * costs one access to the request.
 */

#ifndef _NGX_HTTP_WEIR_RECORD_H_INCLUDED_
#define _NGX_HTTP_WEIR_RECORD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* Their names in $weir_times are in ngx_http_weir_record_module.c. */
typedef enum {
    NGX_HTTP_WEIR_PHASE_NGINX = 0,  /* nginx's own phases and other modules */
    NGX_HTTP_WEIR_PHASE_VERSION,    /* version negotiation */
    NGX_HTTP_WEIR_PHASE_LOOKUP,     /* the cache looks into memory and decides */
    NGX_HTTP_WEIR_PHASE_REDIS,      /* waiting for a reply of Redis */
    NGX_HTTP_WEIR_PHASE_TURN,       /* waiting for another request's fetch */
    NGX_HTTP_WEIR_PHASE_BREAKER,    /* asking the breaker */
    NGX_HTTP_WEIR_PHASE_UPSTREAM,   /* from then to the upstream's header */
    NGX_HTTP_WEIR_PHASE_RESPONSE,   /* until the last byte was generated */
    NGX_HTTP_WEIR_PHASE_SEND,       /* until the client has received it */
    NGX_HTTP_WEIR_PHASES
} ngx_http_weir_phase_e;


typedef struct {
    ngx_http_request_t     *request;
    ngx_http_weir_phase_e   phase;
    uint64_t                since;      /* ns, start of the current phase */
    uint64_t                spent[NGX_HTTP_WEIR_PHASES];  /* ns */
} ngx_http_weir_record_t;


extern ngx_module_t  ngx_http_weir_record_module;


/* Ends the current phase, and begins another, or the same one again. */
void ngx_http_weir_record_change(ngx_http_weir_record_t *record,
    ngx_http_weir_phase_e phase);


/* Records that the request enters a phase. */
static ngx_inline void
ngx_http_weir_record_enter(ngx_http_request_t *r, ngx_http_weir_phase_e phase)
{
    ngx_http_weir_record_t  *record;

    record = ngx_http_get_module_ctx(r, ngx_http_weir_record_module);

    if (record) {
        ngx_http_weir_record_change(record, phase);
    }
}


#endif /* _NGX_HTTP_WEIR_RECORD_H_INCLUDED_ */
