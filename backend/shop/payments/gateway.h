/*
 * The payment gateway's HTTP API, over libcurl:
 *
 * - POST /charges {"amount","currency","reference"} with an Idempotency-Key: 201 with the charge;
 *   a repeated key: 200 with the charge of the first request
 * - GET /charges?idempotency_key=KEY: 200 with the charge, 404 with a JSON object when there is
 *   none
 * - GET /charges?created_from=TIME&created_before=TIME&limit=N&after=ID: 200 with
 *   {"charges":[…],"next":ID}, the oldest first; "next" is what to name in `after` for the charges
 *   that follow, null at the end
 * - POST /refunds {"charge"} with an Idempotency-Key: 201 or 200, with the present charge
 *
 * A charge is {"id","idempotency_key","amount","currency","status","reason"}; the status is
 * succeeded, failed or refunded, the amount is in minor units. After any other answer, or none in
 * time, the state of the charge is unknown; the idempotency key makes a repetition safe.
 */
#ifndef WEIR_GATEWAY_H
#define WEIR_GATEWAY_H

#include "events/events.h"
#include "tls/tls.h"

typedef struct weir_gateway weir_gateway_t;

/*
 * The outcome of a request, and the charge if there is one; valid during the callback.
 *
 * result is OK when the gateway has answered about the charge; PERMANENT when it refuses this POST
 * (400, 402, 422); RETRY when it answers to try later (409, 425, 429); AWAY when there is no
 * connection. Everything else leaves the charge unknown and is UNAVAILABLE: no answer, 5xx,
 * credentials (401, 403), an address of another server.
 */
typedef struct {
    weir_delivery_result_t result;
    const char *error;    /* why not OK, printable ASCII; NULL when OK */
    uint64_t retry_after; /* ms that the gateway asks to wait, if result is not OK; or 0 */
    bool found;           /* OK: there is a charge, as follows */
    const char *charge;
    const char *key; /* its idempotency key; NULL if the answer has none */
    const char *status;
    const char *reason; /* or NULL */
    const char *currency;
    int64_t amount;
} weir_gateway_answer_t;

typedef void (*weir_gateway_cb)(const weir_gateway_answer_t *answer, void *arg);

/*
 * A page of the gateway's list, valid during the callback. charges is an array of charges as above,
 * each with all members of weir_gateway_answer_t; NULL when result is not OK.
 */
typedef struct {
    weir_delivery_result_t result; /* OK, or as above */
    const char *error;
    const json_t *charges;
    const char *next; /* for the next page; NULL on the last page */
} weir_gateway_page_t;

typedef void (*weir_gateway_page_cb)(const weir_gateway_page_t *page, void *arg);

#define WEIR_GATEWAY_PAGE 100 /* the most charges of a page */

/*
 * tls has the certificates for https, or is NULL; its texts must outlive the result.
 * url is http://… or https://… without a path; it is copied. Returns NULL with a message on
 * failure.
 */
weir_gateway_t *weir_gateway_new(struct event_base *base, const char *url, unsigned timeout_ms,
                                 long connections, const weir_tls_settings_t *tls, char *error,
                                 size_t error_size);
/* Requests in flight end as UNAVAILABLE during the call; their callbacks must not send new ones. */
void weir_gateway_free(weir_gateway_t *gateway);

/* Each function calls cb once, from the event loop. Strings are copied; trace may be NULL. */
void weir_gateway_charge(weir_gateway_t *gateway, const char *key, int64_t amount,
                         const char *currency, const char *reference, const weir_trace_t *trace,
                         weir_gateway_cb cb, void *arg);
void weir_gateway_find(weir_gateway_t *gateway, const char *key, const weir_trace_t *trace,
                       weir_gateway_cb cb, void *arg);
void weir_gateway_refund(weir_gateway_t *gateway, const char *key, const char *charge,
                         const weir_trace_t *trace, weir_gateway_cb cb, void *arg);
/*
 * The charges of that time (RFC 3339, by the gateway's clock) after `after`, which is NULL for the
 * first page.
 */
void weir_gateway_list(weir_gateway_t *gateway, const char *from, const char *before,
                       const char *after, weir_gateway_page_cb cb, void *arg);

#endif
