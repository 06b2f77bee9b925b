#include "tls/tls.h"

#include "log/alloc.h"
#include "log/clock.h"
#include "log/log.h"
#include "metrics/series.h"
#include "tls/files.h"
#include "tls/peer.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEPTH 5              /* certificates between the peer's and an authority's */
#define CHAIN_MAX 32768      /* bytes of the certificates that a client sends */
#define REFUSED_LOG_MS 60000 /* between two lines about refused handshakes */
#define WARN_AGAIN_S 86400   /* between two warnings of one certificate */
#define WARN_PART 4          /* of its lifetime, if a quarter is less than WEIR_TLS_WARN_S */

/* The results of handshakes with clients. */
enum { OK, NO_CERTIFICATE, REFUSED_NAME, REFUSED_CERTIFICATE, FAILED, TIMED_OUT, CROWDED, RESULTS };

static const char *const results[RESULTS] = {
    "ok",     "no_certificate", "refused_name", "refused_certificate",
    "failed", "timed_out",      "crowded"};

/* A certificate whose end is watched. */
typedef struct {
    const char *kind; /* in metrics and the log */
    const char *file;
    weir_tls_validity_t validity;
    time_t warned; /* the last warning; 0: none */
    weir_series_t *series;
} watched_t;

struct weir_tls {
    weir_tls_settings_t settings;
    weir_tls_names_t names;
    SSL_CTX *ctx;
    unsigned generation;

    struct event *tick;
    weir_tls_stamps_t read;  /* of the files in use */
    weir_tls_stamps_t tried; /* of those that could not be read, if failing */
    bool failing, logged;    /* the files are not those in use; the fault was logged */
    time_t again;            /* when those tried become valid; 0: they are wrong for good */

    watched_t own, ca;
    weir_series_t *loaded, *not_loaded; /* counters */
    weir_series_t *handshakes[RESULTS]; /* of a listener */

    char peer[WEIR_TLS_SHOWN]; /* the name of the client whose handshake is under way */
    bool refused_name;
    uint64_t refused_logged_ms; /* 0: never */
    uint64_t refused;           /* since then */
};

/* --- making a context ------------------------------------------------------------------------ */

/* Called for each certificate of a client's chain, the client's own last. */
static int on_verify(int fine, X509_STORE_CTX *store)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    weir_tls_t *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    if (!fine || X509_STORE_CTX_get_error_depth(store) > 0)
        return fine;
    if (weir_tls_peer_is_allowed(X509_STORE_CTX_get_current_cert(store), &tls->names, tls->peer))
        return 1;
    tls->refused_name = true;
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);

    return 0;
}

