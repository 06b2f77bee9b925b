/*
 * HTTP requests to one server of somebody else, with JSON in both directions: GET, or POST with an
 * Idempotency-Key.  What an answer means is the caller's to know; this tells what the network said.
 */
#ifndef WEIR_CLIENT_H
#define WEIR_CLIENT_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct weir_client weir_client_t;

typedef struct {
    const char *path;            /* behind the client's URL: "/things?limit=1" */
    const char *body;            /* JSON for a POST; NULL: GET */
    const char *idempotency_key; /* of a POST, or NULL */
    const char *traceparent;     /* or NULL */
    size_t answer_max;           /* bytes; a longer answer counts as none */
} weir_client_request_t;

/* What came of a request; valid during the callback. */
typedef struct {
    long status;          /* 0: there is no answer */
    bool unreached;       /* no answer: there was no connection, the server was not asked */
    const char *error;    /* why there is no answer; NULL when there is one */
    const char *body;     /* ends with NUL, never NULL */
    size_t len;           /* of body */
    uint64_t retry_after; /* as weir_transfer_retry_after() */
} weir_client_answer_t;

typedef void (*weir_client_cb)(const weir_client_answer_t *answer, void *arg);

/*
 * url is http://… or https://… without a path; copied.  A request may take timeout_ms; at most
 * `connections` are under way, what is more waits.
 */
weir_client_t *weir_client_new(struct event_base *base, const char *url, unsigned timeout_ms,
                               long connections);
/* Requests under way end without an answer within the call; nothing may be sent by then. */
void weir_client_free(weir_client_t *client);

/* Sends a request, whose strings are copied, and calls cb once, from the event loop. */
void weir_client_send(weir_client_t *client, const weir_client_request_t *request,
                      weir_client_cb cb, void *arg);

/* text as it may stand in a path's query; to be freed. */
char *weir_client_escape(const char *text);

#endif
