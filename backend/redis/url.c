#include "redis/url.h"

#include "common/text/hex.h"
#include "log/alloc.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A percent-decoded copy (RFC 3986 section 2.1); NULL when the text is malformed. */
static char *decode(const char *s, size_t len)
{
    char *out = weir_alloc(len + 1), *p = out;

    for (size_t i = 0; i < len; i++) {
        if (s[i] != '%') {
            *p++ = s[i];
        } else if (i + 2 < len && weir_unhex(s[i + 1], 1) >= 0 && weir_unhex(s[i + 2], 1) >= 0) {
            *p++ = (char)(weir_unhex(s[i + 1], 1) * 16 + weir_unhex(s[i + 2], 1));
            i += 2;
        } else {
            free(out);
            return NULL;
        }
    }
    *p = '\0';
    return out;
}

/* Parses [s, end) as a decimal number of at most max. */
static bool number(const char *s, const char *end, int max, int *value)
{
    int n = 0;

    assert(s <= end && max >= 0);
    if (s == end)
        return false;
    for (; s < end; s++) {
        if (*s < '0' || *s > '9' || (n = n * 10 + (*s - '0')) > max)
            return false;
    }
    *value = n;
    return true;
}

/* The text before the @. Returns NULL, or what is wrong. */
static const char *parse_user(weir_redis_url_t *r, const char *text, const char *at)
{
    const char *colon = memchr(text, ':', (size_t)(at - text));

    if (colon == NULL)
        return "user:password is expected before @";
    r->user = colon > text ? decode(text, (size_t)(colon - text)) : NULL;
    r->password = decode(colon + 1, (size_t)(at - colon - 1));

    return r->password != NULL && (colon == text || r->user != NULL)
               ? NULL
               : "a % in user or password must be followed by two hexadecimal digits";
}

/* What follows unix: a path, or //USER:PASSWORD@ and a path. */
static const char *parse_socket(weir_redis_url_t *r, const char *text)
{
    const char *at = strncmp(text, "//", 2) == 0 ? strchr(text, '@') : NULL, *why = NULL;

    if (at != NULL) {
        why = parse_user(r, text + 2, at);
        text = at + 1;
    }
    r->path = weir_alloc_text(text);
    if (why != NULL)
        return why;

    return *text == '/' ? NULL : "the path after unix: must start with /";
}

const char *weir_redis_url_parse(weir_redis_url_t *r, const char *url)
{
    const char *at, *end, *colon, *slash, *close, *why;

    assert(url != NULL);
    *r = (weir_redis_url_t){.port = 6379};
    if (strncmp(url, "unix:", 5) == 0)
        return parse_socket(r, url + 5);
    r->tls = strncmp(url, "rediss://", 9) == 0;
    if (!r->tls && strncmp(url, "redis://", 8) != 0)
        return "the URL must start with redis://, rediss:// or unix:/";
    url += r->tls ? 9 : 8;

    slash = strchr(url, '/');
    end = slash != NULL ? slash : url + strlen(url);
    at = memrchr(url, '@', (size_t)(end - url));
    if (at != NULL) {
        why = parse_user(r, url, at);
        if (why != NULL)
            return why;
        url = at + 1;
    }

    if (*url == '[') { /* an IPv6 address, RFC 3986 section 3.2.2 */
        close = memchr(url, ']', (size_t)(end - url));
        if (close == NULL)
            return "the ] after the address is missing";
        r->host = weir_alloc_bytes(url + 1, (size_t)(close - url - 1));
        colon = close + 1 < end && close[1] == ':' ? close + 1 : NULL;
        if (colon == NULL && close + 1 != end)
            return "only :port may follow the ]";
    } else {
        colon = memchr(url, ':', (size_t)(end - url));
        r->host = weir_alloc_bytes(url, (size_t)((colon != NULL ? colon : end) - url));
    }
    if (*r->host == '\0')
        return "the host is missing";
    if (colon != NULL && (!number(colon + 1, end, 65535, &r->port) || r->port == 0))
        return "the port must be a number from 1 to 65535";
    if (slash != NULL && slash[1] != '\0' &&
        !number(slash + 1, slash + strlen(slash), 1000000, &r->db))
        return "the database after the / must be a number";
    return NULL;
}

void weir_redis_url_clear(weir_redis_url_t *r)
{
    free(r->path);
    free(r->host);
    free(r->user);
    free(r->password);
    *r = (weir_redis_url_t){0};
}
