#include "tls/names.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#define SCHEME "spiffe://"
#define SCHEME_LEN (sizeof(SCHEME) - 1)

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Letters, digits and hyphens, with dots between the labels (RFC 1034 section 3.5). */
static bool is_host(const char *s, size_t len)
{
    size_t label = 0;

    if (len == 0 || len > WEIR_TLS_HOST_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        bool ends = i + 1 == len || s[i + 1] == '.';

        if (s[i] == '.') {
            if (label == 0)
                return false;
            label = 0;
            continue;
        }
        if (!is_letter_or_digit(s[i]) && (s[i] != '-' || label == 0 || ends))
            return false;
        if (++label > 63)
            return false;
    }

    return label > 0;
}

/* SPIFFE-ID section 2.1: small letters, digits, dots, hyphens and underscores. */
static bool is_domain(const char *s, size_t len)
{
    if (len == 0 || len > WEIR_TLS_DOMAIN_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if ((s[i] < 'a' || s[i] > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '.' &&
            s[i] != '-' && s[i] != '_')
            return false;
    }

    return true;
}

/* SPIFFE-ID section 2.2: no empty segment, no dot segment. */
static bool is_segment(const char *s, size_t len)
{
    if (len == 0 || (len <= 2 && strncmp(s, "..", len) == 0))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!is_letter_or_digit(s[i]) && s[i] != '.' && s[i] != '-' && s[i] != '_')
            return false;
    }

    return true;
}

/* A SPIFFE ID with a path: without one it is the trust domain, which is no workload. */
static bool is_spiffe(const char *s, size_t len)
{
    const char *end = s + len, *slash, *next;

    if (len > WEIR_TLS_NAME_MAX || len <= SCHEME_LEN || memcmp(s, SCHEME, SCHEME_LEN) != 0)
        return false;
    slash = memchr(s + SCHEME_LEN, '/', len - SCHEME_LEN);
    if (slash == NULL || !is_domain(s + SCHEME_LEN, (size_t)(slash - s) - SCHEME_LEN))
        return false;
    for (; slash < end; slash = next) {
        next = memchr(slash + 1, '/', (size_t)(end - slash) - 1);
        if (next == NULL)
            next = end;
        if (!is_segment(slash + 1, (size_t)(next - slash) - 1))
            return false;
    }

    return true;
}

/* --- the list ------------------------------------------------------------------------------ */

static const char *read_name(weir_tls_name_t *name, const char *s, size_t len)
{
    *name = (weir_tls_name_t){.text = s, .len = len};
    if (len < SCHEME_LEN || strncmp(s, SCHEME, SCHEME_LEN) != 0)
        return is_host(s, len) ? NULL
                               : "must be spiffe://DOMAIN/PATH, spiffe://DOMAIN/PATH/* or a DNS "
                                 "name without a wildcard";
    name->is_uri = true;
    if (s[len - 1] == '*') {
        name->is_prefix = true;
        name->len--;
        if (s[len - 2] != '/' || !is_domain(s + SCHEME_LEN, strcspn(s + SCHEME_LEN, "/")))
            return "must have a whole segment of the path in the place of its star, "
                   "spiffe://DOMAIN/PATH/*";
        if (strcspn(s + SCHEME_LEN, "/") == len - 2 - SCHEME_LEN || is_spiffe(s, len - 2))
            return NULL;
    } else if (is_spiffe(s, len)) {
        return NULL;
    }

    return "is no SPIFFE ID: it must be spiffe://DOMAIN/PATH, the domain in small letters, each "
           "segment of the path of letters, digits, dots, hyphens and underscores";
}

const char *weir_tls_names_read(weir_tls_names_t *names, const char *text, const char **wrong,
                                size_t *wrong_len)
{
    static const char between[] = ", \t";
    const char *s, *why;

    assert(text != NULL && wrong != NULL && wrong_len != NULL);
    names->n = 0;
    s = text;
    while (*(s += strspn(s, between)) != '\0') {
        *wrong = s;
        *wrong_len = strcspn(s, between);
        if (names->n == WEIR_TLS_NAMES_MAX)
            return "is one name too many: there may be 64";
        why = read_name(&names->of[names->n], s, *wrong_len);
        if (why != NULL)
            return why;
        names->n++;
        s += *wrong_len;
    }
    *wrong = text;
    *wrong_len = strlen(text);

    return names->n > 0 ? NULL : "must have at least one name";
}

/* --- names of certificates ------------------------------------------------------------------ */

bool weir_tls_names_have_uri(const weir_tls_names_t *names, const char *uri, size_t len)
{
    if (!is_spiffe(uri, len))
        return false;
    for (size_t i = 0; i < names->n; i++) {
        const weir_tls_name_t *name = &names->of[i];

        if (name->is_uri && (name->is_prefix ? len > name->len : len == name->len) &&
            memcmp(uri, name->text, name->len) == 0)
            return true;
    }

    return false;
}

bool weir_tls_names_have_dns(const weir_tls_names_t *names, const char *host, size_t len)
{
    if (!is_host(host, len))
        return false;
    for (size_t i = 0; i < names->n; i++) {
        const weir_tls_name_t *name = &names->of[i];

        if (!name->is_uri && len == name->len && strncasecmp(host, name->text, len) == 0)
            return true;
    }

    return false;
}
