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

const char *weir_redis_url_parse(weir_redis_url_t *r, const char *url)
{
    const char *at, *end, *colon, *slash, *close;

    assert(url != NULL);
    *r = (weir_redis_url_t){.port = 6379};
    if (strncmp(url, "unix:", 5) == 0) {
        r->path = weir_alloc_text(url + 5);
        return url[5] == '/' ? NULL : "the path after unix: must start with /";
    }
    r->tls = strncmp(url, "rediss://", 9) == 0;
    if (!r->tls && strncmp(url, "redis://", 8) != 0)
        return "the URL must start with redis://, rediss:// or unix:/";
    url += r->tls ? 9 : 8;

    slash = strchr(url, '/');
    end = slash != NULL ? slash : url + strlen(url);
    at = memrchr(url, '@', (size_t)(end - url));
    if (at != NULL) {
        colon = memchr(url, ':', (size_t)(at - url));
        if (colon == NULL)
            return "user:password is expected before @";
        r->user = colon > url ? decode(url, (size_t)(colon - url)) : NULL;
        r->password = decode(colon + 1, (size_t)(at - colon - 1));
        if (r->password == NULL || (colon > url && r->user == NULL))
            return "a % in user or password must be followed by two hexadecimal digits";
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
