#include "ctl/spans/scan.h"

#include "common/text/hex.h"
#include "common/trace/span.h"

/* What is left of the line. Functions return false if something else is there. */
typedef struct {
    const char *at, *end;
} cursor_t;

static bool take(cursor_t *c, weir_str_t text)
{
    if ((size_t)(c->end - c->at) < text.len || memcmp(c->at, text.data, text.len) != 0)
        return false;
    c->at += text.len;

    return true;
}

#define TAKE(c, literal) take(c, WEIR_STR(literal))

/* A string, as it is written; *escapes: it has some. */
static bool take_string(cursor_t *c, weir_str_t *text, bool *escapes)
{
    const char *begin = c->at + 1, *quote = c->at;
    bool escaped;

    if (!TAKE(c, "\""))
        return false;
    do {
        const char *p;

        quote = memchr(quote + 1, '"', (size_t)(c->end - quote - 1));
        if (quote == NULL)
            return false;
        for (p = quote; p > begin && p[-1] == '\\'; p--) {
        }
        escaped = (quote - p) % 2 == 1; /* so many backslashes are before it */
    } while (escaped);
    c->at = quote + 1;
    *text = (weir_str_t){begin, (size_t)(quote - begin)};
    *escapes = memchr(begin, '\\', text->len) != NULL;

    return true;
}

static bool take_text(cursor_t *c, weir_str_t *text)
{
    bool escapes;

    return take_string(c, text, &escapes) && !escapes;
}

static bool skip_value(cursor_t *c)
{
    weir_str_t text;
    bool escapes;
    size_t depth = 0;

    do {
        if (c->at == c->end)
            return false;
        switch (*c->at) {
        case '"':
            if (!take_string(c, &text, &escapes))
                return false;
            break;
        case '{':
        case '[':
            depth++;
            c->at++;
            break;
        case '}':
        case ']':
            if (depth == 0)
                return false;
            depth--;
            c->at++;
            break;
        case ',':
        case ':':
            if (depth == 0)
                return false;
            c->at++;
            break;
        default: /* a number, or a word */
            while (c->at < c->end && memchr(",:]}\"[{", *c->at, 7) == NULL)
                c->at++;
        }
    } while (depth > 0);

    return true;
}

/* A number, or one in a string. */
static bool take_number(cursor_t *c, uint64_t *number)
{
    bool quoted = TAKE(c, "\"");
    const char *begin = c->at;

    *number = 0;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9') {
        uint64_t digit = (uint64_t)(*c->at++ - '0');

        if (*number > (UINT64_MAX - digit) / 10)
            return false;
        *number = 10 * *number + digit;
    }

    return c->at > begin && (!quoted || TAKE(c, "\""));
}

/* Reads an object; member() reads the value of each member. */
static bool each_member(cursor_t *c, weir_spans_scanned_t *s,
                        bool (*member)(cursor_t *c, weir_str_t key, weir_spans_scanned_t *s))
{
    weir_str_t key;

    if (!TAKE(c, "{"))
        return false;
    if (TAKE(c, "}"))
        return true;
    do {
        if (!take_text(c, &key) || !TAKE(c, ":") || !member(c, key, s))
            return false;
    } while (TAKE(c, ","));

    return TAKE(c, "}");
}

/* --- the resource ---------------------------------------------------------------------------- */

static bool attribute(cursor_t *c, weir_spans_scanned_t *s)
{
    weir_str_t key;

    if (!TAKE(c, "{\"key\":") || !take_text(c, &key) || !TAKE(c, ",\"value\":"))
        return false;
    if (!weir_str_eq(key, WEIR_STR("service.name")))
        return skip_value(c) && TAKE(c, "}");

    return s->service.data == NULL && TAKE(c, "{\"stringValue\":") && take_text(c, &s->service) &&
           TAKE(c, "}}");
}

static bool resource_member(cursor_t *c, weir_str_t key, weir_spans_scanned_t *s)
{
    if (!weir_str_eq(key, WEIR_STR("attributes")))
        return skip_value(c);
    if (!TAKE(c, "["))
        return false;
    if (TAKE(c, "]"))
        return true;
    do {
        if (!attribute(c, s))
            return false;
    } while (TAKE(c, ","));

    return TAKE(c, "]");
}

/* --- the span -------------------------------------------------------------------------------- */

static bool status_member(cursor_t *c, weir_str_t key, weir_spans_scanned_t *s)
{
    uint64_t code;

    if (!weir_str_eq(key, WEIR_STR("code")))
        return skip_value(c);
    if (!take_number(c, &code))
        return false;
    s->is_error = code == WEIR_SPAN_STATUS_ERROR;

    return true;
}

static bool span_member(cursor_t *c, weir_str_t key, weir_spans_scanned_t *s)
{
    char parent[2 * WEIR_SPAN_ID_LEN + 1];
    weir_str_t text;

    if (weir_str_eq(key, WEIR_STR("traceId")))
        return take_text(c, &text) && text.len == 2 * WEIR_TRACE_ID_LEN &&
               weir_hex_id(s->trace_id, text.data, text.len);
    if (weir_str_eq(key, WEIR_STR("spanId")))
        return take_text(c, &text) && text.len == 2 * WEIR_SPAN_ID_LEN &&
               weir_hex_id(s->span_id, text.data, text.len);
    if (weir_str_eq(key, WEIR_STR("parentSpanId"))) {
        if (!take_text(c, &text))
            return false;
        s->is_root = text.len != 2 * WEIR_SPAN_ID_LEN || !weir_hex_id(parent, text.data, text.len);
        return true;
    }
    if (weir_str_eq(key, WEIR_STR("name")))
        return take_text(c, &s->name);
    if (weir_str_eq(key, WEIR_STR("startTimeUnixNano")))
        return take_number(c, &s->start);
    if (weir_str_eq(key, WEIR_STR("endTimeUnixNano")))
        return take_number(c, &s->end);
    if (weir_str_eq(key, WEIR_STR("status")))
        return each_member(c, s, status_member);

    return skip_value(c);
}

bool weir_spans_scan(weir_str_t line, weir_spans_scanned_t *scanned)
{
    cursor_t c = {line.data, line.data + line.len};

    *scanned = (weir_spans_scanned_t){.is_root = true};

    return TAKE(&c, "{\"resourceSpans\":[{\"resource\":") &&
           each_member(&c, scanned, resource_member) && TAKE(&c, ",\"scopeSpans\":[{\"scope\":") &&
           skip_value(&c) && TAKE(&c, ",\"spans\":[") && each_member(&c, scanned, span_member) &&
           TAKE(&c, "]}]}]}") && c.at == c.end && scanned->trace_id[0] != '\0' &&
           scanned->span_id[0] != '\0';
}
