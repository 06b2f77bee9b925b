#include "client/answer.h"

#include "common/text/hex.h"
#include "common/text/http_date.h"
#include "common/text/token.h"

#include <assert.h>

/* No wait of more digits than these is meant. */
#define SECONDS_DIGITS 10

static weir_answer_result_t bad(weir_answer_t *a, const char *fault)
{
    a->state = WEIR_ANSWER_BROKEN;
    a->fault = fault;

    return WEIR_ANSWER_BAD;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static weir_str_t trimmed(weir_str_t s)
{
    while (s.len > 0 && weir_is_ows(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && weir_is_ows(s.data[s.len - 1]))
        s.len--;

    return s;
}

/* The number of a text of digits only; false if it is none, or above max. */
static bool number_of(weir_str_t s, uint64_t max, uint64_t *n)
{
    if (s.len == 0 || s.len > SECONDS_DIGITS)
        return false;

    *n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (!is_digit(s.data[i]))
            return false;
        *n = *n * 10 + (uint64_t)(s.data[i] - '0');
    }

    return *n <= max;
}

void weir_answer_init(weir_answer_t *a, char *body, size_t max)
{
    a->body = body;
    a->max = max;
    a->status = 0;
    a->keep_alive = false;
    a->encoded = false;
    a->type = WEIR_ANSWER_OTHER;
    a->body_len = 0;
    a->retry_after[0] = '\0';
    a->max_age = -1;
    a->age = 0;
    a->fault = NULL;
    a->state = WEIR_ANSWER_IN_STATUS_LINE;
    a->chunked = false;
    a->has_length = false;
    a->left = 0;
    a->total = 0;
    a->line_len = 0;
}

/* HTTP/1.x SP status SP [reason] (RFC 9112 section 4). */
static weir_answer_result_t status_line(weir_answer_t *a)
{
    const char *p = a->line;
    uint64_t status;

    if (a->line_len < sizeof("HTTP/1.1 200") - 1 || memcmp(p, "HTTP/1.", 7) != 0 ||
        !is_digit(p[7]) || p[8] != ' ' || !number_of((weir_str_t){p + 9, 3}, 599, &status) ||
        status < 100 || (a->line_len > 12 && p[12] != ' '))
        return bad(a, "no HTTP/1.1 answer");

    a->status = (unsigned)status;
    a->keep_alive = p[7] != '0';
    a->state = WEIR_ANSWER_IN_FIELDS;

    return WEIR_ANSWER_MORE;
}

/* Whether one of the members of a comma-separated list is this token. */
static bool has_token(weir_str_t list, weir_str_t token)
{
    const char *end = list.data + list.len, *comma;

    while (list.data < end) {
        comma = memchr(list.data, ',', (size_t)(end - list.data));
        if (comma == NULL)
            comma = end;

        list.len = (size_t)(comma - list.data);
        if (weir_str_caseeq(trimmed(list), token))
            return true;

        list.data = comma < end ? comma + 1 : end;
    }

    return false;
}

/*
 * The directives of Cache-Control that say how long a private cache may keep the answer (RFC 9111
 * section 5.2.2). The least of several values is taken; an invalid one is 0 (section 4.2.1).
 */
static void cache_control(weir_answer_t *a, weir_str_t list)
{
    const char *end = list.data + list.len, *comma;
    weir_str_t name = WEIR_STR("max-age=");
    uint64_t seconds;

    for (; list.data < end; list.data = comma < end ? comma + 1 : end) {
        comma = memchr(list.data, ',', (size_t)(end - list.data));
        if (comma == NULL)
            comma = end;

        weir_str_t one = trimmed((weir_str_t){list.data, (size_t)(comma - list.data)});

        if (weir_str_caseeq(one, WEIR_STR("no-store")) ||
            weir_str_caseeq(one, WEIR_STR("no-cache"))) {
            a->max_age = 0;
        } else if (one.len >= name.len && weir_str_caseeq((weir_str_t){one.data, name.len}, name)) {
            one = (weir_str_t){one.data + name.len, one.len - name.len};
            if (one.len >= 2 && one.data[0] == '"' && one.data[one.len - 1] == '"')
                one = (weir_str_t){one.data + 1, one.len - 2};
            if (!number_of(one, INT32_MAX, &seconds))
                seconds = 0;
            if (a->max_age < 0 || (int64_t)seconds < a->max_age)
                a->max_age = (int64_t)seconds;
        }
    }
}

static weir_answer_type_t type_of(weir_str_t value)
{
    const char *semicolon = value.len ? memchr(value.data, ';', value.len) : NULL;

    if (semicolon != NULL)
        value.len = (size_t)(semicolon - value.data);
    value = trimmed(value);

    if (weir_str_caseeq(value, WEIR_STR("application/x-protobuf")))
        return WEIR_ANSWER_PROTOBUF;
    if (weir_str_caseeq(value, WEIR_STR("application/json")))
        return WEIR_ANSWER_JSON;
    if (weir_str_caseeq(value, WEIR_STR("application/jwk-set+json")))
        return WEIR_ANSWER_JWK_SET;
    if (weir_str_caseeq(value, WEIR_STR("text/html")))
        return WEIR_ANSWER_HTML;

    return WEIR_ANSWER_OTHER;
}

static weir_answer_result_t field_of(weir_answer_t *a, weir_str_t name, weir_str_t value)
{
    uint64_t n;

    if (weir_str_caseeq(name, WEIR_STR("Content-Length"))) {
        if (!number_of(value, a->max, &n))
            return bad(a, "Content-Length is invalid, or the answer too long");
        if (a->has_length && n != a->left)
            return bad(a, "Content-Length twice");

        a->has_length = true;
        a->left = n;

    } else if (weir_str_caseeq(name, WEIR_STR("Transfer-Encoding"))) {
        if (a->chunked || !weir_str_caseeq(value, WEIR_STR("chunked")))
            return bad(a, "another Transfer-Encoding than chunked");

        a->chunked = true;

    } else if (weir_str_caseeq(name, WEIR_STR("Connection"))) {
        if (has_token(value, WEIR_STR("close")))
            a->keep_alive = false;

    } else if (weir_str_caseeq(name, WEIR_STR("Content-Type"))) {
        a->type = type_of(value);

    } else if (weir_str_caseeq(name, WEIR_STR("Content-Encoding"))) {
        a->encoded = !weir_str_caseeq(value, WEIR_STR("identity"));

    } else if (weir_str_caseeq(name, WEIR_STR("Cache-Control"))) {
        cache_control(a, value);

    } else if (weir_str_caseeq(name, WEIR_STR("Age"))) {
        if (number_of(value, INT32_MAX, &n))
            a->age = (int64_t)n;

    } else if (weir_str_caseeq(name, WEIR_STR("Retry-After")) && a->retry_after[0] == '\0' &&
               value.len > 0 && value.len < sizeof(a->retry_after)) {
        memcpy(a->retry_after, value.data, value.len);
        a->retry_after[value.len] = '\0';
    }

    return WEIR_ANSWER_MORE;
}

static weir_answer_result_t field_line(weir_answer_t *a)
{
    const char *colon = memchr(a->line, ':', a->line_len);
    weir_str_t name, value;

    if (colon == NULL || colon == a->line)
        return bad(a, "an invalid header field");

    name = (weir_str_t){a->line, (size_t)(colon - a->line)};
    value = (weir_str_t){colon + 1, a->line_len - name.len - 1};

    for (size_t i = 0; i < name.len; i++) {
        if (!weir_is_tchar(name.data[i]))
            return bad(a, "an invalid header field");
    }

    if (a->state == WEIR_ANSWER_IN_TRAILERS)
        return WEIR_ANSWER_MORE; /* says nothing that matters here */

    return field_of(a, name, trimmed(value));
}

/* The length of the body by RFC 9112 section 6.3, for an answer to GET or POST. */
static weir_answer_result_t head_end(weir_answer_t *a)
{
    if (a->chunked && a->has_length)
        return bad(a, "Content-Length beside Transfer-Encoding");

    if (a->status < 200) {
        size_t total = a->total;

        if (a->status == 101)
            return bad(a, "another protocol");
        if (a->chunked || a->has_length)
            return bad(a, "an interim answer with a body");

        weir_answer_init(a, a->body, a->max);
        a->total = total;
        return WEIR_ANSWER_MORE;
    }

    if (a->status == 204 || a->status == 304) {
        a->state = WEIR_ANSWER_AT_END;
    } else if (a->chunked) {
        a->state = WEIR_ANSWER_IN_CHUNK_SIZE;
    } else if (a->has_length) {
        a->state = a->left > 0 ? WEIR_ANSWER_IN_BODY : WEIR_ANSWER_AT_END;
    } else {
        a->state = WEIR_ANSWER_IN_REST;
        a->keep_alive = false;
    }

    return a->state == WEIR_ANSWER_AT_END ? WEIR_ANSWER_DONE : WEIR_ANSWER_MORE;
}

/* Digits of the chunk's size, and extensions that are skipped (RFC 9112 section 7.1). */
static weir_answer_result_t chunk_size(weir_answer_t *a)
{
    size_t i;
    int digit;

    a->left = 0;
    for (i = 0; i < a->line_len && (digit = weir_unhex(a->line[i], 1)) >= 0; i++) {
        a->left = a->left * 16 + (uint64_t)digit;
        if (a->left > a->max)
            return bad(a, "the answer is too long");
    }

    if (i == 0 || (i < a->line_len && a->line[i] != ';'))
        return bad(a, "an invalid chunk");

    a->state = a->left > 0 ? WEIR_ANSWER_IN_CHUNK : WEIR_ANSWER_IN_TRAILERS;

    return WEIR_ANSWER_MORE;
}

/* A line is complete, without its CRLF. */
static weir_answer_result_t line_end(weir_answer_t *a)
{
    weir_answer_result_t result;

    switch (a->state) {
    case WEIR_ANSWER_IN_STATUS_LINE:
        result = status_line(a);
        break;

    case WEIR_ANSWER_IN_FIELDS:
        result = a->line_len > 0 ? field_line(a) : head_end(a);
        break;

    case WEIR_ANSWER_IN_CHUNK_SIZE:
        result = chunk_size(a);
        break;

    case WEIR_ANSWER_IN_CHUNK_END:
        if (a->line_len > 0)
            return bad(a, "an invalid chunk");
        a->state = WEIR_ANSWER_IN_CHUNK_SIZE;
        result = WEIR_ANSWER_MORE;
        break;

    default:
        assert(a->state == WEIR_ANSWER_IN_TRAILERS);
        if (a->line_len > 0) {
            result = field_line(a);
        } else {
            a->state = WEIR_ANSWER_AT_END;
            result = WEIR_ANSWER_DONE;
        }
    }

    a->line_len = 0;

    return result;
}

/* One byte of a line. */
static weir_answer_result_t line_byte(weir_answer_t *a, char c)
{
    if (c == '\n') {
        if (a->line_len == 0 || a->line[a->line_len - 1] != '\r')
            return bad(a, "a line that does not end with CRLF");
        a->line_len--;
        return line_end(a);
    }

    if (a->line_len > 0 && a->line[a->line_len - 1] == '\r')
        return bad(a, "a line that does not end with CRLF");
    if (((unsigned char)c < 0x20 && c != '\t' && c != '\r') || c == 0x7f)
        return bad(a, "a control character");
    if (a->line_len == sizeof(a->line))
        return bad(a, "a line that is too long");

    a->line[a->line_len++] = c;

    return WEIR_ANSWER_MORE;
}

/* Bytes of the body, which has room for all that an answer may have; how many were taken. */
static size_t body_bytes(weir_answer_t *a, const char *data, size_t len)
{
    if (a->state != WEIR_ANSWER_IN_REST) {
        if (len > a->left)
            len = (size_t)a->left;
        a->left -= len;

        if (a->left == 0)
            a->state = a->chunked ? WEIR_ANSWER_IN_CHUNK_END : WEIR_ANSWER_AT_END;
    }

    assert(len <= a->max - a->body_len);
    memcpy(a->body + a->body_len, data, len);
    a->body_len += len;

    return len;
}

weir_answer_result_t weir_answer_feed(weir_answer_t *a, const char *data, size_t len, size_t *used)
{
    weir_answer_result_t result = WEIR_ANSWER_MORE;
    size_t i = 0, n;

    assert(a->state != WEIR_ANSWER_AT_END && a->state != WEIR_ANSWER_BROKEN);

    while (i < len && result == WEIR_ANSWER_MORE) {
        if (a->total == a->max) {
            result = bad(a, "the answer is too long");
            break;
        }

        if (a->state == WEIR_ANSWER_IN_BODY || a->state == WEIR_ANSWER_IN_CHUNK ||
            a->state == WEIR_ANSWER_IN_REST) {
            n = len - i < a->max - a->total ? len - i : a->max - a->total;
            n = body_bytes(a, data + i, n);
            if (a->state == WEIR_ANSWER_AT_END)
                result = WEIR_ANSWER_DONE;
        } else {
            n = 1;
            a->total++; /* before line_byte(), which may begin another answer */
            result = line_byte(a, data[i]);
            a->total--;
        }

        i += n;
        a->total += n;
    }

    *used = i;

    return result;
}

weir_answer_result_t weir_answer_finish(weir_answer_t *a)
{
    assert(a->state != WEIR_ANSWER_AT_END && a->state != WEIR_ANSWER_BROKEN);

    if (a->state == WEIR_ANSWER_IN_REST) {
        a->state = WEIR_ANSWER_AT_END;
        return WEIR_ANSWER_DONE;
    }

    return bad(a, "the connection ended before the answer");
}

int64_t weir_answer_retry_after(const weir_answer_t *a, int64_t now)
{
    weir_str_t value = weir_str(a->retry_after);
    uint64_t seconds;
    int64_t date;

    if (value.len == 0)
        return -1;

    if (number_of(value, INT32_MAX, &seconds))
        return (int64_t)seconds;

    date = weir_http_date(value, now);
    if (date < 0)
        return -1;

    return date > now ? date - now : 0;
}

int64_t weir_answer_freshness(const weir_answer_t *a)
{
    if (a->max_age < 0)
        return -1;

    return a->max_age > a->age ? a->max_age - a->age : 0;
}
