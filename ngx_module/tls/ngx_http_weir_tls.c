/*
 * Connections to other servers over TLS, with nginx's own functions.  After the
 * TCP connection, the TLS handshake is done and the server's certificate is
 * checked; later code does not depend on TLS.
 *
 * The certificate is checked after the handshake and before anything is sent,
 * in particular a password: it must have a chain to a trusted certificate and
 * contain the name (RFC 6125) or the address of the URL.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "tls/ngx_http_weir_tls.h"

#if (NGX_SSL)


/* Limit of certificates between the server's and a trusted one. */
#define NGX_HTTP_WEIR_TLS_DEPTH  5


/* A fault of changed files is logged when none is younger than this, s. */
#define NGX_HTTP_WEIR_TLS_SETTLED  2

/* Of a changed file, bytes. */
#define NGX_HTTP_WEIR_TLS_FILE_MAX  4194304

/* certificate, key, trusted */
#define NGX_HTTP_WEIR_TLS_FILES  3


/* What tells a changed file. */
typedef struct {
    dev_t            device;
    ino_t            inode;
    off_t            size;
    struct timespec  modified;
    struct timespec  changed;
} ngx_http_weir_tls_stamp_t;


struct ngx_http_weir_tls_s {
    ngx_ssl_t    ssl;

    ngx_http_weir_tls_stamp_t
                 used[NGX_HTTP_WEIR_TLS_FILES];   /* of the files in use */
    ngx_http_weir_tls_stamp_t
                 refused[NGX_HTTP_WEIR_TLS_FILES]; /* of those logged last */
    time_t       again;             /* s; when those refused become valid;
                                       0: they are wrong for good */
    time_t       looked;            /* s; when the files were looked at */

    ngx_str_t    name;              /* expected in the certificate;
                                       NUL-terminated */
    ngx_str_t    trusted;           /* file; empty: the system's */
    ngx_str_t    certificate;       /* our own, file; empty: none */
    ngx_str_t    key;
    ngx_uint_t   address;           /* bool: name is an IP address */
    ngx_uint_t   unverified;        /* bool */
};


static void ngx_http_weir_tls_cleanup(void *data);
static char *ngx_http_weir_tls_read(ngx_conf_t *cf,
    ngx_http_weir_tls_t *tls);
static void ngx_http_weir_tls_prepare(ngx_ssl_t *ssl);
static void ngx_http_weir_tls_look(ngx_http_weir_tls_t *tls,
    ngx_http_weir_tls_stamp_t *stamps);
static void ngx_http_weir_tls_renew(ngx_http_weir_tls_t *tls, ngx_log_t *log);
static ngx_str_t *ngx_http_weir_tls_load(ngx_http_weir_tls_t *tls,
    ngx_ssl_t *ssl, const char **reason);
static const char *ngx_http_weir_tls_unreadable(ngx_http_weir_tls_t *tls,
    ngx_str_t **file);
static const char *ngx_http_weir_tls_invalid(ngx_http_weir_tls_t *tls,
    SSL_CTX *ctx);
static ngx_int_t ngx_http_weir_tls_left(const ASN1_TIME *end);
static int ngx_http_weir_tls_no_passphrase(char *out, int size, int writing,
    void *arg);
static ngx_int_t ngx_http_weir_tls_expect(ngx_http_weir_tls_t *tls,
    ngx_connection_t *c);