/* Without the files. */
static SSL_CTX *make_context(const weir_tls_settings_t *settings)
{
    SSL_CTX *ctx = weir_alloc_check(
        SSL_CTX_new(settings->is_server ? TLS_server_method() : TLS_client_method()));

    /* Redis and mail servers may not speak 1.3; what connects to Weir's listeners does. */
    SSL_CTX_set_min_proto_version(ctx, settings->is_server ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_verify_depth(ctx, DEPTH);
    SSL_CTX_set_max_cert_list(ctx, CHAIN_MAX);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(ctx, 0);
    /* A part of what is sent is sent again from another place. */
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_verify(
        ctx, SSL_VERIFY_PEER | (settings->is_server ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        settings->is_server ? on_verify : NULL);

    return ctx;
}

static weir_tls_fault_t read_names(const weir_tls_settings_t *settings, weir_tls_names_t *names,
                                   char *why, size_t size)
{
    const char *wrong, *fault;
    size_t len;

    fault = weir_tls_names_read(names, settings->names, &wrong, &len);
    if (fault == NULL)
        return WEIR_TLS_NO_FAULT;
    snprintf(why, size, "\"%.*s\" %s", (int)(len < 128 ? len : 128), wrong, fault);

    return WEIR_TLS_NAMES;
}

weir_tls_fault_t weir_tls_check(const weir_tls_settings_t *settings, char *why, size_t size)
{
    SSL_CTX *ctx = make_context(settings);
    weir_tls_validity_t own, ca;
    weir_tls_names_t names;
    weir_tls_fault_t fault = WEIR_TLS_NO_FAULT;

    assert(size > 0);
    if (settings->is_server)
        fault = read_names(settings, &names, why, size);
    if (fault == WEIR_TLS_NO_FAULT)
        fault = weir_tls_files_read(settings, ctx, &own, &ca, why, size);
    SSL_CTX_free(ctx);

    return fault;
}

/* --- the end of certificates ------------------------------------------------------------------ */

static bool ends_soon(const watched_t *watched, time_t now)
{
    time_t left = watched->validity.end - now;
    time_t part = (watched->validity.end - watched->validity.begin) / WARN_PART;

    return left < WEIR_TLS_WARN_S && left < part;
}

static void warn_of(const weir_tls_t *tls, watched_t *watched, time_t now)
{
    char end[32];
    struct tm tm;

    if (watched->validity.end == 0 || !ends_soon(watched, now) ||
        (watched->warned != 0 && now < watched->warned + WARN_AGAIN_S))
        return;
    watched->warned = now;
    gmtime_r(&watched->validity.end, &tm);
    strftime(end, sizeof(end), "%Y-%m-%dT%H:%M:%SZ", &tm);
    weir_log(WEIR_LOG_WARN, NULL,
             watched->validity.end <= now ? "a certificate has expired"
                                          : "a certificate expires soon",
             "{s:s,s:s,s:s,s:s}", "use", tls->settings.use, "kind", watched->kind, "file",
             watched->file, "expires", end);
}

static void watch(const weir_tls_t *tls, watched_t *watched, const weir_tls_validity_t *validity)
{
    watched->validity = *validity;
    watched->warned = 0;
    if (validity->end == 0)
        return;
    if (watched->series == NULL)
        watched->series =
            weir_series(WEIR_TLS_EXPIRY, (const char *[]){tls->settings.use, watched->kind});
    /* Seconds are counted in milliseconds. */
    weir_series_set(watched->series, (uint64_t)validity->end * 1000);
}

/* --- changed files ---------------------------------------------------------------------------- */

static bool is_valid(const weir_tls_validity_t *own, time_t now)
{
    return own->begin <= now && now < own->end;
}

/* Expired files do not replace those that are valid, nor do those that are not valid yet. */
static bool would_be_invalid(weir_tls_t *tls, const weir_tls_validity_t *own, char *why,
                             size_t size)
{
    time_t now = time(NULL);

    if (own->end == 0 || is_valid(own, now) || !is_valid(&tls->own.validity, now))
        return false;
    if (own->begin > now)
        tls->again = own->begin;
    snprintf(why, size, "%s: the certificate %s", tls->settings.certificate,
             own->begin > now ? "is not valid yet" : "has expired");

    return true;
}

/* Reads the files, and takes them into use if they are fine. */
static weir_tls_fault_t read_files(weir_tls_t *tls, char *why, size_t size)
{
    SSL_CTX *ctx = make_context(&tls->settings);
    weir_tls_validity_t own, ca;
    weir_tls_stamps_t stamps;
    weir_tls_fault_t fault;

    /* A file that is written after this look differs at the next one. */
    weir_tls_files_look(&tls->settings, &stamps);
    SSL_CTX_set_app_data(ctx, tls);
    tls->again = 0;
    fault = weir_tls_files_read(&tls->settings, ctx, &own, &ca, why, size);
    if (fault == WEIR_TLS_NO_FAULT && tls->ctx != NULL && would_be_invalid(tls, &own, why, size))
        fault = WEIR_TLS_CERTIFICATE;
    if (fault != WEIR_TLS_NO_FAULT) {
        tls->tried = stamps;
        SSL_CTX_free(ctx);
        return fault;
    }
    SSL_CTX_free(tls->ctx); /* connections have references of their own */
    tls->ctx = ctx;
    tls->read = stamps;
    watch(tls, &tls->own, &own);
    watch(tls, &tls->ca, &ca);

    return fault;
}

/* Reads changed files. A fault is logged if it is there at two looks, one second apart. */
static void read_changed(weir_tls_t *tls)
{
    weir_tls_stamps_t now;
    char why[512];
    bool same;

    weir_tls_files_look(&tls->settings, &now);
    if (!weir_tls_files_differ(&now, &tls->read)) {
        tls->failing = tls->logged = false;
        return;
    }
    same = tls->failing && !weir_tls_files_differ(&now, &tls->tried);
    if (same && tls->logged && (tls->again == 0 || time(NULL) < tls->again))
        return;
    if (read_files(tls, why, sizeof(why)) == WEIR_TLS_NO_FAULT) {
        tls->generation++;
        tls->failing = tls->logged = false;
        weir_series_add(tls->loaded, 1);
        weir_log(WEIR_LOG_INFO, NULL, "changed certificates are in use", "{s:s,s:s}", "use",
                 tls->settings.use, "file",
                 *tls->settings.certificate != '\0' ? tls->settings.certificate : tls->settings.ca);
        return;
    }
    tls->failing = true;
    tls->logged = same;
    if (!same)
        return;
    weir_series_add(tls->not_loaded, 1);
    weir_log(WEIR_LOG_ERROR, NULL, "changed certificates cannot be used, the old ones stay in use",
             "{s:s,s:s}", "use", tls->settings.use, "error", why);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    weir_tls_t *tls = arg;
    time_t now = time(NULL);

    (void)fd;
    (void)what;
    read_changed(tls);
    warn_of(tls, &tls->own, now);
    warn_of(tls, &tls->ca, now);
}

/* --- its life --------------------------------------------------------------------------------- */

weir_tls_t *weir_tls_new(struct event_base *base, const weir_tls_settings_t *settings, char *error,
                         size_t size)
{
    static const struct timeval second = {1, 0};
    weir_tls_t *tls = weir_alloc(sizeof(*tls));

    assert(base != NULL && settings->use != NULL);
    tls->settings = *settings;
    tls->own = (watched_t){.kind = "certificate", .file = settings->certificate};
    tls->ca = (watched_t){.kind = "authority", .file = settings->ca};
    if ((settings->is_server && read_names(settings, &tls->names, error, size) != 0) ||
        read_files(tls, error, size) != WEIR_TLS_NO_FAULT) {
        free(tls);
        return NULL;
    }
    tls->loaded = weir_series(WEIR_TLS_RELOADS, (const char *[]){settings->use, "ok"});
    tls->not_loaded = weir_series(WEIR_TLS_RELOADS, (const char *[]){settings->use, "failed"});
    for (int i = 0; settings->is_server && i < RESULTS; i++)
        tls->handshakes[i] =
            weir_series(WEIR_TLS_HANDSHAKES, (const char *[]){settings->use, results[i]});
    tls->tick = weir_alloc_check(event_new(base, -1, EV_PERSIST, on_tick, tls));
    event_add(tls->tick, &second);
    warn_of(tls, &tls->own, time(NULL));
    warn_of(tls, &tls->ca, time(NULL));

    return tls;
}

void weir_tls_free(weir_tls_t *tls)
{
    if (tls == NULL)
        return;

    event_free(tls->tick);
    SSL_CTX_free(tls->ctx);
    free(tls);
}

unsigned weir_tls_generation(const weir_tls_t *tls)
{
    return tls->generation;
}

void weir_tls_apply(const weir_tls_t *tls, SSL_CTX *ctx)
{
    STACK_OF(X509) *chain = NULL;

    SSL_CTX_set1_cert_store(ctx, SSL_CTX_get_cert_store(tls->ctx));
    if (SSL_CTX_get0_certificate(tls->ctx) == NULL)
        return;
    SSL_CTX_get0_chain_certs(tls->ctx, &chain);
    if (SSL_CTX_use_cert_and_key(ctx, SSL_CTX_get0_certificate(tls->ctx),
                                 SSL_CTX_get0_privatekey(tls->ctx), chain, 1) != 1)
        weir_alloc_check(NULL); /* the pair was checked */
}

/* --- handshakes ------------------------------------------------------------------------------- */

static SSL *make_connection(const weir_tls_t *tls, int fd)
{
    SSL *ssl = SSL_new(tls->ctx);

    assert(fd >= 0);
    if (ssl != NULL && SSL_set_fd(ssl, fd) == 1)
        return ssl;
    SSL_free(ssl);
    ERR_clear_error();

    return NULL;
}

SSL *weir_tls_accept(weir_tls_t *tls, int fd)
{
    SSL *ssl = make_connection(tls, fd);

    assert(tls->settings.is_server);
    if (ssl != NULL)
        SSL_set_accept_state(ssl);

    return ssl;
}

SSL *weir_tls_accept_later(weir_tls_t *tls)
{
    SSL *ssl = SSL_new(tls->ctx);

    assert(tls->settings.is_server);
    if (ssl != NULL) {
        SSL_set_read_ahead(ssl, 0);
        SSL_set_accept_state(ssl);
    } else {
        ERR_clear_error();
    }

    return ssl;
}

SSL *weir_tls_connect(weir_tls_t *tls, int fd, const char *host)
{
    SSL *ssl = make_connection(tls, fd);
    bool is_address;

    assert(!tls->settings.is_server && host != NULL);
    if (ssl == NULL)
        return NULL;
    /*
     * libevent's bufferevents ask SSL_pending() whether there is more to read, which does not count
     * records that were read ahead: they would wait for the next ones.
     */
    SSL_set_read_ahead(ssl, 0);
    is_address = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    ERR_clear_error();
    /* SNI has no addresses (RFC 6066 section 3). */
    if (!is_address &&
        (SSL_set_tlsext_host_name(ssl, host) != 1 || SSL_set1_host(ssl, host) != 1)) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_set_connect_state(ssl);

    return ssl;
}

/* Logs a refusal, at most once a minute: clients cause them. */
static void log_refused(weir_tls_t *tls, int result, const char *why)
{
    uint64_t now = weir_clock_ms();

    tls->refused++;
    if (tls->refused_logged_ms != 0 && now - tls->refused_logged_ms < REFUSED_LOG_MS)
        return;
    weir_log(WEIR_LOG_WARN, NULL, "a client's TLS handshake was refused", "{s:s,s:s,s:s,s:s*,s:I}",
             "use", tls->settings.use, "result", results[result], "error", why, "name",
             tls->peer[0] != '\0' ? tls->peer : NULL, "refused", (json_int_t)tls->refused);
    tls->refused_logged_ms = now;
    tls->refused = 0;
}

static weir_tls_step_t refuse(weir_tls_t *tls, const SSL *ssl)
{
    unsigned long error = ERR_peek_error();
    long verified = SSL_get_verify_result(ssl);
    const char *why = ERR_reason_error_string(error);
    int result = FAILED;

    if (tls->refused_name) {
        result = REFUSED_NAME;
        why = "its certificate has no allowed name";
    } else if (verified != X509_V_OK) {
        result = REFUSED_CERTIFICATE;
        why = X509_verify_cert_error_string(verified);
    } else if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
               ERR_GET_REASON(error) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        result = NO_CERTIFICATE;
    }
    ERR_clear_error();
    weir_series_add(tls->handshakes[result], 1);
    log_refused(tls, result, why != NULL ? why : "the client closed the connection");

    return WEIR_TLS_FAILED;
}

weir_tls_step_t weir_tls_handshake(weir_tls_t *tls, SSL *ssl)
{
    int rc;

    assert(tls->settings.is_server);
    ERR_clear_error();
    tls->peer[0] = '\0';
    tls->refused_name = false;
    rc = SSL_do_handshake(ssl);
    if (rc == 1) {
        weir_series_add(tls->handshakes[OK], 1);
        return WEIR_TLS_DONE;
    }
    switch (SSL_get_error(ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return WEIR_TLS_WANTS_READ;
    case SSL_ERROR_WANT_WRITE:
        return WEIR_TLS_WANTS_WRITE;
    default:
        return refuse(tls, ssl);
    }
}

time_t weir_tls_client_ends(const SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    time_t first = 0;

    for (int i = 0; i < sk_X509_num(chain); i++) {
        time_t end = weir_tls_files_end(sk_X509_value(chain, i));

        if (i == 0 || end < first)
            first = end;
    }

    return first;
}

void weir_tls_ended(weir_tls_t *tls, weir_tls_end_t why)
{
    int result = why == WEIR_TLS_TIMED_OUT ? TIMED_OUT : CROWDED;

    tls->peer[0] = '\0';
    weir_series_add(tls->handshakes[result], 1);
    log_refused(tls, result,
                why == WEIR_TLS_TIMED_OUT ? "the client was too slow"
                                          : "too many handshakes were under way");
}
