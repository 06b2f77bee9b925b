/*
 * Network transfers of libcurl (SMTP, HTTP) on the event loop: its multi interface with libevent's
 * sockets and timers. Connections are kept and reused.
 */
#ifndef WEIR_TRANSFER_H
#define WEIR_TRANSFER_H

#include "tls/tls.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <stdint.h>

typedef struct weir_transfers weir_transfers_t;

/* The callback owns easy, and cleans it up. */
typedef void (*weir_transfer_cb)(CURL *easy, CURLcode code, void *arg);

/* At most `connections` connections; further transfers wait. */
weir_transfers_t *weir_transfers_new(struct event_base *base, long connections);
/*
 * Transfers in flight end with CURLE_ABORTED_BY_CALLBACK; no new ones may be added meanwhile.
 * Connections of weir_transfers_connect() must have been closed.
 */
void weir_transfers_free(weir_transfers_t *transfers);

/* Starts a transfer; uses CURLOPT_PRIVATE of easy. The callback is called later, once. */
void weir_transfers_add(weir_transfers_t *transfers, CURL *easy, weir_transfer_cb cb, void *arg);

/*
 * Connects, with TLS and login as the URL asks, and transfers nothing: on success the connection is
 * the callback's, which uses it by curl_easy_send() and curl_easy_recv() and ends it by
 * weir_transfers_close(). On failure it owns easy as above.
 */
void weir_transfers_connect(weir_transfers_t *transfers, CURL *easy, weir_transfer_cb cb,
                            void *arg);
/* Closes the connection, without any message to the peer, and cleans up easy. */
void weir_transfers_close(weir_transfers_t *transfers, CURL *easy);

/*
 * The transfer's connections verify the server with the authorities of tls, and show its
 * certificate if it has one. A new connection has the files as they are then. NULL: libcurl's own
 * authorities, and no certificate.
 */
void weir_transfer_use_tls(CURL *easy, weir_tls_t *tls);

/*
 * The time in Retry-After of an HTTP answer (RFC 9110 section 10.2.3: seconds, or a date), for
 * weir_delivery_not_before(): ms from now. 0 when the field is missing, malformed, or in the past.
 */
uint64_t weir_transfer_retry_after(CURL *easy);

/* The host of a URL, and its port if there is one, for free(); empty if it is no URL. */
char *weir_transfer_host(const char *url);

/* Checks a URL by libcurl. Returns NULL, or what is wrong. */
const char *weir_transfer_check_url(const char *url);

#endif
