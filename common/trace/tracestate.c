#include "common/trace/tracestate.h"

#include <assert.h>

#define KEY_MAX 256

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* ( lcalpha / DIGIT ) 0*255 ( keychar ), section 3.3.1.3.1 of Level 2 */
static bool is_key(weir_str_t key)
{
    if (key.len == 0 || key.len > KEY_MAX || !is_lower_or_digit(key.data[0]))
        return false;

    for (size_t i = 1; i < key.len; i++) {
        char c = key.data[i];

        if (!is_lower_or_digit(c) && c != '_' && c != '-' && c != '*' && c != '/' && c != '@')
            return false;
    }

    return true;
}

/* 0*255(chr) nblk-chr; the space at its end was removed as that of the list. */
static bool is_value(weir_str_t value)
{
    if (value.len == 0 || value.len > WEIR_TRACESTATE_VALUE || value.data[value.len - 1] == ' ')
        return false;

    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];

        if (c < 0x20 || c > 0x7e || c == ',' || c == '=')
            return false;
    }

    return true;
}

static weir_str_t trim(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (p < end && (end[-1] == ' ' || end[-1] == '\t'))
        end--;

    return (weir_str_t){p, (size_t)(end - p)};
}

static int add(weir_str_t text, weir_tracestate_t *out)
{
    const char *equals = memchr(text.data, '=', text.len);
    weir_str_t key, value;

    if (equals == NULL)
        return -1;

    key = (weir_str_t){text.data, (size_t)(equals - text.data)};
    value = (weir_str_t){equals + 1, text.len - key.len - 1};
    if (!is_key(key) || !is_value(value))
        return -1;

    if (weir_tracestate_get(out, key).len != 0)
        return 0;
    if (out->n == WEIR_TRACESTATE_MEMBERS)
        return -1;

    out->members[out->n].key = key;
    out->members[out->n].value = value;
    out->n++;

    return 0;
}

static int add_line(weir_str_t line, weir_tracestate_t *out)
{
    const char *p = line.data, *end = p + line.len, *comma;
    weir_str_t text;

    while (p < end) {
        comma = memchr(p, ',', (size_t)(end - p));
        if (comma == NULL)
            comma = end;

        text = trim(p, comma);
        if (text.len != 0 && add(text, out) != 0)
            return -1;
        p = comma + 1;
    }

    return 0;
}

int weir_tracestate_parse(const weir_str_t *lines, size_t n, weir_tracestate_t *out)
{
    out->n = 0;

    for (size_t i = 0; i < n; i++) {
        if (lines[i].len != 0 && add_line(lines[i], out) != 0) {
            out->n = 0;
            return -1;
        }
    }

    return 0;
}

weir_str_t weir_tracestate_get(const weir_tracestate_t *state, weir_str_t key)
{
    for (size_t i = 0; i < state->n; i++) {
        if (weir_str_eq(state->members[i].key, key))
            return state->members[i].value;
    }

    return (weir_str_t){NULL, 0};
}

void weir_tracestate_put(weir_tracestate_t *state, weir_str_t key, weir_str_t value)
{
    size_t i = 0;

    while (i < state->n && !weir_str_eq(state->members[i].key, key))
        i++;
    if (i == WEIR_TRACESTATE_MEMBERS)
        i--;
    else if (i == state->n)
        state->n++;
    memmove(&state->members[1], &state->members[0], i * sizeof(state->members[0]));
    state->members[0] = (weir_tracestate_member_t){key, value};
}

static size_t length(const weir_tracestate_member_t *member)
{
    return member->key.len + 1 + member->value.len;
}

static char *put(char *p, weir_str_t text)
{
    memcpy(p, text.data, text.len);

    return p + text.len;
}

/*
 * Marks the members that are passed on; those of max at most, and of WEIR_TRACESTATE_LEN bytes with
 * their commas.
 */
static void choose(const weir_tracestate_t *state, weir_str_t own, size_t max, bool *keep)
{
    size_t total = 0, n = 0;

    for (size_t i = 0; i < state->n; i++) {
        keep[i] = !weir_str_eq(state->members[i].key, own) && n < max;
        if (keep[i]) {
            total += length(&state->members[i]) + 1;
            n++;
        }
    }

    for (size_t i = state->n; i-- > 0 && total > WEIR_TRACESTATE_LEN + 1;) {
        if (keep[i] && length(&state->members[i]) > WEIR_TRACESTATE_LONG) {
            keep[i] = false;
            total -= length(&state->members[i]) + 1;
        }
    }

    for (size_t i = state->n; i-- > 0 && total > WEIR_TRACESTATE_LEN + 1;) {
        if (keep[i]) {
            keep[i] = false;
            total -= length(&state->members[i]) + 1;
        }
    }
}

size_t weir_tracestate_format(const weir_tracestate_t *state, weir_str_t key, weir_str_t value,
                              char out[WEIR_TRACESTATE_ROOM])
{
    bool keep[WEIR_TRACESTATE_MEMBERS];
    char *p = out;

    assert(value.len <= WEIR_TRACESTATE_VALUE && key.len + 2 <= 16);
    choose(state, key, WEIR_TRACESTATE_MEMBERS - (value.len != 0), keep);

    if (value.len != 0) {
        p = put(p, key);
        *p++ = '=';
        p = put(p, value);
    }

    for (size_t i = 0; i < state->n; i++) {
        if (!keep[i])
            continue;
        if (p > out)
            *p++ = ',';
        p = put(p, state->members[i].key);
        *p++ = '=';
        p = put(p, state->members[i].value);
    }

    assert(p - out <= WEIR_TRACESTATE_ROOM);

    return (size_t)(p - out);
}
