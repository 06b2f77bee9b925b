// needs: backend/identity/verify.c backend/http/caller/identity.c backend/log/alloc.c
// needs: backend/log/log.c
// needs: common/problem.c common/ids/random.c common/token/sign.c common/token/signature.c
// needs: common/token/base64url.c common/token/json.c common/token/token.c common/token/claims.c
// needs: common/token/key/jwks.c common/token/key/jwk.c common/token/key/algorithm.c
// uses: jansson libcrypto libevent
/*
 * Identities: the first line is the method, the second one the path, and the rest a token; or, if
 * it begins with "{", claims that the edge has signed. A token that nobody has signed is not
 * accepted; one that is accepted is bound to the request, and its caller has no scope without an
 * issuer.
 */
#include "common/token/sign.h"
#include "identity/verify.h"

#include <assert.h>
#include <stdlib.h>

#define NOW 1000000
#define CLAIMS_MAX 4096

/* RFC 8037 appendix A.1, in PKCS #8 */
static const char key[] = "-----BEGIN PRIVATE KEY-----\n"
                          "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
                          "-----END PRIVATE KEY-----\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static weir_signer_t signer;
static weir_verifier_t *verifier;

static void begin(void)
{
    const weir_signer_t *list = &signer;
    char set[WEIR_SIGN_JWK_MAX + 32], why[WEIR_JWKS_WHY_MAX];
    const char *wrong = weir_signer_read(&signer, weir_str(key));
    size_t len = weir_signer_jwks(&list, 1, set, sizeof(set));
    bool good;

    verifier = weir_verifier_new("weir", "shop", "");
    good = weir_verifier_keys(verifier, (weir_str_t){set, len}, why);
    assert(wrong == NULL && good);
}

/* The line at *at, without its end, with a NUL; for free(). */
static char *line(const uint8_t **at, const uint8_t *end)
{
    size_t left = (size_t)(end - *at);
    const uint8_t *newline = left > 0 ? memchr(*at, '\n', left) : NULL;
    size_t len = newline != NULL ? (size_t)(newline - *at) : left;
    char *text = malloc(len + 1);

    assert(text != NULL);
    if (len > 0)
        memcpy(text, *at, len);
    text[len] = '\0';
    *at += len + (newline != NULL);

    return text;
}

static void check(weir_str_t token, const char *method, const char *path, bool is_signed)
{
    weir_identity_t *first, *second, *other;
    weir_verdict_t verdict =
        weir_verifier_check(verifier, token, method, weir_str(path), NOW, &first);

    /* the same from memory */
    assert(weir_verifier_check(verifier, token, method, weir_str(path), NOW, &second) == verdict);
    assert((first != NULL) == (verdict == WEIR_VERDICT_ACCEPTED) && first == second);
    if (first != NULL) {
        assert(is_signed);
        assert(*first->subject != '\0');
        assert(first->anonymous ? *first->scopes == '\0' && *first->issuer == '\0' : 1);
        assert(weir_verifier_check(verifier, token, "", weir_str(path), NOW, &other) !=
                   WEIR_VERDICT_ACCEPTED ||
               *method == '\0');
        weir_identity_drop(other);
    }
    weir_identity_drop(first);
    weir_identity_drop(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *at = data, *end = data + size;
    static char token[WEIR_SIGN_TOKEN_MAX(CLAIMS_MAX)];
    char *method, *path;
    size_t left;

    if (verifier == NULL)
        begin();
    method = line(&at, end);
    path = line(&at, end);
    left = (size_t)(end - at);

    if (left > 0 && *at == '{' && left <= CLAIMS_MAX) {
        weir_str_t claims = {(const char *)at, left};
        size_t len = weir_signer_token(&signer, WEIR_VERIFIER_TYPE, claims, token);

        assert(len > 0 && len <= sizeof(token));
        check((weir_str_t){token, len}, method, path, true);
    } else if (left > 0) {
        check((weir_str_t){(const char *)at, left}, method, path, false);
    }
    free(method);
    free(path);

    return 0;
}
