#include "http/signature.h"

#include "log/alloc.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>

#define MAC_LEN 32
#define SIGNATURES_MAX 16 /* in a field; further ones are ignored */

bool weir_secret_parse(const char *text, weir_secret_t *secret)
{
    unsigned char bytes[WEIR_SECRET_MAX + 8];
    size_t len;
    int n;

    if (strncmp(text, "whsec_", 6) != 0)
        return false;
    text += 6;
    len = strlen(text);
    if (len == 0 || len % 4 != 0 || len > (WEIR_SECRET_MAX + 2) / 3 * 4)
        return false;
    n = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)len);
    if (n < 0)
        return false;
    n -= (text[len - 1] == '=') + (text[len - 2] == '='); /* decoded as zeros */
    if (n < WEIR_SECRET_MIN || n > WEIR_SECRET_MAX)
        return false;
    memcpy(secret->bytes, bytes, (size_t)n);
    secret->len = (size_t)n;
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return true;
}

void weir_signature_make(const weir_secret_t *secret, const char *id, const char *timestamp,
                         weir_str_t body, char out[WEIR_SIGNATURE_LEN + 1])
{
    size_t id_len = strlen(id), time_len = strlen(timestamp),
           len = id_len + time_len + body.len + 2;
    unsigned char mac[MAC_LEN], *text = weir_alloc(len);
    unsigned mac_len = 0;

    assert(secret->len <= WEIR_SECRET_MAX);
    memcpy(text, id, id_len);
    text[id_len] = '.';
    memcpy(text + id_len + 1, timestamp, time_len);
    text[id_len + 1 + time_len] = '.';
    if (body.len > 0)
        memcpy(text + id_len + time_len + 2, body.data, body.len);
    weir_alloc_check(HMAC(EVP_sha256(), secret->bytes, (int)secret->len, text, len, mac, &mac_len));
    assert(mac_len == MAC_LEN);
    free(text);
    memcpy(out, "v1,", 3);
    EVP_EncodeBlock((unsigned char *)out + 3, mac, MAC_LEN); /* also writes the NUL */
}

/* True when one of the signatures is the wanted one. Always compares all of them. */
static bool contains(const char *signatures, const char *wanted)
{
    int found = 0;

    assert(signatures != NULL && strlen(wanted) == WEIR_SIGNATURE_LEN);
    for (int i = 0; i < SIGNATURES_MAX; i++) {
        size_t len;

        signatures += strspn(signatures, " ");
        len = strcspn(signatures, " ");
        if (len == 0)
            break;
        found |= len == WEIR_SIGNATURE_LEN && CRYPTO_memcmp(signatures, wanted, len) == 0;
        signatures += len;
    }
    return found != 0;
}

/* Parses seconds, digits only; -1 when the text has another form. */
static int64_t seconds(const char *s)
{
    size_t len = strlen(s);

    if (len == 0 || len > 12)
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)s[i]))
            return -1;
    }
    return strtoll(s, NULL, 10);
}

static bool is_id(const char *id)
{
    size_t len = strlen(id);

    for (size_t i = 0; i < len; i++) {
        if (id[i] <= ' ' || id[i] > '~')
            return false;
    }
    return len > 0 && len <= WEIR_SIGNATURE_ID_MAX;
}

const char *weir_signature_check(const weir_secret_t *secrets, size_t count, const char *id,
                                 const char *timestamp, const char *signatures, weir_str_t body,
                                 int64_t now)
{
    bool found = false;
    int64_t at;

    if (id == NULL || timestamp == NULL || signatures == NULL)
        return "The message is not signed: webhook-id, webhook-timestamp or webhook-signature is "
               "missing.";
    if (!is_id(id))
        return "webhook-id must have 1 to 256 visible ASCII characters.";
    at = seconds(timestamp);
    if (at < 0)
        return "webhook-timestamp must be a number of seconds since 1970.";

    for (size_t i = 0; i < count; i++) {
        char wanted[WEIR_SIGNATURE_LEN + 1];

        if (secrets[i].len == 0)
            continue;
        weir_signature_make(&secrets[i], id, timestamp, body, wanted);
        found |= contains(signatures, wanted);
    }
    if (!found)
        return "No signature in webhook-signature fits the message and our secret.";
    if (at < now - WEIR_SIGNATURE_TOLERANCE_S || at > now + WEIR_SIGNATURE_TOLERANCE_S)
        return "webhook-timestamp is more than 5 minutes away from our clock.";
    return NULL;
}
