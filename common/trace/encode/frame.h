/*
 * Spans in protobuf that have all in common but ids, times and a few attributes: they are encoded
 * once, as a frame. Another span is a copy of the frame, in which ids and times are replaced, with
 * its own attributes behind it: the order of fields does not matter in protobuf.
 *
 *     p = weir_frame_begin(…)  weir_frame_text(…) …  weir_frame_end(…)
 *
 * The attributes of a request are written by this header alone if they are short and ASCII, as most
 * are, without a call.
 */
#ifndef WEIR_FRAME_H
#define WEIR_FRAME_H

#include "common/text/bytes.h"
#include "common/trace/encode/protobuf.h"
#include "common/trace/span.h"

#define WEIR_FRAME_ROOM 512

typedef struct {
    size_t len; /* 0: none */
    char bytes[WEIR_FRAME_ROOM];
} weir_frame_t;

/* Where otlp.c writes them: each behind its tag, and ids behind their length. */
enum {
    WEIR_FRAME_TRACE_ID = 5,
    WEIR_FRAME_SPAN_ID = WEIR_FRAME_TRACE_ID + WEIR_TRACE_ID_LEN + 2,
    WEIR_FRAME_START = WEIR_FRAME_SPAN_ID + WEIR_SPAN_ID_LEN + 1,
    WEIR_FRAME_STOP = WEIR_FRAME_START + 8 + 1,
    WEIR_FRAME_PARENT_ID = WEIR_FRAME_STOP + 8 + 2
};

/*
 * Makes the frame of spans like this one, with its attributes; events and links it must not have.
 * frame->len is 0 if they do not fit into it.
 */
void weir_frame_make(weir_frame_t *frame, const weir_span_t *span);

/* What a span has for itself. */
typedef struct {
    const uint8_t *trace_id;
    const uint8_t *span_id;
    const uint8_t *parent_id; /* NULL: it is a root, as that of the frame was */
    uint64_t start;
    uint64_t end;
} weir_frame_own_t;

/* Writes frame->len bytes to p, and returns the place behind them. */
static inline char *weir_frame_begin(char *p, const weir_frame_t *frame,
                                     const weir_frame_own_t *own)
{
    memcpy(p, frame->bytes, frame->len);
    memcpy(p + WEIR_FRAME_TRACE_ID, own->trace_id, WEIR_TRACE_ID_LEN);
    memcpy(p + WEIR_FRAME_SPAN_ID, own->span_id, WEIR_SPAN_ID_LEN);
    weir_put64(p + WEIR_FRAME_START, own->start);
    weir_put64(p + WEIR_FRAME_STOP, own->end);
    if (own->parent_id != NULL)
        memcpy(p + WEIR_FRAME_PARENT_ID, own->parent_id, WEIR_SPAN_ID_LEN);

    return p + frame->len;
}

/*
 * Completes a span of up to 16383 bytes that begins at p: its length takes two bytes, as in the
 * frame.
 */
static inline void weir_frame_end(char *p, const char *end)
{
    size_t len = (size_t)(end - p) - 1 - WEIR_PB_LENGTH_ROOM;

    p[1] = (char)(len | 0x80);
    p[2] = (char)(len >> 7);
}

/* --- attributes ------------------------------------------------------------------------------ */

/* KeyValue { key = 1, value = 2 } of a span, up to the value's own tag; lengths are 0. */
#define WEIR_FRAME_NAME(literal)                                                                   \
    __extension__({                                                                                \
        static const struct {                                                                      \
            char outer[3];                                                                         \
            char len;                                                                              \
            char name[sizeof(literal) - 1];                                                        \
            char value[2];                                                                         \
        } name = {{WEIR_PB_TAG(9, WEIR_PB_BYTES), 0, WEIR_PB_TAG(1, WEIR_PB_BYTES)},               \
                  sizeof(literal) - 1,                                                             \
                  literal,                                                                         \
                  {WEIR_PB_TAG(2, WEIR_PB_BYTES), 0}};                                             \
        (const char *)&name;                                                                       \
    })

/* Bytes before and behind the name. */
#define WEIR_FRAME_NAME_HEAD 4
#define WEIR_FRAME_NAME_TAIL 2

/* An attribute whose length takes one byte has no more bytes behind that. */
#define WEIR_FRAME_SHORT 127

/* A word of 16 bytes, of which a processor has registers. */
typedef uint64_t weir_frame_wide_t __attribute__((vector_size(16)));

