/* A JWK Set; see jwks.h. */

#include "common/token/key/jwks.h"

#include "common/token/json.h"

#include <stdio.h>
#include <stdlib.h>

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

static bool read_set(const json_t *document, weir_jwks_t *set, char *why)
{
    const json_t *array = json_object_get(document, "keys");

    if (!json_is_array(array)) {
        snprintf(why, WEIR_JWKS_WHY_MAX, "it has no array \"keys\"");
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

bool weir_jwks_parse(weir_str_t text, weir_jwks_t *set, char why[WEIR_JWKS_WHY_MAX])
{
    json_error_t error;
    json_t *document;
    bool good;

    *set = (weir_jwks_t){0};

    if (text.len > WEIR_JWKS_MAX) {
        snprintf(why, WEIR_JWKS_WHY_MAX, "it has more than %d bytes", WEIR_JWKS_MAX);
        return false;
    }

    document = weir_token_json(text, &error);
    if (document == NULL) {
        /* jansson's own text quotes the document, which could be a private key */
        snprintf(why, WEIR_JWKS_WHY_MAX, "it is no JSON object without duplicate members: line %d",
                 error.line);
        return false;
    }

    good = read_set(document, set, why);
    json_decref(document);
    if (!good)
        weir_jwks_release(set);

    return good;
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
