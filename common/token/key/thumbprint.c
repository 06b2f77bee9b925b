/*
 * The thumbprint of a key; see thumbprint.h.
 *
 * The hashed text has the members that describe the public key, in lexicographic order and without
 * white space (RFC 7638 section 3). Their values are hashed as they are, so they must need no
 * escapes.
 */

#include "common/token/key/thumbprint.h"

#include "common/text/str.h"
#include "common/token/json.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#define MEMBERS 4

static const struct {
    weir_str_t kty;
    const char *members[MEMBERS]; /* NULL behind the last */
} types[] = {
    {{"EC", 2}, {"crv", "kty", "x", "y"}},
    {{"OKP", 3}, {"crv", "kty", "x", NULL}},
    {{"RSA", 3}, {"e", "kty", "n", NULL}},
};

static bool is_plain(weir_str_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '-' && c != '_')
            return false;
    }

    return text.len > 0;
}

static bool add(EVP_MD_CTX *md, const char *text, size_t len)
{
    return EVP_DigestUpdate(md, text, len) == 1;
}

static bool add_member(EVP_MD_CTX *md, const json_t *jwk, const char *name, bool is_first)
{
    weir_str_t value;

    return weir_token_json_text(jwk, name, &value) && is_plain(value) &&
           add(md, is_first ? "{\"" : "\",\"", is_first ? 2 : 3) && add(md, name, strlen(name)) &&
           add(md, "\":\"", 3) && add(md, value.data, value.len);
}

bool weir_thumbprint(const json_t *jwk, uint8_t digest[WEIR_THUMBPRINT])
{
    const char *const *members = NULL;
    weir_str_t kty;
    EVP_MD_CTX *md;
    bool good;

    if (!weir_token_json_text(jwk, "kty", &kty))
        return false;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (weir_str_eq(kty, types[i].kty))
            members = types[i].members;
    }
    if (members == NULL)
        return false;

    md = EVP_MD_CTX_new();
    good = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
    for (size_t i = 0; good && i < MEMBERS && members[i] != NULL; i++)
        good = add_member(md, jwk, members[i], i == 0);
    good = good && add(md, "\"}", 2) && EVP_DigestFinal_ex(md, digest, NULL) == 1;
    EVP_MD_CTX_free(md);
    ERR_clear_error();

    return good;
}
