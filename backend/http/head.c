#include "http/head.h"

#include "common/text/token.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#define METHOD_MAX 32

bool weir_is_value(unsigned char c)
{
    return (c >= ' ' && c != 0x7f) || c == '\t';
}

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

void weir_head_init(weir_head_t *h)
{
    /* The elements of fields after n_fields are never read. */
    memset(h, 0, offsetof(weir_head_t, fields));
    memset((char *)h + offsetof(weir_head_t, n_fields), 0,
           sizeof(*h) - offsetof(weir_head_t, n_fields));
}

static bool wrong(weir_head_t *h, int status, const char *why)
{
    assert(status >= 400 && why != NULL);
    h->status = status;
    h->why = why;

    return false;
}

/* --- the request line (RFC 9112 section 3) ------------------------------------------------ */

/* uri-host [ ":" port ] (RFC 9110 section 7.2), without user information. */
static bool is_authority(const char *p, const char *end)
{
    const char *start = p;

    if (p < end && *p == '[') {
        p++;
        while (p < end && (isxdigit((unsigned char)*p) || *p == ':' || *p == '.'))
            p++;
        if (p == end || p == start + 1 || *p++ != ']')
            return false;
    } else {
        while (p < end && (weir_is_tchar(*p) || strchr("(),;=", *p) != NULL))
            p++;
        if (p == start)
            return false;
    }

    if (p == end)
        return true;
    if (*p++ != ':' || end - p > 5)
        return false;
    while (p < end && is_digit((unsigned char)*p))
        p++;

    return p == end;
}

static bool is_options(const weir_head_t *h)
{
    return strcmp(h->text + h->method, "OPTIONS") == 0;
}

/* Scheme and authority of an absolute URI (section 3.2.2), which a server has to accept. */
static bool skip_authority(char **p, const char *end)
{
    char *start, *q = *p;

    if (end - q > 7 && strncasecmp(q, "http://", 7) == 0)
        q += 7;
    else if (end - q > 8 && strncasecmp(q, "https://", 8) == 0)
        q += 8;
    else
        return false;

    start = q;
    while (q < end && *q != '/' && *q != '?')
        q++;
    *p = q;

    return is_authority(start, q);
}

/* end points to the blank after the target. */
static bool read_target(weir_head_t *h, char *text, char *p, char *end)
{
    char *question;

    assert(p <= end && *end == ' ');
    /* A URI has no bytes above ASCII either, but clients send them and nginx forwards them. */
    for (char *q = p; q < end; q++) {
        if ((unsigned char)*q <= ' ' || *q == 0x7f || *q == '#')
            return wrong(h, 400, "The request target has a character that a URI cannot have.");
    }

    if (end - p == 1 && *p == '*') {
        if (!is_options(h))
            return wrong(h, 400, "Only OPTIONS has the request target \"*\".");
    } else if (*p == '/' || skip_authority(&p, end)) {
        question = memchr(p, '?', (size_t)(end - p));
        if (question != NULL)
            h->query = (uint16_t)(question + 1 - text);
        if (p < end && *p == '/')
            h->path = (uint16_t)(p - text);
        if (question != NULL)
            *question = '\0';
    } else {
        return wrong(h, 400, "The request target is neither a path nor an http URI.");
    }
    *end = '\0';

    return true;
}

static bool read_version(weir_head_t *h, const char *p, size_t len)
{
    if (len != 8 || memcmp(p, "HTTP/", 5) != 0 || !is_digit((unsigned char)p[5]) || p[6] != '.' ||
        !is_digit((unsigned char)p[7]))
        return wrong(h, 400, "The request line does not end with a version like HTTP/1.1.");
    if (p[5] != '1')
        return wrong(h, 505, "This server speaks HTTP/1.1 and HTTP/1.0 only.");
    h->minor = p[7] - '0';

    return true;
}

/* start to end, without CR LF. */
static bool read_request_line(weir_head_t *h, char *text, char *start, char *end)
{
    char *p = start, *target, *blank;

    assert(!h->has_line && start <= end);
    while (p < end && weir_is_tchar(*p))
        p++;
    if (p == start || p == end || *p != ' ')
        return wrong(h, 400, "The request line does not begin with a method and one blank.");
    target = p + 1;
    blank = memchr(target, ' ', (size_t)(end - target));
    if (blank == NULL || blank == target)
        return wrong(h, 400, "The request line is not a method, a target and a version.");
    if (!read_version(h, blank + 1, (size_t)(end - blank - 1)))
        return false;
    if (p - start > METHOD_MAX)
        return wrong(h, 501, "This server knows no method of that length.");

    *p = '\0';
    h->method = (uint16_t)(start - text);
    h->has_line = true;
    if (strcmp(start, "CONNECT") == 0)
        return wrong(h, 501, "This server makes no tunnels.");

    return read_target(h, text, target, blank);
}

/* --- fields (RFC 9112 section 5) ---------------------------------------------------------- */

