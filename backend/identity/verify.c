#include "identity/verify.h"

#include "common/hash/siphash.h"
#include "common/ids/random.h"
#include "common/token/json.h"
#include "common/token/token.h"
#include "log/alloc.h"

#include <assert.h>
#include <stdlib.h>

/* A token that was verified, and what it says. */
typedef struct {
    char *token; /* NULL: the place is free */
    size_t len;
    int64_t expires; /* s since 1970, leeway included */
    char *method, *path;
    bool prefix; /* path is the beginning of paths */
    weir_identity_t *identity;
} place_t;

struct weir_verifier {
    char *issuer, *audience, *callers;
    weir_str_t audiences[1];
    weir_token_issuer_t rules; /* its texts are those above */
    weir_siphash_key_t secret;
    place_t places[WEIR_VERIFIER_PLACES];
};

const char *weir_verdict_name(weir_verdict_t verdict)
{
    static const char *const names[WEIR_VERDICTS] = {
        [WEIR_VERDICT_ACCEPTED] = "accepted",   [WEIR_VERDICT_MISSING] = "missing",
        [WEIR_VERDICT_MALFORMED] = "malformed", [WEIR_VERDICT_AUDIENCE] = "audience",
        [WEIR_VERDICT_TIME] = "time",           [WEIR_VERDICT_BINDING] = "binding",
        [WEIR_VERDICT_UNKNOWN_KEY] = "key",     [WEIR_VERDICT_SIGNATURE] = "signature",
        [WEIR_VERDICT_NO_KEYS] = "no_keys",
    };

    assert(verdict < WEIR_VERDICTS);
    return names[verdict];
}

/* --- life ------------------------------------------------------------------------------------ */

weir_verifier_t *weir_verifier_new(const char *issuer, const char *audience, const char *callers)
{
    weir_verifier_t *v = weir_alloc(sizeof(*v));

    v->issuer = weir_alloc_text(issuer);
    v->audience = weir_alloc_text(audience);
    v->callers = weir_alloc_text(callers);
    v->audiences[0] = weir_str(v->audience);
    v->rules = (weir_token_issuer_t){
        .issuer = weir_str(v->issuer),
        .audiences = v->audiences,
        .n_audiences = 1,
        .algorithms = weir_token_algorithm(WEIR_STR("ES256"))->bit |
                      weir_token_algorithm(WEIR_STR("EdDSA"))->bit,
        .leeway = WEIR_VERIFIER_LEEWAY_S,
        .type = WEIR_STR(WEIR_VERIFIER_TYPE),
    };
    weir_random(&v->secret, sizeof(v->secret));

    return v;
}

static void clear(place_t *place)
{
    free(place->token);
    free(place->method);
    free(place->path);
    weir_identity_drop(place->identity);
    *place = (place_t){0};
}

static void forget(weir_verifier_t *v)
{
    for (size_t i = 0; i < WEIR_VERIFIER_PLACES; i++)
        clear(&v->places[i]);
}

void weir_verifier_free(weir_verifier_t *v)
{
    if (v == NULL)
        return;
    forget(v);
    weir_jwks_release(&v->rules.keys);
    free(v->issuer);
    free(v->audience);
    free(v->callers);
    free(v);
}

bool weir_verifier_keys(weir_verifier_t *v, weir_str_t document, char why[WEIR_JWKS_WHY_MAX])
{
    weir_jwks_t keys;

    if (!weir_jwks_parse(document, &keys, why))
        return false;
    weir_jwks_release(&v->rules.keys);
    v->rules.keys = keys;
    forget(v);

    return true;
}

/* --- a token that is not known yet ----------------------------------------------------------- */

static weir_verdict_t verdict_of(weir_token_reason_t reason)
{
    switch (reason) {
    case WEIR_TOKEN_OK:
        return WEIR_VERDICT_ACCEPTED;
    case WEIR_TOKEN_WRONG_ISSUER:
    case WEIR_TOKEN_WRONG_AUDIENCE:
        return WEIR_VERDICT_AUDIENCE;
    case WEIR_TOKEN_EXPIRED:
    case WEIR_TOKEN_NOT_YET:
    case WEIR_TOKEN_FROM_FUTURE:
        return WEIR_VERDICT_TIME;
    case WEIR_TOKEN_UNKNOWN_KEY:
    case WEIR_TOKEN_AMBIGUOUS_KEY:
        return WEIR_VERDICT_UNKNOWN_KEY;
    case WEIR_TOKEN_BAD_SIGNATURE:
        return WEIR_VERDICT_SIGNATURE;
    default:
        return WEIR_VERDICT_MALFORMED;
    }
}

