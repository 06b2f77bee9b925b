// needs: common/token/dpop/dpop.c common/token/dpop/dpop_url.c common/token/dpop/dpop_nonce.c
// needs: common/token/token.c common/token/claims.c common/token/signature.c
// needs: common/token/base64url.c common/token/json.c common/token/key/thumbprint.c
// needs: common/token/key/jwks.c common/token/key/jwk.c common/token/key/algorithm.c
// needs: common/hash/blake2b.c
// uses: jansson libcrypto
/*
 * Proofs of any bytes, and URLs. If the input has a line feed, header and payload of the proof are
 * the JSON in its two lines; else it is a proof, and a URL.
 */
#include "common/token/base64url.h"
#include "common/token/dpop/dpop.h"
#include "common/token/dpop/dpop_nonce.h"
#include "common/token/dpop/dpop_url.h"
#include "budget.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {60000, 400, 400000, 400};

static const weir_str_t origins[] = {{"https://a", 9}};

/* What is written in one way stays as it is. */
static void check_url(weir_str_t url)
{
    char *once = malloc(WEIR_DPOP_URL_MAX(url.len)), *twice;
    size_t len, again, origin, same;

    assert(once != NULL);
    if (weir_dpop_url(url, once, &len, &origin)) {
        assert(len <= WEIR_DPOP_URL_MAX(url.len) && origin < len && once[origin] == '/');
        twice = malloc(WEIR_DPOP_URL_MAX(len));
        assert(twice != NULL && weir_dpop_url((weir_str_t){once, len}, twice, &again, &same));
        assert(weir_str_eq((weir_str_t){once, len}, (weir_str_t){twice, again}));
        assert(same == origin);
        free(twice);
    }
    free(once);
}

static void check(weir_str_t text)
{
    uint8_t secret[WEIR_DPOP_NONCE_SECRET] = {7};
    weir_dpop_request_t request = {.algorithms = WEIR_TOKEN_ALL_ALGORITHMS,
                                   .window = 60,
                                   .method = WEIR_STR("GET"),
                                   .origins = origins,
                                   .n_origins = 1,
                                   .path = WEIR_STR("/"),
                                   .token = WEIR_STR("t")};
    weir_token_reason_t reason;
    json_t *claims;
    weir_dpop_t dpop;

    if (weir_dpop_parse(text, &dpop) != WEIR_TOKEN_OK) {
        assert(dpop.token.claims == NULL && dpop.url.data == NULL);
        return;
    }

    assert(dpop.jti.len > 0 && dpop.jti.len <= WEIR_DPOP_JTI_MAX && dpop.url.len > 0);
    claims = json_pack("{s:{s:s}}", "cnf", "jkt", "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    reason = weir_dpop_check(&dpop, &request, claims, 1562262618);
    assert(reason == WEIR_TOKEN_OK || reason >= WEIR_TOKEN_PROOF_MISSING);
    assert(weir_dpop_verify(&dpop) >= WEIR_TOKEN_PROOF_MISSING);
    assert(weir_dpop_nonce_age(secret, dpop.nonce, 1) < 0);
    json_decref(claims);
    weir_dpop_release(&dpop);
}

static void run(const uint8_t *data, size_t size)
{
    const uint8_t *line = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t first = line != NULL ? (size_t)(line - data) : size;
    char *text = malloc(2 * size + 128), *end;

    assert(text != NULL);
    if (line == NULL) {
        memcpy(text, data, size);
        check((weir_str_t){text, size});
        check_url((weir_str_t){text, size});
    } else {
        end = weir_base64url_encode(text, data, first);
        *end++ = '.';
        end = weir_base64url_encode(end, line + 1, size - first - 1);
        *end++ = '.';
        memset(end, 'A', 86);
        check((weir_str_t){text, (size_t)(end - text) + 86});
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);

    return 0;
}
