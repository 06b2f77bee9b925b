/*
 * Reading protobuf's wire format (protobuf.dev, Encoding), field by field. Nothing is copied or
 * allocated: what is read points into the message.
 */
#ifndef WEIR_WIRE_H
#define WEIR_WIRE_H

#include "common/text/str.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    WEIR_WIRE_VARINT = 0,
    WEIR_WIRE_FIXED64 = 1,
    WEIR_WIRE_BYTES = 2,
    WEIR_WIRE_FIXED32 = 5
} weir_wire_type_t;

typedef struct {
    uint64_t field; /* its number in the .proto file */
    weir_wire_type_t type;
    uint64_t number;  /* of a VARINT, FIXED64, FIXED32 */
    weir_str_t bytes; /* of BYTES */
} weir_wire_t;

static inline bool weir_wire_varint(weir_str_t *in, uint64_t *n)
{
    *n = 0;

    for (unsigned shift = 0; shift < 64 && in->len > 0; shift += 7) {
        unsigned char byte = (unsigned char)*in->data++;

        in->len--;
        *n |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }

    return false;
}

static inline bool weir_wire_bytes(weir_str_t *in, uint64_t n, weir_str_t *bytes)
{
    if (n > in->len)
        return false;

    *bytes = (weir_str_t){in->data, (size_t)n};
    in->data += n;
    in->len -= (size_t)n;

    return true;
}

static inline bool weir_wire_fixed(weir_str_t *in, unsigned size, uint64_t *n)
{
    weir_str_t bytes;

    *n = 0;
    if (!weir_wire_bytes(in, size, &bytes))
        return false;

    for (unsigned i = 0; i < size; i++)
        *n |= (uint64_t)(unsigned char)bytes.data[i] << (8 * i);

    return true;
}

/*
 * Takes one field from the message, which must not be empty. False if the message is malformed;
 * groups, which no message of OpenTelemetry has, count as that.
 */
static inline bool weir_wire_take(weir_str_t *in, weir_wire_t *wire)
{
    uint64_t tag;

    if (!weir_wire_varint(in, &tag))
        return false;

    *wire = (weir_wire_t){.field = tag >> 3, .type = (weir_wire_type_t)(tag & 7)};
    if (wire->field == 0)
        return false;

    switch (wire->type) {
    case WEIR_WIRE_VARINT:
        return weir_wire_varint(in, &wire->number);
    case WEIR_WIRE_FIXED64:
        return weir_wire_fixed(in, 8, &wire->number);
    case WEIR_WIRE_FIXED32:
        return weir_wire_fixed(in, 4, &wire->number);
    case WEIR_WIRE_BYTES:
        return weir_wire_varint(in, &wire->number) &&
               weir_wire_bytes(in, wire->number, &wire->bytes);
    }

    return false;
}

#endif
