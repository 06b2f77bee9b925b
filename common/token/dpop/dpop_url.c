/* URLs written in one way; see dpop_url.h. */

#include "common/token/dpop/dpop_url.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* RFC 3986 section 2.3 */
static bool is_unreserved(char c)
{
    return (lower(c) >= 'a' && lower(c) <= 'z') || is_digit(c) || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

/* The value of a hexadecimal digit, or -1. */
static int hex(char c)
{
    if (is_digit(c))
        return c - '0';

    c = lower(c);

    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool begins_with(weir_str_t text, weir_str_t prefix)
{
    return text.len >= prefix.len && weir_str_caseeq((weir_str_t){text.data, prefix.len}, prefix);
}

/* Scheme and "://" behind *url, in lower case; the port that is left out. */
static char *put_scheme(weir_str_t *url, char *out, unsigned *port)
{
    static const struct {
        weir_str_t text;
        unsigned port;
    } schemes[] = {{{"http://", 7}, 80}, {{"https://", 8}, 443}};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t len = schemes[i].text.len;

        if (!begins_with(*url, schemes[i].text))
            continue;

        *port = schemes[i].port;
        url->data += len;
        url->len -= len;
        memcpy(out, schemes[i].text.data, len);
        return out + len;
    }

    return NULL;
}

/* The end of a host's text: a name, an address, or an address of IPv6 in brackets. */
static const char *end_of_host(const char *p, const char *end)
{
    if (p < end && *p == '[') {
        for (p++; p < end && (hex(*p) >= 0 || *p == ':' || *p == '.'); p++)
            ;
        return p < end && *p == ']' ? p + 1 : NULL;
    }

    while (p < end && is_unreserved(*p))
        p++;

    return p;
}

/* ":" and a number, which may be absent; NULL if it is none. */
static char *put_port(char *out, const char *p, const char *end, unsigned left_out)
{
    unsigned port = 0, divisor = 10000;

    if (p == end)
        return out;
    if (*p++ != ':')
        return NULL;
    if (p == end)
        return out;

    for (; p < end; p++) {
        if (!is_digit(*p) || port > 6553)
            return NULL;
        port = port * 10 + (unsigned)(*p - '0');
    }
    if (port == 0 || port > 65535)
        return NULL;
    if (port == left_out)
        return out;

    while (port / divisor == 0)
        divisor /= 10;
    for (*out++ = ':'; divisor > 0; divisor /= 10)
        *out++ = (char)('0' + port / divisor % 10);

    return out;
}

static char *put_authority(weir_str_t authority, char *out, unsigned port)
{
    const char *p = authority.data, *end = p + authority.len, *host = end_of_host(p, end);
    char *begin = out;

    if (host == NULL)
        return NULL;

    while (p < host)
        *out++ = lower(*p++);
    if (out > begin && out[-1] == '.')
        out--;
    if (out == begin || out[-1] == '.')
        return NULL;

    return put_port(out, host, end, port);
}

/* One character of a path, decoded if it needs no escape; NULL if it may not be there. */
static char *put_char(const char **at, const char *end, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *p = *at;
    int high, low;
    char c;

    if (*p != '%') {
        if ((unsigned char)*p <= 0x20 || *p == 0x7f)
            return NULL;
        *out++ = *p;
        *at = p + 1;
        return out;
    }

    if (end - p < 3 || (high = hex(p[1])) < 0 || (low = hex(p[2])) < 0)
        return NULL;
    *at = p + 3;
    c = (char)(high << 4 | low);

    if (is_unreserved(c)) {
        *out++ = c;
    } else {
        *out++ = '%';
        *out++ = digits[high];
        *out++ = digits[low];
    }

    return out;
}

/*
 * RFC 3986 section 5.2.4: out is behind a segment that began at *segment, behind its "/". Returns
 * where the next one begins.
 */
static char *end_segment(char *path, char *segment, char *out, bool is_last)
{
    size_t len = (size_t)(out - segment);

    if (len == 1 && segment[0] == '.')
        return segment;

    if (len == 2 && segment[0] == '.' && segment[1] == '.') {
        if (segment - 1 == path)
            return segment;
        for (segment--; segment[-1] != '/'; segment--)
            ;
        return segment;
    }

    if (!is_last)
        *out++ = '/';

    return out;
}

/* The path, which begins with "/"; NULL: a character may not be there. */
static char *put_path(weir_str_t text, char *out)
{
    const char *p = text.data, *end = p + text.len;
    char *path = out, *segment;

    *out++ = '/';
    segment = out;
    if (p < end)
        p++;

    while (p < end) {
        if (*p == '/') {
            out = segment = end_segment(path, segment, out, false);
            p++;
            continue;
        }
        out = put_char(&p, end, out);
        if (out == NULL)
            return NULL;
    }

    return end_segment(path, segment, out, true);
}

bool weir_dpop_url(weir_str_t url, char *out, size_t *len, size_t *origin)
{
    char *p = out;
    size_t n = 0;
    unsigned port;

    p = put_scheme(&url, p, &port);
    if (p == NULL)
        return false;

    while (n < url.len && url.data[n] != '/' && url.data[n] != '?' && url.data[n] != '#')
        n++;
    p = put_authority((weir_str_t){url.data, n}, p, port);
    if (p == NULL)
        return false;
    *origin = (size_t)(p - out);

    url.data += n;
    url.len -= n;
    for (n = 0; n < url.len && url.data[n] != '?' && url.data[n] != '#'; n++)
        ;
    p = put_path((weir_str_t){url.data, n}, p);
    if (p == NULL)
        return false;
    *len = (size_t)(p - out);

    return true;
}