/* A claim that is a text; NULL: it is missing. False: it has another type. */
static bool read_text(const json_t *claims, const char *name, const char **text)
{
    weir_str_t value;

    if (!weir_token_json_text(claims, name, &value))
        return false;
    *text = value.data;

    return true;
}

/* True if subjects and scopes of that issuer count; NULL: the caller has shown no token. */
static bool believes(const weir_verifier_t *v, const char *issuer)
{
    static const char blanks[] = " \t";
    const char *p = v->callers + strspn(v->callers, blanks);

    if (issuer == NULL || *p == '\0')
        return issuer != NULL;
    for (; *p != '\0'; p += strspn(p, blanks)) {
        size_t len = strcspn(p, blanks);

        if (weir_str_eq((weir_str_t){p, len}, weir_str(issuer)))
            return true;
        p += len;
    }

    return false;
}

/* Reads what the token says; its texts are copied. False: a claim is missing, or of no use. */
static bool read_claims(const weir_verifier_t *v, const json_t *claims, place_t *place)
{
    const char *sub, *sub_iss, *scope, *actor, *method, *path, *prefix;
    bool anonymous;

    if (!read_text(claims, "sub", &sub) || !read_text(claims, "sub_iss", &sub_iss) ||
        !read_text(claims, "scope", &scope) || !read_text(claims, "htm", &method) ||
        !read_text(claims, "path", &path) || !read_text(claims, "prefix", &prefix) ||
        !read_text(json_object_get(claims, "act"), "sub", &actor))
        return false;
    if (sub == NULL || *sub == '\0' || actor == NULL || method == NULL ||
        (path == NULL) == (prefix == NULL))
        return false;

    /* Two issuers may give the same subject to different people: one is asked for at least. */
    anonymous = !believes(v, sub_iss);
    place->prefix = prefix != NULL;
    place->method = weir_alloc_text(method);
    place->path = weir_alloc_text(prefix != NULL ? prefix : path);
    place->identity = weir_identity_new(anonymous ? "" : sub, anonymous ? "" : sub_iss, actor,
                                        anonymous || scope == NULL ? "" : scope);

    return true;
}

static weir_verdict_t verify(const weir_verifier_t *v, weir_str_t text, int64_t now, place_t *place)
{
    weir_token_t token;
    weir_token_reason_t reason = weir_token_parse(text, &token);

    *place = (place_t){0};
    if (reason != WEIR_TOKEN_OK)
        return verdict_of(reason);

    reason = weir_token_check(&token, &v->rules, now, &place->expires);
    if (reason == WEIR_TOKEN_OK)
        reason = weir_token_verify(&token, &v->rules);
    if (reason == WEIR_TOKEN_OK && !read_claims(v, token.claims, place))
        reason = WEIR_TOKEN_BAD_CLAIMS;
    weir_token_release(&token);
    if (reason != WEIR_TOKEN_OK)
        return verdict_of(reason);

    place->len = text.len;
    place->token = weir_alloc_bytes(text.data, text.len);

    return WEIR_VERDICT_ACCEPTED;
}

/* --- a request ------------------------------------------------------------------------------- */

/* Paths are compared byte for byte, as routes are. */
static bool is_bound(const place_t *place, const char *method, weir_str_t path)
{
    size_t len = strlen(place->path);

    if (strcmp(place->method, method) != 0 || path.len < len ||
        memcmp(place->path, path.data, len) != 0)
        return false;

    return place->prefix || path.len == len;
}

weir_verdict_t weir_verifier_check(weir_verifier_t *v, weir_str_t token, const char *method,
                                   weir_str_t path, int64_t now, weir_identity_t **identity)
{
    uint64_t hash[2];
    place_t *place, found;
    weir_verdict_t verdict;

    *identity = NULL;
    if (v->rules.keys.n == 0)
        return WEIR_VERDICT_NO_KEYS;
    if (token.data == NULL)
        return WEIR_VERDICT_MISSING;

    weir_siphash128(v->secret, token, hash);
    place = &v->places[hash[0] % WEIR_VERIFIER_PLACES];

    if (place->token == NULL || place->len != token.len ||
        memcmp(place->token, token.data, token.len) != 0) {
        verdict = verify(v, token, now, &found);
        if (verdict != WEIR_VERDICT_ACCEPTED)
            return verdict;
        clear(place);
        *place = found;
    }

    if (now >= place->expires)
        return WEIR_VERDICT_TIME;
    if (!is_bound(place, method, path))
        return WEIR_VERDICT_BINDING;
    *identity = weir_identity_keep(place->identity);

    return WEIR_VERDICT_ACCEPTED;
}
