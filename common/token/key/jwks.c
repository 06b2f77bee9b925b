/* A JWK Set; see jwks.h. */

#include "common/token/key/jwks.h"

#include "common/token/json.h"

#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>

static bool begins(weir_str_t text, const char *prefix)
{
    size_t len = strlen(prefix);

    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

/* What a text that is no JSON is; NULL: unknown. */
static const char *other_text(weir_str_t text)
{
    if (begins(text, "\x1f\x8b"))
        return "it is compressed by gzip";
    if (begins(text, "\xef\xbb\xbf"))
        return "it begins with a byte order mark";
    if (begins(text, "\x30\x82"))
        return "it is DER, not JSON";

    while (text.len > 0 && strchr(" \t\r\n", text.data[0]) != NULL && text.data[0] != '\0') {
        text.data++;
        text.len--;
    }

    if (text.len == 0)
        return "it is empty";
    if (begins(text, "-----BEGIN ") || begins(text, "ssh-") || begins(text, "ecdsa-sha2-"))
        return "it is a key or a certificate in PEM or for SSH, not JSON";
    if (begins(text, "<"))
        return "it is HTML or XML, not JSON";

    return NULL;
}

static bool has_kid(const weir_jwk_t *key, weir_str_t kid)
{
    return key->has_kid && weir_str_eq(key->kid, kid);
}

/* True if an earlier key has the same kid and could be meant as well. */
static bool is_double(const weir_jwks_t *set, const weir_jwk_t *key)
{
    for (size_t i = 0; key->has_kid && i < set->n; i++) {
        if (has_kid(&set->keys[i], key->kid) && (set->keys[i].algorithms & key->algorithms) != 0)
            return true;
    }

    return false;
}

/* Adds the keys of the array; false if one of them is wrong. */
static bool add_keys(const json_t *array, weir_jwks_t *set, char *why)
{
    const json_t *jwk;
    const char *text;
    weir_jwk_t key;
    size_t i;

    json_array_foreach(array, i, jwk)
    {
        switch (weir_jwk_read(jwk, &key, &text)) {

        case WEIR_JWK_USABLE:
            if (is_double(set, &key)) {
                weir_jwk_release(&key);
                snprintf(why, WEIR_JWKS_WHY_MAX, "key %zu has the \"kid\" of an earlier one",
                         i + 1);
                return false;
            }
            key.position = i + 1;
            set->keys[set->n++] = key;
            break;

        case WEIR_JWK_OTHER:
            set->others++;
            break;

        case WEIR_JWK_WRONG:
            snprintf(why, WEIR_JWKS_WHY_MAX, "key %zu: %s", i + 1, text);
            return false;

        case WEIR_JWK_NO_MEMORY:
            snprintf(why, WEIR_JWKS_WHY_MAX, "no memory");
            return false;
        }
    }

    if (set->n == 0)
        snprintf(why, WEIR_JWKS_WHY_MAX, "it has no key for signatures that is supported");

    return set->n > 0;
}

/* What an object without "keys" is, in words for someone who took the wrong URL or file. */
static const char *other_object(const json_t *document)
{
    const json_t *value;
    const char *name;

    if (json_object_get(document, "jwks_uri") != NULL)
        return ": it is the configuration of an OpenID provider, whose \"jwks_uri\" is meant";
    if (json_object_get(document, "kty") != NULL)
        return ": it is one key, which belongs in such an array";

    json_object_foreach((json_t *)(uintptr_t)document, name, value)
    {
        weir_str_t text = json_is_string(value) ? weir_token_json_str(value) : WEIR_STR("");

        if (begins(text, "-----BEGIN "))
            return ": it has keys or certificates in PEM by their names";
    }

    return "";
}

static bool read_set(const json_t *document, weir_jwks_t *set, char *why)
{
    const json_t *array = json_object_get(document, "keys");

    if (!json_is_array(array)) {
        snprintf(why, WEIR_JWKS_WHY_MAX, "it has no array \"keys\"%s", other_object(document));
        return false;
    }
    if (json_array_size(array) > WEIR_JWKS_KEYS_MAX) {
        snprintf(why, WEIR_JWKS_WHY_MAX, "it has more than %d keys", WEIR_JWKS_KEYS_MAX);
        return false;
    }

    set->keys = calloc(json_array_size(array) + 1, sizeof(weir_jwk_t));
    if (set->keys == NULL) {
        snprintf(why, WEIR_JWKS_WHY_MAX, "no memory");
        return false;
    }

    return add_keys(array, set, why);
}

bool weir_jwks_read(weir_str_t text, weir_jwks_t *set, char why[WEIR_JWKS_WHY_MAX])
{
    json_error_t error;
    const char *other;
    json_t *document;
    bool good;

    *set = (weir_jwks_t){0};

    if (text.len > WEIR_JWKS_MAX) {
        snprintf(why, WEIR_JWKS_WHY_MAX, "it has more than %d bytes", WEIR_JWKS_MAX);
        return false;
    }

    document = weir_token_json(text, &error);
    if (document == NULL) {
        other = other_text(text);
        if (other != NULL)
            snprintf(why, WEIR_JWKS_WHY_MAX, "%s", other);
        else
            /* jansson's own text quotes the document, which could be a private key */
            snprintf(why, WEIR_JWKS_WHY_MAX,
                     "it is no JSON object without duplicate members: line %d", error.line);
        return false;
    }

    good = read_set(document, set, why);
    json_decref(document);
    if (!good)
        weir_jwks_release(set);

    return good;
}

bool weir_jwks_check(const weir_jwks_t *set, size_t i, char why[WEIR_JWKS_WHY_MAX])
{
    const char *text;

    if (weir_jwk_check(&set->keys[i], &text))
        return true;

    snprintf(why, WEIR_JWKS_WHY_MAX, "key %zu: %s", set->keys[i].position, text);

    return false;
}

bool weir_jwks_parse(weir_str_t text, weir_jwks_t *set, char why[WEIR_JWKS_WHY_MAX])
{
    if (!weir_jwks_read(text, set, why))
        return false;

    for (size_t i = 0; i < set->n; i++) {
        if (!weir_jwks_check(set, i, why)) {
            weir_jwks_release(set);
            return false;
        }
    }

    return true;
}

unsigned weir_jwks_algorithms(const weir_jwks_t *set)
{
    unsigned algorithms = 0;

    for (size_t i = 0; i < set->n; i++)
        algorithms |= set->keys[i].algorithms;

    return algorithms;
}

void weir_jwks_release(weir_jwks_t *set)
{
    for (size_t i = 0; i < set->n; i++)
        weir_jwk_release(&set->keys[i]);
    free(set->keys);
    *set = (weir_jwks_t){0};
}

weir_token_reason_t weir_jwks_find(const weir_jwks_t *set, const weir_token_algorithm_t *algorithm,
                                   weir_str_t kid, const weir_jwk_t **key)
{
    *key = NULL;

    for (size_t i = 0; i < set->n; i++) {
        const weir_jwk_t *candidate = &set->keys[i];

        if ((candidate->algorithms & algorithm->bit) == 0 ||
            (kid.data != NULL && !has_kid(candidate, kid)))
            continue;
        if (*key != NULL)
            return WEIR_TOKEN_AMBIGUOUS_KEY;
        *key = candidate;
    }

    return *key != NULL ? WEIR_TOKEN_OK : WEIR_TOKEN_UNKNOWN_KEY;
}
