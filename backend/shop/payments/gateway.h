/*
 * The payment gateway's HTTP API, over libcurl:
 *
 * - POST /charges {"amount","currency","reference"} with an Idempotency-Key: 201 with the charge;
 *   the same key again: 200 with the charge of that time
 * - GET /charges?idempotency_key=KEY: 200 with the charge, 404 with a JSON object when there is
 * none
 * - GET /charges?created_from=TIME&created_before=TIME&limit=N&after=ID: 200 with
 * {"charges":[…],"next":ID}, the oldest first; "next" is what to name in `after` for the charges
 * that follow, null at the end
 * - POST /refunds {"charge"} with an Idempotency-Key: 201 or 200, the charge as it is then
 *
 * A charge is {"id","idempotency_key","amount","currency","status","reason"}, its status succeeded,
 * failed or refunded, its amount in minor units.  Whatever else the gateway says, or does not say
 * in time, leaves open what it has done; the idempotency key makes it safe to ask again.
 */
#ifndef WEIR_GATEWAY_H
#define WEIR_GATEWAY_H

#include "events/events.h"

typedef struct weir_gateway weir_gateway_t;

/*
 * What was asked, and the charge when there is one; valid during the callback.
 *
 * result is OK when the gateway has spoken of the charge; PERMANENT when it refuses this very POST
 * (400, 402, 422); RETRY when it asks for patience (409, 425, 429); AWAY when there is no
 * connection to it.  All else says nothing about the charge and is UNAVAILABLE: no answer, 5xx,
 * credentials (401, 403), an address that is not the gateway's.
 */
typedef struct {
    weir_delivery_result_t result;
    const char *error;    /* why not OK, printable ASCII; NULL when OK */
    uint64_t retry_after; /* ms that it wants us to wait, when it is not OK; or 0 */
    bool found;           /* OK: there is a charge, as follows */
    const char *charge;
    const char *key; /* under which it was made, or NULL when the gateway does not say */
    const char *status;
    const char *reason; /* or NULL */
    const char *currency;
    int64_t amount;
} weir_gateway_answer_t;

typedef void (*weir_gateway_cb)(const weir_gateway_answer_t *answer, void *arg);

/*
 * A page of the gateway's list, valid during the callback.  charges is an array of objects as
 * above, each with all that weir_gateway_answer_t has of a charge; NULL when result is not OK.
 */
typedef struct {
    weir_delivery_result_t result; /* OK, or as above */
    const char *error;
    const json_t *charges;
    const char *next; /* for the next page, or NULL: this was the last one */
} weir_gateway_page_t;

typedef void (*weir_gateway_page_cb)(const weir_gateway_page_t *page, void *arg);

#define WEIR_GATEWAY_PAGE 100 /* charges of a page, at most */

/* url is http://… or https://… without a path at its end; copied.  NULL with a message. */
weir_gateway_t *weir_gateway_new(struct event_base *base, const char *url, unsigned timeout_ms,
                                 long connections, char *error, size_t error_size);
/* What is under way ends as UNAVAILABLE within the call; nothing may be asked by then. */
void weir_gateway_free(weir_gateway_t *gateway);

/* Each calls cb once, from the event loop.  Strings are copied; traceparent may be NULL. */
void weir_gateway_charge(weir_gateway_t *gateway, const char *key, int64_t amount,
                         const char *currency, const char *reference, const char *traceparent,
                         weir_gateway_cb cb, void *arg);
void weir_gateway_find(weir_gateway_t *gateway, const char *key, const char *traceparent,
                       weir_gateway_cb cb, void *arg);
void weir_gateway_refund(weir_gateway_t *gateway, const char *key, const char *charge,
                         const char *traceparent, weir_gateway_cb cb, void *arg);
/* Charges that were made in that time (RFC 3339, by the gateway's clock) behind `after`, which is
 * NULL at first. */
void weir_gateway_list(weir_gateway_t *gateway, const char *from, const char *before,
                       const char *after, weir_gateway_page_cb cb, void *arg);

#endif
