/*
 * Private to the encoders of spans: output that counts all bytes and writes those that fit.
 */
#ifndef WEIR_OUT_H
#define WEIR_OUT_H

#include "common/text/str.h"
#include "common/trace/context.h"

#include <assert.h>
#include <stdbool.h>

typedef struct {
    char *buf;
    size_t cap;
    size_t len; /* of all bytes, also those that did not fit */
    bool full;  /* some did not fit */
} weir_out_t;

/*
 * While an encoder writes, it may use so many bytes more than it needs in the end: one for the
 * length of each message that contains the current one (otlp.c).
 */
#define WEIR_OUT_SLACK 4

static inline void weir_out_bytes(weir_out_t *out, const void *bytes, size_t n)
{
    if (out->len + n > out->cap) {
        out->full = true;
    } else if (n != 0) {
        assert(out->buf != NULL);
        memcpy(out->buf + out->len, bytes, n);
    }
    out->len += n;
}

static inline void weir_out_byte(weir_out_t *out, uint8_t byte)
{
    if (out->len < out->cap)
        out->buf[out->len] = (char)byte;
    else
        out->full = true;
    out->len++;
}

#define weir_out_literal(out, text) weir_out_bytes(out, text, sizeof(text) - 1)

/* The bytes of ASCII text have this bit clear. */
#define WEIR_OUT_HIGH UINT64_C(0x8080808080808080)

/* True if the text is ASCII; the last words may overlap. */
static inline bool weir_out_is_ascii(weir_str_t text)
{
    const char *p = text.data, *end = p + text.len;
    uint64_t word, last;
    uint32_t half, rest;

    if (text.len >= sizeof(word)) {
        memcpy(&last, end - sizeof(word), sizeof(word));
        for (; end - p > (ptrdiff_t)sizeof(word); p += sizeof(word)) {
            memcpy(&word, p, sizeof(word));
            last |= word;
        }
        return (last & WEIR_OUT_HIGH) == 0;
    }

    if (text.len >= sizeof(half)) {
        memcpy(&half, p, sizeof(half));
        memcpy(&rest, end - sizeof(half), sizeof(half));
        return ((half | rest) & (uint32_t)WEIR_OUT_HIGH) == 0;
    }

    for (rest = 0; p < end; p++)
        rest |= (unsigned char)*p;

    return (rest & 0x80) == 0;
}

/* The length of the text as UTF-8, with U+FFFD instead of each invalid byte. */
size_t weir_out_utf8_len(weir_str_t text);

static inline size_t weir_out_text_len(weir_str_t text)
{
    return weir_out_is_ascii(text) ? text.len : weir_out_utf8_len(text);
}

/* The text as UTF-8; len is weir_out_text_len() of it. */
void weir_out_text(weir_out_t *out, weir_str_t text, size_t len);

/* For JSON: a string in quotes, ids, numbers; a number in quotes is exact beyond 2^53. */
void weir_out_string(weir_out_t *out, weir_str_t text);
void weir_out_id(weir_out_t *out, const uint8_t *id, size_t n);
void weir_out_number(weir_out_t *out, int64_t number);
void weir_out_double(weir_out_t *out, double number);

static inline bool weir_out_is_zero(const uint8_t *id, size_t n)
{
    uint8_t any = 0;

    for (size_t i = 0; i < n; i++)
        any |= id[i];

    return any == 0;
}

#endif