static bool read_length(weir_head_t *h, const char *p)
{
    if (h->framing == WEIR_BODY_LENGTH)
        return wrong(h, 400, "The field Content-Length is given twice.");
    if (*p == '\0')
        return wrong(h, 400, "Content-Length is empty.");
    for (; *p != '\0'; p++) {
        if (!is_digit((unsigned char)*p))
            return wrong(h, 400, "Content-Length must consist of digits only.");
        if (h->length > (UINT64_MAX - 9) / 10)
            return wrong(h, 413, "Content-Length is too large.");
        h->length = h->length * 10 + (uint64_t)(*p - '0');
    }
    if (h->framing == WEIR_BODY_CHUNKED)
        return wrong(h, 400, "A request has Content-Length or Transfer-Encoding, not both.");
    h->framing = WEIR_BODY_LENGTH;

    return true;
}

/* The last coding of a list, without whitespace around it and without its parameters. */
static weir_str_t last_coding(const char *list)
{
    const char *comma = strrchr(list, ','), *p = comma != NULL ? comma + 1 : list;

    p += strspn(p, " \t");

    return (weir_str_t){p, strcspn(p, " \t;")};
}

/* Section 6.3: chunked must be the last coding, and is the only one that this server supports. */
static bool read_coding(weir_head_t *h, const char *value)
{
    if (h->framing == WEIR_BODY_CHUNKED)
        return wrong(h, 400, "The field Transfer-Encoding is given twice.");
    if (h->framing == WEIR_BODY_LENGTH)
        return wrong(h, 400, "A request has Content-Length or Transfer-Encoding, not both.");
    if (h->minor == 0)
        return wrong(h, 400, "HTTP/1.0 has no Transfer-Encoding.");
    if (strcasecmp(value, "chunked") == 0) {
        h->framing = WEIR_BODY_CHUNKED;
        return true;
    }
    if (strncasecmp(value, "chunked", 7) == 0 ||
        !weir_str_caseeq(last_coding(value), WEIR_STR("chunked")))
        return wrong(h, 400, "The last transfer coding of a request must be one \"chunked\".");

    return wrong(h, 501, "This server knows no transfer coding but \"chunked\".");
}

static bool read_host(weir_head_t *h, const char *value, size_t len)
{
    if (h->has_host)
        return wrong(h, 400, "The field Host is given twice.");
    if (!is_authority(value, value + len))
        return wrong(h, 400, "Host is not a name or address with an optional port.");
    h->has_host = true;

    return true;
}

static bool read_connection(weir_head_t *h, const char *p)
{
    while (*p != '\0') {
        size_t len;

        p += strspn(p, " \t,");
        len = strcspn(p, " \t,");
        if (weir_str_caseeq((weir_str_t){p, len}, WEIR_STR("close")))
            h->close = true;
        if (weir_str_caseeq((weir_str_t){p, len}, WEIR_STR("keep-alive")))
            h->keep_alive = true;
        p += len;
    }

    return true;
}

static bool read_expect(weir_head_t *h, const char *value)
{
    if (h->minor == 0)
        return true; /* RFC 9110 section 10.1.1: ignored in HTTP/1.0 */
    if (strcasecmp(value, "100-continue") != 0)
        return wrong(h, 417, "The only expectation that can be met is 100-continue.");
    h->expects_continue = true;

    return true;
}

/*
 * Fields that a request may have only once: with two of them, a handler might read another one than
 * a proxy has checked.
 */
static bool read_singleton(weir_head_t *h, const char *name, size_t len)
{
    static const weir_str_t singletons[] = {
        WEIR_STR("Idempotency-Key"), WEIR_STR("Authorization"), WEIR_STR("Content-Type"),
        WEIR_STR("API-Version"),     WEIR_STR("webhook-id"),    WEIR_STR("webhook-timestamp"),
    };

    for (unsigned i = 0; i < sizeof(singletons) / sizeof(singletons[0]); i++) {
        if (!weir_str_caseeq((weir_str_t){name, len}, singletons[i]))
            continue;
        if (h->singletons & 1u << i)
            return wrong(h, 400,
                         "A field of which a request has only one is given twice: one of "
                         "Idempotency-Key, Authorization, Content-Type, API-Version, webhook-id, "
                         "webhook-timestamp.");
        h->singletons |= 1u << i;
    }

    return true;
}

/* Fields that set the end of the message, or the use of its connection. */
static bool read_known_field(weir_head_t *h, const char *name, size_t name_len, const char *value,
                             size_t len)
{
    if (strcasecmp(name, "Content-Length") == 0)
        return read_length(h, value);
    if (strcasecmp(name, "Transfer-Encoding") == 0)
        return read_coding(h, value);
    if (strcasecmp(name, "Host") == 0)
        return read_host(h, value, len);
    if (strcasecmp(name, "Connection") == 0)
        return read_connection(h, value);
    if (strcasecmp(name, "Expect") == 0)
        return read_expect(h, value);

    return read_singleton(h, name, name_len);
}

