/* The claims of a token; see claims.h. */

#include "common/token/claims.h"

#include "common/token/base64url.h"
#include "common/token/json.h"

#include <stdlib.h>
#include <string.h>

/* Numbers that a double represents exactly; no date is beyond. */
#define NUMBER_MAX ((int64_t)1 << 53)

typedef enum { ABSENT, PRESENT, MALFORMED } presence_t;

/*
 * NumericDate (RFC 7519 section 2): seconds since the epoch, which may have a fraction; rounded up,
 * which changes no comparison with a whole number of seconds.
 */
static presence_t read_date(const json_t *claims, const char *name, int64_t *seconds)
{
    const json_t *value = json_object_get(claims, name);
    double real;

    *seconds = 0;

    if (value == NULL)
        return ABSENT;
    if (!json_is_number(value))
        return MALFORMED;

    real = json_number_value(value);
    if (!(real >= -(double)NUMBER_MAX && real <= (double)NUMBER_MAX))
        return MALFORMED;

    *seconds = (int64_t)real;
    if ((double)*seconds < real)
        ++*seconds;

    return PRESENT;
}

/* Section 4.1.3: one text, or an array of texts. */
static presence_t find_audience(const json_t *claims, const weir_token_issuer_t *issuer,
                                bool *found)
{
    const json_t *aud = json_object_get(claims, "aud");
    size_t n = json_is_array(aud) ? json_array_size(aud) : 1;

    *found = false;

    if (aud == NULL)
        return ABSENT;

    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_is_array(aud) ? json_array_get(aud, i) : aud;

        if (!json_is_string(one))
            return MALFORMED;
        for (size_t j = 0; j < issuer->n_audiences; j++)
            *found = *found || weir_str_eq(weir_token_json_str(one), issuer->audiences[j]);
    }

    return PRESENT;
}

static weir_token_reason_t check_names(const json_t *claims, const weir_token_issuer_t *issuer)
{
    weir_str_t iss, sub, jti;
    bool found;

    if (!weir_token_json_text(claims, "iss", &iss) || !weir_token_json_text(claims, "sub", &sub) ||
        !weir_token_json_text(claims, "jti", &jti))
        return WEIR_TOKEN_BAD_CLAIMS;
    if (iss.data == NULL || !weir_str_eq(iss, issuer->issuer))
        return WEIR_TOKEN_WRONG_ISSUER;
    if (find_audience(claims, issuer, &found) == MALFORMED)
        return WEIR_TOKEN_BAD_CLAIMS;

    return found || issuer->n_audiences == 0 ? WEIR_TOKEN_OK : WEIR_TOKEN_WRONG_AUDIENCE;
}

weir_token_reason_t weir_claims_check(const json_t *claims, const weir_token_issuer_t *issuer,
                                      int64_t now, int64_t *expires)
{
    int64_t leeway = issuer->leeway, exp, nbf, iat;
    presence_t has_exp = read_date(claims, "exp", &exp);
    presence_t has_nbf = read_date(claims, "nbf", &nbf);
    presence_t has_iat = read_date(claims, "iat", &iat);
    weir_token_reason_t reason = check_names(claims, issuer);

    *expires = exp + leeway;

    if (has_exp == MALFORMED || has_nbf == MALFORMED || has_iat == MALFORMED)
        return WEIR_TOKEN_BAD_CLAIMS;
    if (reason != WEIR_TOKEN_OK)
        return reason;

    if (has_exp == ABSENT)
        return WEIR_TOKEN_NO_EXPIRY;
    if (now >= *expires)
        return WEIR_TOKEN_EXPIRED;
    if (has_nbf == PRESENT && now < nbf - leeway)
        return WEIR_TOKEN_NOT_YET;
    if (has_iat == PRESENT && now < iat - leeway)
        return WEIR_TOKEN_FROM_FUTURE;

    if (issuer->max_age > 0) {
        if (has_iat == ABSENT || now >= iat + issuer->max_age + leeway)
            return WEIR_TOKEN_TOO_OLD;
        if (*expires > iat + issuer->max_age + leeway)
            *expires = iat + issuer->max_age + leeway;
    }

    return WEIR_TOKEN_OK;
}

static bool is_value(const json_t *claim, weir_str_t value)
{
    size_t len;
    char *text;
    bool same;

    if (json_is_string(claim))
        return weir_str_eq(weir_token_json_str(claim), value);
    if ((!json_is_number(claim) && !json_is_boolean(claim)) || !weir_claim_text(claim, &text, &len))
        return false;

    same = weir_str_eq((weir_str_t){text, len}, value);
    free(text);

    return same;
}

