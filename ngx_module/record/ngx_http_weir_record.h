/*
 * The record of a request: what it spent its time on.
 *
 * A phase clock: at any moment a request is in one phase, and entering another
 * one adds the time since the last change to the phase that ends.  So the phases
 * add up to the request's time, and each change reads the clock once
 * (CLOCK_MONOTONIC, by the vDSO): nginx's own time stands still while a worker is
 * busy, and counts whole milliseconds.
 *
 * There is a record only where the configuration names $weir_times, and for
 * what a client has asked for, not for subrequests.  Without one entering a phase
 * costs one look into the request.
 */

#ifndef _NGX_HTTP_WEIR_RECORD_H_INCLUDED_
#define _NGX_HTTP_WEIR_RECORD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* The names that $weir_times has for them are in ngx_http_weir_record_module.c */
typedef enum {
    NGX_HTTP_WEIR_PHASE_NGINX = 0,  /* nginx's own, and those of other modules */
    NGX_HTTP_WEIR_PHASE_VERSION,    /* the version is negotiated */
    NGX_HTTP_WEIR_PHASE_LOOKUP,     /* the cache looks into memory, and decides */
    NGX_HTTP_WEIR_PHASE_REDIS,      /* a reply of Redis is waited for */
    NGX_HTTP_WEIR_PHASE_TURN,       /* another request's fetch is waited for */
    NGX_HTTP_WEIR_PHASE_BREAKER,    /* the breaker is asked */
    NGX_HTTP_WEIR_PHASE_UPSTREAM,   /* from then until the upstream's header */
    NGX_HTTP_WEIR_PHASE_RESPONSE,   /* until the last byte is on its way */
    NGX_HTTP_WEIR_PHASE_SEND,       /* until the client has taken it */
    NGX_HTTP_WEIR_PHASES
} ngx_http_weir_phase_e;


typedef struct {
    ngx_http_request_t     *request;
    ngx_http_weir_phase_e   phase;
    uint64_t                since;      /* when it was entered, ns */
    uint64_t                spent[NGX_HTTP_WEIR_PHASES];  /* ns */
} ngx_http_weir_record_t;


extern ngx_module_t  ngx_http_weir_record_module;


/* The record, or NULL; slow after an internal redirect, which wipes contexts. */
ngx_http_weir_record_t *ngx_http_weir_record_find(ngx_http_request_t *r);

/* Ends the phase that the record is in, and begins another, or the same. */
void ngx_http_weir_record_change(ngx_http_weir_record_t *record,
    ngx_http_weir_phase_e phase);


/* The request enters a phase. */
static ngx_inline void
ngx_http_weir_record_enter(ngx_http_request_t *r, ngx_http_weir_phase_e phase)
{
    ngx_http_weir_record_t  *record;

    record = ngx_http_get_module_ctx(r, ngx_http_weir_record_module);

    if (record == NULL && r->internal && r == r->main) {
        record = ngx_http_weir_record_find(r);
    }

    if (record) {
        ngx_http_weir_record_change(record, phase);
    }
}


#endif /* _NGX_HTTP_WEIR_RECORD_H_INCLUDED_ */
