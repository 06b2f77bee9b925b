/*
 * Private to the encoders of OTLP: the wire format of protobuf
 * (protobuf.dev/programming-guides/encoding).
 */
#ifndef WEIR_PROTOBUF_H
#define WEIR_PROTOBUF_H

#include "common/trace/encode/out.h"

#include <endian.h>

/* Wire types */
enum { WEIR_PB_VARINT = 0, WEIR_PB_FIXED64 = 1, WEIR_PB_BYTES = 2, WEIR_PB_FIXED32 = 5 };

#define WEIR_PB_TAG(field, type) ((uint8_t)((field) << 3 | (type)))

static inline size_t weir_pb_varint_len(uint64_t n)
{
    size_t len = 1;

    while (n >= 0x80) {
        n >>= 7;
        len++;
    }

    return len;
}

/* Returns the place behind it. */
static inline char *weir_pb_write_varint(char *p, uint64_t n)
{
    while (n >= 0x80) {
        *p++ = (char)(n | 0x80);
        n >>= 7;
    }
    *p++ = (char)n;

    return p;
}

static inline void weir_pb_put_varint(weir_out_t *out, uint64_t n)
{
    char bytes[10];

    if (n < 0x80)
        weir_out_byte(out, (uint8_t)n);
    else
        weir_out_bytes(out, bytes, (size_t)(weir_pb_write_varint(bytes, n) - bytes));
}

/* A field of type WEIR_PB_FIXED64. */
static inline char *weir_pb_write_fixed(char *p, uint8_t tag, uint64_t value)
{
    value = htole64(value);
    *p++ = (char)tag;
    memcpy(p, &value, sizeof(value));

    return p + sizeof(value);
}

static inline void weir_pb_put_fixed(weir_out_t *out, uint8_t tag, uint64_t value)
{
    char bytes[1 + sizeof(value)];

    (void)weir_pb_write_fixed(bytes, tag, value);
    weir_out_bytes(out, bytes, sizeof(bytes));
}

static inline void weir_pb_put_fixed32(weir_out_t *out, uint32_t value)
{
    value = htole32(value);
    weir_out_bytes(out, (const char *)&value, sizeof(value));
}

static inline void weir_pb_put_bytes(weir_out_t *out, uint8_t tag, const void *bytes, size_t n)
{
    weir_out_byte(out, tag);
    weir_pb_put_varint(out, n);
    weir_out_bytes(out, bytes, n);
}

static inline void weir_pb_put_text(weir_out_t *out, uint8_t tag, weir_str_t text)
{
    size_t len = weir_out_text_len(text);

    weir_out_byte(out, tag);
    weir_pb_put_varint(out, len);
    weir_out_text(out, text, len);
}

/* --- messages whose length is not known before ----------------------------------------------- */

/* The length of most spans, of 128 to 16383 bytes, takes two bytes. */
#define WEIR_PB_LENGTH_ROOM 2

/* Writes the tag, leaves room for the length, and returns where the message begins. */
static inline size_t weir_pb_begin(weir_out_t *out, uint8_t tag)
{
    weir_out_byte(out, tag);
    out->len += WEIR_PB_LENGTH_ROOM;

    return out->len;
}

/* Writes the length of what was written since then; moves that if the length takes other room. */
static inline void weir_pb_end(weir_out_t *out, size_t start)
{
    size_t len = out->len - start, room = weir_pb_varint_len(len);

    if (room != WEIR_PB_LENGTH_ROOM) {
        if (start - WEIR_PB_LENGTH_ROOM + room + len <= out->cap && out->len <= out->cap)
            memmove(out->buf + start - WEIR_PB_LENGTH_ROOM + room, out->buf + start, len);
        out->len = out->len - WEIR_PB_LENGTH_ROOM + room;
    }
    if (out->len <= out->cap)
        (void)weir_pb_write_varint(out->buf + start - WEIR_PB_LENGTH_ROOM, len);
}

/* The length of a field with tag, length and that many bytes. */
static inline size_t weir_pb_field_len(size_t len)
{
    return 1 + weir_pb_varint_len(len) + len;
}

static inline char *weir_pb_write_field(char *p, uint8_t tag, size_t len)
{
    *p++ = (char)tag;

    return weir_pb_write_varint(p, len);
}

#endif