const json_t *weir_claim_find(const json_t *claims, const char *name)
{
    const json_t *claim = json_object_get(claims, name);
    char first[WEIR_CLAIM_NAME_MAX + 1];
    size_t len = strlen(name);

    if (claim != NULL || len > WEIR_CLAIM_NAME_MAX)
        return claim;

    memcpy(first, name, len + 1);
    while (claim == NULL && len-- > 0) {
        if (first[len] != '.')
            continue;
        first[len] = '\0';
        claim = json_object_get(claims, first);
        if (claim != NULL)
            claim = weir_claim_find(claim, name + len + 1);
    }

    return claim;
}

bool weir_claim_has(const json_t *claims, const char *name, weir_str_t value)
{
    const json_t *claim = weir_claim_find(claims, name), *one;
    size_t i;

    if (!json_is_array(claim))
        return is_value(claim, value);

    json_array_foreach(claim, i, one)
    {
        if (is_value(one, value))
            return true;
    }

    return false;
}

static bool list_has(weir_str_t list, weir_str_t scope)
{
    const char *end = list.data + list.len;

    for (const char *p = list.data; p < end;) {
        const char *space = memchr(p, ' ', (size_t)(end - p));
        const char *last = space != NULL ? space : end;

        if (weir_str_eq((weir_str_t){p, (size_t)(last - p)}, scope))
            return true;
        p = last + 1;
    }

    return false;
}

bool weir_claims_have_scope(const json_t *claims, weir_str_t scope)
{
    static const char *const names[] = {"scope", "scp"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const json_t *claim = json_object_get(claims, names[i]);

        if (claim == NULL)
            continue;
        return json_is_string(claim)
                   ? list_has(weir_token_json_str(claim), scope)
                   : json_is_array(claim) && weir_claim_has(claims, names[i], scope);
    }

    return false;
}

static bool is_printable(weir_str_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (c < 0x20 || c == 0x7f)
            return false;
    }

    return true;
}

/* True if a header's value may begin and end so: its recipients remove spaces at both ends. */
static bool is_trimmed(weir_str_t text)
{
    return text.len == 0 || (text.data[0] != ' ' && text.data[text.len - 1] != ' ');
}

/* The text in memory of its own; NULL: there is none that fits in a header. */
static char *copy_of(weir_str_t text)
{
    char *copy = is_printable(text) && is_trimmed(text) ? malloc(text.len + 1) : NULL;

    if (copy != NULL) {
        memcpy(copy, text.data, text.len);
        copy[text.len] = '\0';
    }

    return copy;
}

bool weir_claim_text(const json_t *claim, char **text, size_t *len)
{
    *text = NULL;
    *len = 0;

    if (claim == NULL || json_is_null(claim))
        return false;

    if (json_is_string(claim)) {
        *text = copy_of(weir_token_json_str(claim));
    } else {
        *text =
            json_dumps(claim, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);

        /* JSON has escapes for control characters, but DEL may stand as it is */
        if (*text != NULL && !is_printable(weir_str(*text))) {
            free(*text);
            *text = NULL;
        }
    }
    if (*text == NULL)
        return false;

    *len = json_is_string(claim) ? json_string_length(claim) : strlen(*text);

    return true;
}

bool weir_claims_issued(const json_t *claims, int64_t *seconds)
{
    const json_t *iat = json_object_get(claims, "iat");

    if (read_date(claims, "iat", seconds) != PRESENT)
        return false;
    if ((double)*seconds > json_number_value(iat))
        --*seconds;

    return true;
}

bool weir_claims_are_bound(const json_t *claims)
{
    return json_object_get(claims, "cnf") != NULL;
}

/* True if that member of cnf is the digest, in base64url. */
static bool is_digest(const json_t *claims, const char *name,
                      const uint8_t digest[WEIR_CLAIMS_DIGEST])
{
    weir_str_t text = weir_token_json_str(json_object_get(json_object_get(claims, "cnf"), name));
    uint8_t bytes[WEIR_CLAIMS_DIGEST + 3];
    size_t len;

    return text.len <= WEIR_CLAIMS_DIGEST_TEXT && weir_base64url_decode(text, bytes, &len) &&
           len == WEIR_CLAIMS_DIGEST && memcmp(bytes, digest, len) == 0;
}

bool weir_claims_are_bound_to(const json_t *claims, const uint8_t digest[WEIR_CLAIMS_DIGEST])
{
    return is_digest(claims, "x5t#S256", digest);
}

bool weir_claims_need_proof(const json_t *claims)
{
    return json_object_get(json_object_get(claims, "cnf"), "jkt") != NULL;
}

bool weir_claims_are_bound_to_key(const json_t *claims, const uint8_t digest[WEIR_CLAIMS_DIGEST])
{
    return is_digest(claims, "jkt", digest);
}