ngx_int_t
ngx_http_weir_tls_parameter(ngx_http_weir_tls_t *tls,
    ngx_str_t *arg)
{
    ngx_str_t   *value;
    ngx_uint_t   i;

    struct {
        ngx_str_t   name;
        ngx_str_t  *value;
    } parameters[] = {
        { ngx_string("ssl_trusted_certificate="), &tls->trusted },
        { ngx_string("ssl_certificate="), &tls->certificate },
        { ngx_string("ssl_certificate_key="), &tls->key },
        { ngx_string("ssl_name="), &tls->name }
    };

    if (ngx_strcmp(arg->data, "ssl_verify=off") == 0) {
        tls->unverified = 1;
        return NGX_OK;
    }

    if (ngx_strcmp(arg->data, "ssl_verify=on") == 0) {
        return NGX_OK;
    }

    for (i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
        value = &parameters[i].name;

        if (arg->len > value->len
            && ngx_strncmp(arg->data, value->data, value->len) == 0)
        {
            parameters[i].value->data = arg->data + value->len;
            parameters[i].value->len = arg->len - value->len;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


char *
ngx_http_weir_tls_init(ngx_conf_t *cf, ngx_http_weir_tls_t *tls,
    ngx_str_t *host)
{
    u_char              *p;
    ngx_str_t            name;
    ngx_addr_t           addr;
    ngx_pool_cleanup_t  *cln;

    if ((tls->certificate.len == 0) != (tls->key.len == 0)) {
        return "ssl_certificate and ssl_certificate_key must be used together";
    }

    name = tls->name.len ? tls->name : *host;

    if (name.len > 2 && name.data[0] == '[') {
        name.data++;
        name.len -= 2;
    }

    p = ngx_pnalloc(cf->pool, name.len + 1);
    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (p == NULL || cln == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memcpy(p, name.data, name.len);
    p[name.len] = '\0';

    tls->name.data = p;
    tls->name.len = name.len;
    tls->address = ngx_parse_addr(cf->pool, &addr, p, name.len) == NGX_OK;

    cln->handler = ngx_http_weir_tls_cleanup;
    cln->data = tls;

    return ngx_http_weir_tls_read(cf, tls);
}


static void
ngx_http_weir_tls_cleanup(void *data)
{
    ngx_http_weir_tls_t  *tls = data;

    if (tls->ssl.ctx) {
        ngx_ssl_cleanup_ctx(&tls->ssl);
    }
}


static void
ngx_http_weir_tls_prepare(ngx_ssl_t *ssl)
{
    /*
     * A partial write is repeated with the bytes appended since, from a buffer
     * that may have moved; the number of bytes written so far is reported.
     */

    SSL_CTX_set_mode(ssl->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE
                               |SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}


/* Loads the certificates; returns as ngx_http_weir_tls_init(). */

static char *
ngx_http_weir_tls_read(ngx_conf_t *cf, ngx_http_weir_tls_t *tls)
{
    tls->ssl.log = cf->log;
    ngx_http_weir_tls_look(tls, tls->used);

    if (ngx_ssl_create(&tls->ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_http_weir_tls_prepare(&tls->ssl);

    if (ngx_ssl_trusted_certificate(cf, &tls->ssl, &tls->trusted,
                                    NGX_HTTP_WEIR_TLS_DEPTH)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (tls->trusted.len == 0
        && SSL_CTX_set_default_verify_paths(tls->ssl.ctx) == 0)
    {
        return "the system's trusted certificates can't be read";
    }

    if (tls->certificate.len
        && ngx_ssl_certificate(cf, &tls->ssl, &tls->certificate, &tls->key,
                               NULL)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_weir_tls_connect(ngx_http_weir_tls_t *tls, ngx_connection_t *c,
    ngx_connection_handler_pt ended)
{
    ngx_int_t  rc;

    ngx_http_weir_assert(c->ssl == NULL && c->pool == NULL);

    if (tls->looked != ngx_time()) {
        tls->looked = ngx_time();
        ngx_http_weir_tls_renew(tls, ngx_cycle->log);
    }

    c->pool = ngx_create_pool(256, c->log);

    if (c->pool == NULL
        || ngx_ssl_create_connection(&tls->ssl, c, NGX_SSL_CLIENT) != NGX_OK
        || ngx_http_weir_tls_expect(tls, c) != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_ssl_handshake(c);

    if (rc == NGX_AGAIN) {
        c->ssl->handler = ended;
        return NGX_AGAIN;
    }

    /* handshaked or not: ngx_http_weir_tls_check() */

    return NGX_OK;
}


/* A file that is not there, or not given, has a stamp of zeros. */

static void
ngx_http_weir_tls_look(ngx_http_weir_tls_t *tls,
    ngx_http_weir_tls_stamp_t *stamps)
{
    ngx_str_t   *files[NGX_HTTP_WEIR_TLS_FILES] =
                     { &tls->certificate, &tls->key, &tls->trusted };
    ngx_uint_t   i;
    struct stat  st;

    ngx_memzero(stamps, NGX_HTTP_WEIR_TLS_FILES
                        * sizeof(ngx_http_weir_tls_stamp_t));

    for (i = 0; i < NGX_HTTP_WEIR_TLS_FILES; i++) {

        if (files[i]->len == 0
            || stat((char *) files[i]->data, &st) != 0)
        {
            continue;
        }

        stamps[i].device = st.st_dev;
        stamps[i].inode = st.st_ino;
        stamps[i].size = st.st_size;
        stamps[i].modified = st.st_mtim;
        stamps[i].changed = st.st_ctim;
    }
}


/* Reads changed files; keeps the old ones if these are not fine. */

static void
ngx_http_weir_tls_renew(ngx_http_weir_tls_t *tls, ngx_log_t *log)
{
    ngx_str_t                  *wrong;
    const char                 *reason;
    ngx_ssl_t                   ssl;
    ngx_uint_t                  i;
    ngx_http_weir_tls_stamp_t   now[NGX_HTTP_WEIR_TLS_FILES];

    ngx_http_weir_tls_look(tls, now);

    if (ngx_memcmp(now, tls->used, sizeof(now)) == 0
        || (ngx_memcmp(now, tls->refused, sizeof(now)) == 0
            && (tls->again == 0 || ngx_time() < tls->again)))
    {
        return;
    }

    ngx_memzero(&ssl, sizeof(ngx_ssl_t));
    ssl.log = log;

    ERR_clear_error();

    if (ngx_ssl_create(&ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL) != NGX_OK) {
        return;
    }

    wrong = ngx_http_weir_tls_load(tls, &ssl, &reason);

    if (wrong == NULL) {
        ngx_ssl_cleanup_ctx(&tls->ssl);
        tls->ssl = ssl;
        ngx_memcpy(tls->used, now, sizeof(now));
        ngx_memzero(tls->refused, sizeof(now));

        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "weir: changed certificates for \"%V\" are in use",
                      &tls->name);
        return;
    }

    ngx_ssl_cleanup_ctx(&ssl);

    for (i = 0; i < NGX_HTTP_WEIR_TLS_FILES; i++) {

        if (ngx_time() - now[i].changed.tv_sec < NGX_HTTP_WEIR_TLS_SETTLED) {
            /* whoever writes the files may not be done */
            ERR_clear_error();
            return;
        }
    }

    ngx_memcpy(tls->refused, now, sizeof(now));

    if (reason == NULL) {
        reason = ERR_reason_error_string(ERR_peek_error());
    }

    ngx_log_error(NGX_LOG_ERR, log, 0,
                  "weir: changed certificates for \"%V\" cannot be used, the"
                  " old ones stay in use: \"%V\": %s",
                  &tls->name, wrong, reason ? reason : "cannot be read");

    ERR_clear_error();
}


/*
 * Loads the files in a worker; NULL, or the name of the one that is wrong, with
 * the reason, or NULL if OpenSSL has it.
 */

static ngx_str_t *
ngx_http_weir_tls_load(ngx_http_weir_tls_t *tls, ngx_ssl_t *ssl,
    const char **reason)
{
    ngx_str_t  *file;

    tls->again = 0;
    *reason = ngx_http_weir_tls_unreadable(tls, &file);

    if (*reason) {
        return file;
    }

    ngx_http_weir_tls_prepare(ssl);

    SSL_CTX_set_default_passwd_cb(ssl->ctx, ngx_http_weir_tls_no_passphrase);

    if (tls->certificate.len) {

        if (SSL_CTX_use_certificate_chain_file(ssl->ctx,
                                          (char *) tls->certificate.data)
            != 1)
        {
            return &tls->certificate;
        }

        if (SSL_CTX_use_PrivateKey_file(ssl->ctx, (char *) tls->key.data,
                                        SSL_FILETYPE_PEM)
            != 1)
        {
            return &tls->key;
        }

        *reason = ngx_http_weir_tls_invalid(tls, ssl->ctx);

        if (*reason) {
            return &tls->certificate;
        }
    }

    if (tls->trusted.len == 0) {
        return SSL_CTX_set_default_verify_paths(ssl->ctx) == 1 ? NULL
                                                               : &tls->trusted;
    }

    SSL_CTX_set_verify_depth(ssl->ctx, NGX_HTTP_WEIR_TLS_DEPTH);

    return SSL_CTX_load_verify_locations(ssl->ctx, (char *) tls->trusted.data,
                                         NULL)
           == 1 ? NULL : &tls->trusted;
}


/* What is no regular file could make the worker wait; NULL if none is. */

static const char *
ngx_http_weir_tls_unreadable(ngx_http_weir_tls_t *tls, ngx_str_t **file)
{
    ngx_str_t   *files[NGX_HTTP_WEIR_TLS_FILES] =
                     { &tls->certificate, &tls->key, &tls->trusted };
    ngx_uint_t   i;
    struct stat  st;

    for (i = 0; i < NGX_HTTP_WEIR_TLS_FILES; i++) {

        if (files[i]->len == 0) {
            continue;
        }

        *file = files[i];

        if (stat((char *) files[i]->data, &st) != 0) {
            return "it cannot be found";
        }

        if (!S_ISREG(st.st_mode)) {
            return "it is no regular file";
        }

        if (st.st_size > NGX_HTTP_WEIR_TLS_FILE_MAX) {
            return "it has more than 4 MB";
        }
    }

    return NULL;
}


/*
 * A certificate that has expired, or is not valid yet, does not replace one that
 * is valid; NULL if this one may be used.
 */

static const char *
ngx_http_weir_tls_invalid(ngx_http_weir_tls_t *tls, SSL_CTX *ctx)
{
    X509       *x, *used;
    ngx_int_t   early;

    x = SSL_CTX_get0_certificate(ctx);
    used = SSL_CTX_get0_certificate(tls->ssl.ctx);

    if (used == NULL
        || ngx_http_weir_tls_left(X509_get0_notBefore(used)) > 0
        || ngx_http_weir_tls_left(X509_get0_notAfter(used)) <= 0)
    {
        return NULL;
    }

    early = ngx_http_weir_tls_left(X509_get0_notBefore(x));

    if (early > 0) {
        tls->again = ngx_time() + early;
        return "the certificate is not valid yet";
    }

    return ngx_http_weir_tls_left(X509_get0_notAfter(x)) > 0
           ? NULL : "the certificate has expired";
}


/* Seconds until that time, or 0; a malformed one is in the past. */

static ngx_int_t
ngx_http_weir_tls_left(const ASN1_TIME *end)
{
    int  days, seconds;

    if (ASN1_TIME_diff(&days, &seconds, NULL, end) != 1
        || days < 0 || seconds < 0)
    {
        return 0;
    }

    return (ngx_int_t) days * 86400 + seconds;
}


/* A key with a passphrase is refused: OpenSSL would ask the terminal for it. */

static int
ngx_http_weir_tls_no_passphrase(char *out, int size, int writing, void *arg)
{
    return -1;
}


/* The name of the server: sent as SNI, and expected in the certificate. */

static ngx_int_t
ngx_http_weir_tls_expect(ngx_http_weir_tls_t *tls,
    ngx_connection_t *c)
{
    char  *name;
    int    ok;

    name = (char *) tls->name.data;

    if (tls->address) {
        ok = tls->unverified
             || X509_VERIFY_PARAM_set1_ip_asc(
                                  SSL_get0_param(c->ssl->connection), name);

    } else {
        ok = SSL_set_tlsext_host_name(c->ssl->connection, name)
             && (tls->unverified
                 || SSL_set1_host(c->ssl->connection, name));
    }

    return ok ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_weir_tls_check(ngx_http_weir_tls_t *tls, ngx_connection_t *c,
    char **wrong)
{
    long   rc;
    X509  *certificate;

    ngx_http_weir_assert(c != NULL && c->ssl != NULL);

    if (!c->ssl->handshaked) {
        return NGX_ERROR;
    }

    if (tls->unverified) {
        return NGX_OK;
    }

    rc = SSL_get_verify_result(c->ssl->connection);

    if (rc != X509_V_OK) {
        *wrong = (char *) X509_verify_cert_error_string(rc);
        return NGX_DECLINED;
    }

    certificate = SSL_get_peer_certificate(c->ssl->connection);

    if (certificate == NULL) {
        *wrong = "the server sent none";
        return NGX_DECLINED;
    }

    X509_free(certificate);

    return NGX_OK;
}


void
ngx_http_weir_tls_close(ngx_connection_t *c)
{
    ngx_pool_t  *pool;

    if (c->ssl) {
        /* no close_notify is sent or awaited */
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        (void) ngx_ssl_shutdown(c);
    }

    pool = c->pool;
    ngx_close_connection(c);

    if (pool) {
        ngx_destroy_pool(pool);
    }
}


#else  /* nginx without TLS: init() refuses the configuration */


struct ngx_http_weir_tls_s {
    ngx_uint_t   unused;
};


ngx_int_t
ngx_http_weir_tls_parameter(ngx_http_weir_tls_t *tls,
    ngx_str_t *arg)
{
    return ngx_strncmp(arg->data, "ssl_", 4) == 0 ? NGX_OK : NGX_DECLINED;
}


char *
ngx_http_weir_tls_init(ngx_conf_t *cf, ngx_http_weir_tls_t *tls,
    ngx_str_t *host)
{
    return "this nginx was built without TLS";
}


ngx_int_t
ngx_http_weir_tls_connect(ngx_http_weir_tls_t *tls, ngx_connection_t *c,
    ngx_connection_handler_pt ended)
{
    return NGX_ERROR;
}


ngx_int_t
ngx_http_weir_tls_check(ngx_http_weir_tls_t *tls, ngx_connection_t *c,
    char **wrong)
{
    return NGX_ERROR;
}


void
ngx_http_weir_tls_close(ngx_connection_t *c)
{
    ngx_close_connection(c);
}


#endif


ngx_http_weir_tls_t *
ngx_http_weir_tls_create(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_tls_t));
}
