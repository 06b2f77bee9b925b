/*
 * Network transfers of libcurl (SMTP, HTTP) on the event loop: its multi interface with
 * libevent's sockets and timers.  Connections are kept and used again.
 */
#ifndef WEIR_TRANSFER_H
#define WEIR_TRANSFER_H

#include <curl/curl.h>
#include <event2/event.h>
#include <stdint.h>

typedef struct weir_transfers weir_transfers_t;

/* easy is the caller's again, and is cleaned up by it. */
typedef void (*weir_transfer_cb)(CURL *easy, CURLcode code, void *arg);

/* At most connections at once; what is more waits for one. */
weir_transfers_t *weir_transfers_new(struct event_base *base, long connections);
/* Transfers under way end with CURLE_ABORTED_BY_CALLBACK; no new ones may be added by then. */
void weir_transfers_free(weir_transfers_t *transfers);

/* Starts a transfer; CURLOPT_PRIVATE of easy is taken.  The callback comes later, once. */
void weir_transfers_add(weir_transfers_t *transfers, CURL *easy, weir_transfer_cb cb, void *arg);

/*
 * What an HTTP answer says in Retry-After (RFC 9110 section 10.2.3: seconds, or a date), for
 * weir_delivery_not_before(): ms from now; 0 when there is none, when it has passed, or when it is
 * neither.
 */
uint64_t weir_transfer_retry_after(CURL *easy);

/* What libcurl finds wrong with a URL, or NULL. */
const char *weir_transfer_check_url(const char *url);

#endif
