/*
 * HTTP requests to another service, with JSON in both directions: GET, or POST with an
 * Idempotency-Key. This file reports the answer or the network error; the caller interprets it.
 */
#ifndef WEIR_CLIENT_H
#define WEIR_CLIENT_H

#include "log/trace.h"

#include "tls/tls.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct weir_client weir_client_t;

typedef struct {
    const char *path;            /* appended to the client's URL: "/things?limit=1" */
    const char *body;            /* JSON for a POST; NULL: GET */
    const char *idempotency_key; /* of a POST, or NULL */
    const weir_trace_t *trace;   /* sent along (traceparent, tracestate); or NULL */
    size_t answer_max;           /* bytes; a longer answer counts as no answer */
} weir_client_request_t;

/* The outcome of a request; valid during the callback. */
typedef struct {
    long status;          /* 0: no answer */
    bool unreached;       /* no answer, because there was no connection: the server did not get the
                             request */
    const char *error;    /* the reason for no answer; NULL with an answer */
    const char *body;     /* ends with NUL, never NULL */
    size_t len;           /* of body */
    uint64_t retry_after; /* as weir_transfer_retry_after() */
} weir_client_answer_t;

typedef void (*weir_client_cb)(const weir_client_answer_t *answer, void *arg);

/*
 * url is http://… or https://… without a path; it is copied. A request may take timeout_ms. At most
 * `connections` requests are in flight; further ones wait.
 */
weir_client_t *weir_client_new(struct event_base *base, const char *url, unsigned timeout_ms,
                               long connections);
/*
 * Requests in flight end without an answer during the call; their callbacks must not send new ones.
 */
/* For https: as weir_transfer_use_tls(). tls must outlive the client. */
void weir_client_use_tls(weir_client_t *client, weir_tls_t *tls);
void weir_client_free(weir_client_t *client);

/* Sends a request, whose strings are copied, and calls cb once, from the event loop. */
void weir_client_send(weir_client_t *client, const weir_client_request_t *request,
                      weir_client_cb cb, void *arg);

/* The text, percent-encoded for a query; the caller frees it. */
char *weir_client_escape(const char *text);

#endif