static bool read_field(weir_head_t *h, char *text, char *start, char *end)
{
    char *p = start, *value;

    assert(h->has_line && start <= end);
    if (weir_is_ows(*p))
        return wrong(h, 400, "A field's value goes on in a second line.");
    while (p < end && weir_is_tchar(*p))
        p++;
    if (p == end || *p != ':' || p == start)
        return wrong(h, 400, "A field is not a name, directly followed by a colon, and a value.");
    if (h->n_fields == WEIR_HEAD_FIELDS_MAX)
        return wrong(h, 431, "The request has too many fields.");

    value = p + 1;
    *p = '\0';
    while (value < end && weir_is_ows(*value))
        value++;
    while (end > value && weir_is_ows(end[-1]))
        end--;
    for (const char *q = value; q < end; q++) {
        if (!weir_is_value((unsigned char)*q))
            return wrong(h, 400, "A field's value has a control character.");
    }
    *end = '\0';

    h->fields[h->n_fields++] = (weir_field_t){(uint16_t)(start - text), (uint16_t)(p - start),
                                              (uint16_t)(value - text), (uint16_t)(end - value)};

    return read_known_field(h, start, (size_t)(p - start), value, (size_t)(end - value));
}

/* --- the whole ---------------------------------------------------------------------------- */

static bool check_whole(weir_head_t *h)
{
    if (!h->has_host && h->minor > 0)
        return wrong(h, 400, "The field Host is missing.");
    if (strcmp(weir_head_method(h), "TRACE") == 0 && h->framing != WEIR_BODY_NONE)
        return wrong(h, 400, "A TRACE has no content.");

    return true;
}

/* True when the incomplete line cannot become a valid one. */
static bool is_hopeless(weir_head_t *h, const char *text, size_t len)
{
    if (!h->has_line && len > 0 && !weir_is_tchar(text[0]))
        return !wrong(h, 400, "The request does not begin with a method.");
    if (!h->has_line && len > WEIR_HEAD_LINE_MAX)
        return !wrong(h, 414, "The request line is too long.");
    if (len >= WEIR_HEAD_MAX)
        return !wrong(h, 431, "The request's head is too large.");

    return false;
}

weir_head_result_t weir_head_parse(weir_head_t *h, char *text, size_t len)
{
    assert(text != NULL || len == 0);
    assert(h->len <= h->searched && h->searched <= len);
    h->text = text;

    for (;;) {
        size_t end = len < WEIR_HEAD_MAX ? len : WEIR_HEAD_MAX;
        char *lf = memchr(text + h->searched, '\n', end - h->searched), *line = text + h->len;

        h->searched = end;
        if (lf == NULL)
            return is_hopeless(h, text, len) ? WEIR_HEAD_WRONG : WEIR_HEAD_PARTIAL;
        if (lf == line || lf[-1] != '\r') {
            wrong(h, 400, "A line of the head does not end with CR LF.");
            return WEIR_HEAD_WRONG;
        }
        h->len = h->searched = (size_t)(lf + 1 - text);

        if (!h->has_line) {
            if (lf + 1 - line > WEIR_HEAD_LINE_MAX) {
                wrong(h, 414, "The request line is too long.");
                return WEIR_HEAD_WRONG;
            }
            if (!read_request_line(h, text, line, lf - 1))
                return WEIR_HEAD_WRONG;
        } else if (lf - 1 == line) {
            return check_whole(h) ? WEIR_HEAD_WHOLE : WEIR_HEAD_WRONG;
        } else if (!read_field(h, text, line, lf - 1)) {
            return WEIR_HEAD_WRONG;
        }
    }
}

const char *weir_head_nth(const weir_head_t *h, const char *name, unsigned n)
{
    size_t len = strlen(name);

    for (unsigned i = 0; i < h->n_fields; i++) {
        const weir_field_t *f = &h->fields[i];

        if (f->name_len == len && strcasecmp(h->text + f->name, name) == 0 && n-- == 0)
            return h->text + f->value;
    }

    return NULL;
}

const char *weir_head_field(const weir_head_t *h, const char *name)
{
    return weir_head_nth(h, name, 0);
}

unsigned weir_head_count(const weir_head_t *h, const char *name)
{
    unsigned n = 0;

    for (unsigned i = 0; i < h->n_fields; i++)
        n += strcasecmp(h->text + h->fields[i].name, name) == 0;

    return n;
}

const char *weir_head_method(const weir_head_t *h)
{
    return h->has_line ? h->text + h->method : "?";
}

const char *weir_head_path(const weir_head_t *h)
{
    if (h->path != 0)
        return h->text + h->path;

    return h->has_line && is_options(h) ? "*" : "/";
}

const char *weir_head_query(const weir_head_t *h)
{
    return h->query != 0 ? h->text + h->query : NULL;
}

bool weir_head_keeps_connection(const weir_head_t *h)
{
    return !h->close && (h->minor > 0 || h->keep_alive);
}
