// needs: common/token/token.c common/token/claims.c common/token/signature.c
// needs: common/token/base64url.c common/token/json.c
// needs: common/token/key/jwks.c common/token/key/jwk.c common/token/key/algorithm.c
// uses: jansson libcrypto
/*
 * Tokens of any bytes; none is signed with the issuer's keys, so none may be good. If the input has
 * a line feed, header and payload are the JSON in its two lines.
 */
#include "common/token/claims.h"
#include "common/token/token.h"
#include "budget.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {60000, 400, 200000, 200};

static const char keys[] = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\","
                           "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

static const weir_str_t audiences[] = {{"api", 3}};

static weir_token_issuer_t issuer;

static size_t encode(char *out, const uint8_t *data, size_t size)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned bits = 0, count = 0;
    size_t n = 0;

    for (size_t i = 0; i < size; i++) {
        bits = bits << 8 | data[i];
        for (count += 8; count >= 6; count -= 6)
            out[n++] = alphabet[bits >> (count - 6) & 63];
    }
    if (count > 0)
        out[n++] = alphabet[bits << (6 - count) & 63];

    return n;
}

/* A text of a claim has no character that ends a header line. */
static void check_texts(const weir_token_t *token)
{
    const json_t *claim;
    const char *name;
    char *text;
    size_t len;

    json_object_foreach((json_t *)(uintptr_t)token->claims, name, claim)
    {
        if (!weir_claim_text(claim, &text, &len))
            continue;
        for (size_t i = 0; i < len; i++)
            assert((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
        (void)weir_claim_has(token->claims, name, (weir_str_t){text, len});
        free(text);
    }
    (void)weir_claims_have_scope(token->claims, WEIR_STR("read"));
}

static void check(weir_str_t text)
{
    int64_t now = 1795564800, expires;
    weir_token_t token;

    if (weir_token_parse(text, &token) != WEIR_TOKEN_OK) {
        assert(token.claims == NULL && token.header == NULL && token.buffer == NULL);
        return;
    }

    assert(token.signed_text.data == text.data && token.signed_text.len < text.len);
    assert(text.data[token.signed_text.len] == '.');
    check_texts(&token);
    if (weir_token_check(&token, &issuer, now, &expires) == WEIR_TOKEN_OK) {
        assert(expires > now && expires - issuer.leeway <= (int64_t)1 << 53);
        assert(weir_token_verify(&token, &issuer) != WEIR_TOKEN_OK);
    }
    weir_token_release(&token);
}

static void run(const uint8_t *data, size_t size)
{
    const uint8_t *line = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t first = line != NULL ? (size_t)(line - data) : size;
    char *text = malloc(2 * size + 128);
    size_t len;

    assert(text != NULL);
    if (line == NULL) {
        memcpy(text, data, size);
        check((weir_str_t){text, size});
    } else {
        len = encode(text, data, first);
        text[len++] = '.';
        len += encode(text + len, line + 1, size - first - 1);
        text[len++] = '.';
        memset(text + len, 'A', 86);
        check((weir_str_t){text, len + 86});
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[WEIR_JWKS_WHY_MAX];

    if (issuer.keys.keys == NULL) {
        issuer = (weir_token_issuer_t){.issuer = WEIR_STR("i"),
                                       .audiences = audiences,
                                       .n_audiences = 1,
                                       .algorithms = WEIR_TOKEN_ALL_ALGORITHMS,
                                       .leeway = 30};
        if (!weir_jwks_parse(weir_str(keys), &issuer.keys, why))
            abort();
    }
    budget_check(run, data, size, &budget);

    return 0;
}