/* Copies a short text by words that may overlap. False if it is not ASCII. */
static inline __attribute__((always_inline)) bool weir_frame_ascii(char *p, const char *text,
                                                                   size_t len)
{
    weir_frame_wide_t wide, last_wide;
    uint64_t word, last;
    uint32_t half, rest = 0;

    if (len >= sizeof(wide)) {
        memcpy(&last_wide, text + len - sizeof(wide), sizeof(wide));
        memcpy(p + len - sizeof(wide), &last_wide, sizeof(wide));
        for (size_t i = 0; i + sizeof(wide) < len; i += sizeof(wide)) {
            memcpy(&wide, text + i, sizeof(wide));
            memcpy(p + i, &wide, sizeof(wide));
            last_wide |= wide;
        }
        return ((last_wide[0] | last_wide[1]) & WEIR_OUT_HIGH) == 0;
    }

    if (len >= sizeof(word)) {
        memcpy(&word, text, sizeof(word));
        memcpy(&last, text + len - sizeof(last), sizeof(last));
        memcpy(p, &word, sizeof(word));
        memcpy(p + len - sizeof(last), &last, sizeof(last));
        return ((word | last) & WEIR_OUT_HIGH) == 0;
    }

    if (len >= sizeof(half)) {
        memcpy(&half, text, sizeof(half));
        memcpy(&rest, text + len - sizeof(rest), sizeof(rest));
        memcpy(p, &half, sizeof(half));
        memcpy(p + len - sizeof(rest), &rest, sizeof(rest));
        return ((half | rest) & (uint32_t)WEIR_OUT_HIGH) == 0;
    }

    for (size_t i = 0; i < len; i++) {
        rest |= (unsigned char)text[i];
        p[i] = text[i];
    }

    return (rest & 0x80) == 0;
}

/* Where attributes are written; both are NULL if there was no room. */
typedef struct {
    char *p;
    char *end; /* of the room */
} weir_frame_place_t;

/* The attribute in any other form: long, or not ASCII. Of the text, max bytes at most are used. */
void weir_frame_any(weir_frame_place_t *place, const char *name, size_t name_len, weir_str_t text,
                    size_t max);

/*
 * Begins a text attribute of len bytes. Returns the place for the text, which is in the room
 * already; NULL if it is no short one, or if there is no room.
 */
static inline char *weir_frame_text_begin(const weir_frame_place_t *place, const char *name,
                                          size_t name_len, size_t len)
{
    char *p = place->p;
    size_t head = WEIR_FRAME_NAME_HEAD + name_len + WEIR_FRAME_NAME_TAIL;

    if (len > WEIR_FRAME_SHORT - head || (size_t)(place->end - p) < head + 2 + len)
        return NULL;

    memcpy(p, name, head);
    p[1] = (char)(head + len); /* without the two bytes up to here, with those of the text */
    p[head - 1] = (char)(2 + len);
    p[head] = WEIR_PB_TAG(1, WEIR_PB_BYTES); /* string_value = 1 */
    p[head + 1] = (char)len;

    return p + head + 2;
}

static inline __attribute__((always_inline)) void weir_frame_put_text(weir_frame_place_t *place,
                                                                      const char *name,
                                                                      size_t name_len,
                                                                      weir_str_t text, size_t max)
{
    char *p = weir_frame_text_begin(place, name, name_len, text.len);

    if (p != NULL && weir_frame_ascii(p, text.data, text.len))
        place->p = p + text.len;
    else
        weir_frame_any(place, name, name_len, text, max);
}

static inline void weir_frame_put_number(weir_frame_place_t *place, const char *name,
                                         size_t name_len, uint64_t number)
{
    char *p = place->p, *end;
    size_t head = WEIR_FRAME_NAME_HEAD + name_len + WEIR_FRAME_NAME_TAIL;

    if ((size_t)(place->end - p) < head + 11) {
        *place = (weir_frame_place_t){NULL, NULL};
        return;
    }

    memcpy(p, name, head);
    p[head] = WEIR_PB_TAG(3, WEIR_PB_VARINT); /* int_value = 3 */
    end = weir_pb_write_varint(p + head + 1, number);
    p[1] = (char)(end - p - 2);
    p[head - 1] = (char)(end - p - (ptrdiff_t)head);
    place->p = end;
}

/* The name is a literal of up to 100 bytes; the text is cut to max bytes, which are more. */
#define weir_frame_text(place, literal, text, max)                                                 \
    weir_frame_put_text(place, WEIR_FRAME_NAME(literal), sizeof(literal) - 1, text, max)

#define weir_frame_number(place, literal, number)                                                  \
    weir_frame_put_number(place, WEIR_FRAME_NAME(literal), sizeof(literal) - 1, number)

#endif
