#include "tls/files.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX 4194304 /* bytes */

/* --- changes ------------------------------------------------------------------------------- */

static weir_tls_stamp_t look(const char *file)
{
    weir_tls_stamp_t stamp = {0};
    struct stat st;

    if (*file == '\0')
        return stamp;
    if (stat(file, &st) != 0) {
        stamp.error = errno;
        return stamp;
    }
    stamp.device = st.st_dev;
    stamp.inode = st.st_ino;
    stamp.size = st.st_size;
    stamp.modified = st.st_mtim;
    stamp.changed = st.st_ctim;

    return stamp;
}

void weir_tls_files_look(const weir_tls_settings_t *settings, weir_tls_stamps_t *stamps)
{
    stamps->certificate = look(settings->certificate);
    stamps->key = look(settings->key);
    stamps->ca = look(settings->ca);
}

static bool differs(const weir_tls_stamp_t *a, const weir_tls_stamp_t *b)
{
    return a->device != b->device || a->inode != b->inode || a->size != b->size ||
           a->modified.tv_sec != b->modified.tv_sec || a->modified.tv_nsec != b->modified.tv_nsec ||
           a->changed.tv_sec != b->changed.tv_sec || a->changed.tv_nsec != b->changed.tv_nsec ||
           a->error != b->error;
}

bool weir_tls_files_differ(const weir_tls_stamps_t *a, const weir_tls_stamps_t *b)
{
    return differs(&a->certificate, &b->certificate) || differs(&a->key, &b->key) ||
           differs(&a->ca, &b->ca);
}

/* --- reading ------------------------------------------------------------------------------- */

/* OpenSSL's first error, which is nearest to the cause, without the place in its source. */
static const char *first_error(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    ERR_clear_error();

    return reason != NULL ? reason : "its content is malformed";
}

static weir_tls_fault_t complain(weir_tls_fault_t fault, const char *file, const char *reason,
                                 char *why, size_t size)
{
    assert(size > 0);
    snprintf(why, size, "%s: %s", file, reason);
    ERR_clear_error();

    return fault;
}

/* Whatever is no regular file could make the process wait. */
static const char *cannot_read(const char *file)
{
    struct stat st;
    FILE *f;

    if (stat(file, &st) != 0)
        return strerror(errno);
    if (!S_ISREG(st.st_mode))
        return "it is no regular file";
    if (st.st_size > FILE_MAX)
        return "it has more than 4 MB";
    f = fopen(file, "r");
    if (f == NULL)
        return strerror(errno);
    fclose(f);

    return NULL;
}

static time_t seconds_of(const ASN1_TIME *at)
{
    struct tm tm;

    return ASN1_TIME_to_tm(at, &tm) == 1 ? timegm(&tm) : 0;
}

time_t weir_tls_files_end(const X509 *certificate)
{
    return seconds_of(X509_get0_notAfter(certificate));
}

/* The certificate becomes the result if it ends before those before it. */
static void take_validity(weir_tls_validity_t *validity, const X509 *certificate)
{
    time_t end = weir_tls_files_end(certificate);

    if (validity->end != 0 && validity->end <= end)
        return;
    validity->end = end;
    validity->begin = seconds_of(X509_get0_notBefore(certificate));
}

/* A key with a passphrase is refused: OpenSSL would ask the terminal for it. arg: a bool. */
static int no_passphrase(char *out, int size, int writing, void *arg)
{
    (void)out;
    (void)size;
    (void)writing;
    if (arg != NULL)
        *(bool *)arg = true;

    return -1;
}

static weir_tls_fault_t read_certificate(const weir_tls_settings_t *s, SSL_CTX *ctx,
                                         weir_tls_validity_t *own, char *why, size_t size)
{
    STACK_OF(X509) *chain = NULL;
    const char *reason = cannot_read(s->certificate);
    bool locked = false, fits;

    if (reason != NULL)
        return complain(WEIR_TLS_CERTIFICATE, s->certificate, reason, why, size);
    if (SSL_CTX_use_certificate_chain_file(ctx, s->certificate) != 1)
        return complain(WEIR_TLS_CERTIFICATE, s->certificate, first_error(), why, size);
    reason = cannot_read(s->key);
    if (reason != NULL)
        return complain(WEIR_TLS_KEY, s->key, reason, why, size);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, &locked);
    fits = SSL_CTX_use_PrivateKey_file(ctx, s->key, SSL_FILETYPE_PEM) == 1 &&
           SSL_CTX_check_private_key(ctx) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    if (!fits)
        return complain(WEIR_TLS_KEY, s->key,
                        locked ? "it has a passphrase; it must have none" : first_error(), why,
                        size);

    take_validity(own, SSL_CTX_get0_certificate(ctx));
    SSL_CTX_get0_chain_certs(ctx, &chain);
    for (int i = 0; i < sk_X509_num(chain); i++)
        take_validity(own, sk_X509_value(chain, i));

    return WEIR_TLS_NO_FAULT;
}

/* The bundle is read a second time, for the validity, which the store does not tell. */
static void read_validity(const char *file, weir_tls_validity_t *validity)
{
    weir_tls_validity_t ended = {0};
    FILE *f = fopen(file, "r");
    X509 *certificate;
    time_t now = time(NULL);

    if (f == NULL)
        return;
    while ((certificate = PEM_read_X509_AUX(f, NULL, no_passphrase, NULL)) != NULL) {
        if (seconds_of(X509_get0_notAfter(certificate)) > now)
            take_validity(validity, certificate);
        else
            take_validity(&ended, certificate);
        X509_free(certificate);
    }
    ERR_clear_error();
    fclose(f);
    if (validity->end == 0)
        *validity = ended;
}

static weir_tls_fault_t read_ca(const weir_tls_settings_t *s, SSL_CTX *ctx, weir_tls_validity_t *ca,
                                char *why, size_t size)
{
    STACK_OF(X509_NAME) * names;
    const char *reason = cannot_read(s->ca);

    if (reason != NULL)
        return complain(WEIR_TLS_CA, s->ca, reason, why, size);
    if (SSL_CTX_load_verify_file(ctx, s->ca) != 1)
        return complain(WEIR_TLS_CA, s->ca, first_error(), why, size);
    read_validity(s->ca, ca);
    if (s->is_server) {
        /* The names of authorities by which a client with several certificates chooses one. */
        names = SSL_load_client_CA_file(s->ca);
        if (names == NULL)
            return complain(WEIR_TLS_CA, s->ca, first_error(), why, size);
        SSL_CTX_set_client_CA_list(ctx, names);
    }

    return WEIR_TLS_NO_FAULT;
}

weir_tls_fault_t weir_tls_files_read(const weir_tls_settings_t *settings, SSL_CTX *ctx,
                                     weir_tls_validity_t *own, weir_tls_validity_t *ca, char *why,
                                     size_t size)
{
    weir_tls_fault_t fault;

    assert(ctx != NULL && (*settings->certificate == '\0') == (*settings->key == '\0'));
    assert(!settings->is_server || (*settings->certificate != '\0' && *settings->ca != '\0'));
    *own = *ca = (weir_tls_validity_t){0};
    ERR_clear_error();
    if (*settings->certificate != '\0') {
        fault = read_certificate(settings, ctx, own, why, size);
        if (fault != WEIR_TLS_NO_FAULT)
            return fault;
    }
    if (*settings->ca != '\0')
        return read_ca(settings, ctx, ca, why, size);
    if (SSL_CTX_set_default_verify_paths(ctx) != 1)
        return complain(WEIR_TLS_CA, "the system's authorities", first_error(), why, size);

    return WEIR_TLS_NO_FAULT;
}
