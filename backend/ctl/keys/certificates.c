#include "ctl/keys/certificates.h"

#include "ctl/keys/folder.h"
#include "log/alloc.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAIR "tls.crt"
#define KEY "tls.key"
#define TRUSTED "ca.crt"

const weir_keys_certificate_t weir_keys_certificates[] = {
    {"edge", WEIR_AUTHORITY_CLIENT},     {"api", WEIR_AUTHORITY_BOTH},
    {"relay", WEIR_AUTHORITY_BOTH},      {"worker", WEIR_AUTHORITY_BOTH},
    {"postgres", WEIR_AUTHORITY_SERVER}, {"redis", WEIR_AUTHORITY_SERVER},
    {"smtp", WEIR_AUTHORITY_SERVER},     {"payments", WEIR_AUTHORITY_SERVER},
    {"traces", WEIR_AUTHORITY_SERVER},   {"metrics", WEIR_AUTHORITY_CLIENT},
    {"ctl", WEIR_AUTHORITY_CLIENT},
};
const size_t weir_keys_n_certificates =
    sizeof(weir_keys_certificates) / sizeof(weir_keys_certificates[0]);

const weir_keys_certificate_t *weir_keys_certificate(const char *name)
{
    for (size_t i = 0; i < weir_keys_n_certificates; i++) {
        if (strcmp(weir_keys_certificates[i].name, name) == 0)
            return &weir_keys_certificates[i];
    }

    return NULL;
}

/* The authorities of the ring; NULL with a message. */
static char *authorities(const weir_keys_ring_t *ca, char *error, size_t size)
{
    char *text = weir_keys_folder_read(ca->dir, "ca", TRUSTED, error, size);

    if (text == NULL && *error == '\0')
        snprintf(error, size, "%s/ca/" TRUSTED ": it is missing", ca->dir);

    return text;
}

bool weir_keys_certificate_look(const weir_keys_certificate_t *of, const weir_keys_ring_t *ca,
                                weir_keys_certificate_state_t *state, char *error, size_t size)
{
    char *certificate = weir_keys_folder_read(ca->dir, of->name, PAIR, error, size);
    char *trusted = NULL, *all = NULL;

    *state = (weir_keys_certificate_state_t){0};
    if (certificate == NULL)
        return *error == '\0';
    trusted = weir_keys_folder_read(ca->dir, of->name, TRUSTED, error, size);
    if (*error == '\0')
        all = authorities(ca, error, size);
    if (all != NULL) {
        state->is_there =
            weir_authority_read(certificate, state->id, &state->begins, &state->expires);
        state->is_current = weir_authority_has_signed(
            weir_keys_ring_find(ca, WEIR_KEYS_CURRENT)->published, certificate);
        state->trusts_all = trusted != NULL && strcmp(trusted, all) == 0;
    }
    free(certificate);
    free(trusted);
    free(all);

    return *error == '\0';
}

static bool write_folder(const weir_keys_certificate_t *of, const weir_keys_ring_t *ca,
                         const char *certificate, const char *key, char *error, size_t size)
{
    char *trusted = authorities(ca, error, size);
    const weir_keys_file_t files[] = {
        {PAIR, certificate, true}, {KEY, key, false}, {TRUSTED, trusted, true}};
    bool ok = trusted != NULL && weir_keys_folder_write(ca->dir, of->name, files, 3, error, size);

    free(trusted);

    return ok;
}

bool weir_keys_certificate_issue(const weir_keys_certificate_t *of, const weir_keys_ring_t *ca,
                                 int days, char *error, size_t size)
{
    const weir_keys_member_t *current = weir_keys_ring_find(ca, WEIR_KEYS_CURRENT);
    const weir_authority_pair_t by = {
        .key = current->secret, .certificate = current->published, .expires = current->until};
    weir_authority_pair_t made;
    bool ok;

    assert(current != NULL);
    if (!weir_authority_issue(&made, &by, of->name, of->use, days, error, size))
        return false;
    ok = write_folder(of, ca, made.certificate, made.key, error, size);
    weir_authority_pair_free(&made);

    return ok;
}

bool weir_keys_certificate_trust(const weir_keys_certificate_t *of, const weir_keys_ring_t *ca,
                                 char *error, size_t size)
{
    char *certificate = weir_keys_folder_read(ca->dir, of->name, PAIR, error, size);
    char *key =
        certificate != NULL ? weir_keys_folder_read(ca->dir, of->name, KEY, error, size) : NULL;
    bool ok = key != NULL && write_folder(of, ca, certificate, key, error, size);

    if (key == NULL && *error == '\0')
        snprintf(error, size, "%s/%s: a file is missing", ca->dir, of->name);
    free(certificate);
    if (key != NULL)
        OPENSSL_cleanse(key, strlen(key));
    free(key);

    return ok;
}
