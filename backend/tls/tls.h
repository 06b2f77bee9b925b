/*
 * TLS 1.3 of the process's listeners and of its connections to Redis: certificates, keys and
 * authorities from files, which are read again when they change, and who may connect.
 *
 * Each second the files are looked at. If one was changed (another inode, size or time), all are
 * read. They replace the old ones together, if the key is the certificate's and the authorities can
 * be read; otherwise the old ones stay in use, and the fault is logged once if it is still there a
 * second later, when a writer of several files is done. Connections that exist keep what they were
 * made with; weir_tls_generation() tells them to end.
 *
 * A listener asks each client for its certificate. It must have a chain to one of the authorities,
 * be made for clients (extended key usage), be valid now, and have a name of the list (names.h)
 * among its subject alternative names: a SPIFFE ID, which is its only URI, or a DNS name. Its
 * common name is not looked at. There are no tickets for resumed sessions: they would let a client
 * in whose certificate has expired since.
 *
 * All of it belongs to the thread of the event loop.
 */
#ifndef WEIR_TLS_H
#define WEIR_TLS_H

#include "tls/names.h"

#include <event2/event.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#define WEIR_TLS_WARN_S 604800 /* before its end a certificate is warned of: 7 days */

typedef struct weir_tls weir_tls_t;

/* The texts must outlive what is made of them. */
typedef struct {
    const char *use; /* in metrics and the log: "listen", "redis" */
    bool is_server;
    const char *certificate; /* file, PEM, with its chain; empty: none (clients only) */
    const char *key;         /* file, PEM, without a passphrase */
    const char *ca;          /* file, PEM; empty: the system's (clients only) */
    const char *names;       /* weir_tls_names_read(); servers only */
} weir_tls_settings_t;

/* The setting that a fault is about. */
typedef enum {
    WEIR_TLS_NO_FAULT,
    WEIR_TLS_CERTIFICATE,
    WEIR_TLS_KEY,
    WEIR_TLS_CA,
    WEIR_TLS_NAMES
} weir_tls_fault_t;

/* Reads the files as weir_tls_new() does, and returns what is wrong, with a message in why. */
weir_tls_fault_t weir_tls_check(const weir_tls_settings_t *settings, char *why, size_t size);

/* Returns NULL with a message. */
weir_tls_t *weir_tls_new(struct event_base *base, const weir_tls_settings_t *settings, char *error,
                         size_t size);
/* After all its connections. NULL is allowed. */
void weir_tls_free(weir_tls_t *tls);

/* Changes when the files were read again. A connection with another number is to end soon. */
unsigned weir_tls_generation(const weir_tls_t *tls);

/*
 * A connection on the descriptor, whose handshake is still to be done, for SSL_free(). host is the
 * name or address that the server's certificate must have. NULL: no memory.
 */
SSL *weir_tls_accept(weir_tls_t *tls, int fd);
/* The same for another library, which sets the descriptor and goes on with the handshake. */
SSL *weir_tls_accept_later(weir_tls_t *tls);
SSL *weir_tls_connect(weir_tls_t *tls, int fd, const char *host);

typedef enum {
    WEIR_TLS_DONE,
    WEIR_TLS_WANTS_READ,
    WEIR_TLS_WANTS_WRITE,
    WEIR_TLS_FAILED /* it is counted, and logged as below */
} weir_tls_step_t;

/* Goes on with the handshake of a listener's connection, as far as it goes without waiting. */
weir_tls_step_t weir_tls_handshake(weir_tls_t *tls, SSL *ssl);

/* Behind the handshake: when the first certificate of the client's chain ends, s since 1970. */
time_t weir_tls_client_ends(const SSL *ssl);

/* Why a listener has ended a handshake itself. */
typedef enum { WEIR_TLS_TIMED_OUT, WEIR_TLS_CROWDED } weir_tls_end_t;
/* Counts it. A refused or ended handshake is logged at most once a minute and listener. */
void weir_tls_ended(weir_tls_t *tls, weir_tls_end_t why);

/*
 * Gives another library's context for one connection the certificate, the key and the authorities:
 * those of CURLOPT_SSL_CTX_FUNCTION.
 */
void weir_tls_apply(const weir_tls_t *tls, SSL_CTX *ctx);

#endif
