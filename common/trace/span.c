#include "common/trace/span_out.h"

#include "common/problem.h"
#include "common/text/hex.h"
#include "common/text/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static const weir_span_encoder_t *encoder(weir_span_format_t format)
{
    static const weir_span_encoder_t *const encoders[] = {
        [WEIR_SPAN_FORMAT_PROTOBUF] = &weir_span_otlp,
        [WEIR_SPAN_FORMAT_JSON] = &weir_span_otlp_json,
        [WEIR_SPAN_FORMAT_ZIPKIN] = &weir_span_zipkin,
    };

    assert((size_t)format < sizeof(encoders) / sizeof(encoders[0]));

    return encoders[format];
}

const char *weir_span_media_type(weir_span_format_t format)
{
    return encoder(format)->media_type;
}

/* If the output is full, its length with the slack is beyond cap, and enough for the next try. */
static size_t finish(const weir_span_out_t *out)
{
    if (!out->full)
        return out->len;

    return (out->len > out->cap ? out->len : out->cap) + WEIR_SPAN_OUT_SLACK;
}

size_t weir_span_encode(weir_span_format_t format, const weir_span_t *span,
                        const weir_resource_t *resource, char *buf, size_t cap)
{
    weir_span_out_t out = {buf, cap, 0, false};

    encoder(format)->encode(&out, span, resource);

    return finish(&out);
}

size_t weir_span_head(weir_span_format_t format, const weir_resource_t *resource, size_t spans_len,
                      char *buf, size_t cap)
{
    weir_span_out_t out = {buf, cap, 0, false};

    encoder(format)->head(&out, resource, spans_len);

    return finish(&out);
}

weir_str_t weir_span_separator(weir_span_format_t format)
{
    return encoder(format)->separator;
}

weir_str_t weir_span_tail(weir_span_format_t format)
{
    return encoder(format)->tail;
}

/* --- text ------------------------------------------------------------------------------------ */

size_t weir_span_out_utf8_len(weir_str_t text)
{
    size_t len = 0, n;

    for (size_t i = 0; i < text.len;) {
        n = weir_utf8_sequence(text.data + i, text.len - i);
        len += n != 0 ? n : sizeof(WEIR_UTF8_REPLACEMENT) - 1;
        i += n != 0 ? n : 1;
    }

    return len;
}

void weir_span_out_text(weir_span_out_t *out, weir_str_t text, size_t len)
{
    size_t n;

    if (len == text.len) { /* an invalid byte would have made it longer */
        weir_span_out_bytes(out, text.data, text.len);
        return;
    }

    for (size_t i = 0; i < text.len;) {
        n = weir_utf8_sequence(text.data + i, text.len - i);
        if (n != 0) {
            weir_span_out_bytes(out, text.data + i, n);
            i += n;
        } else {
            weir_span_out_literal(out, WEIR_UTF8_REPLACEMENT);
            i++;
        }
    }
}

/* --- JSON ------------------------------------------------------------------------------------ */

void weir_span_out_string(weir_span_out_t *out, weir_str_t text)
{
    size_t room = out->len < out->cap ? out->cap - out->len : 0;

    size_t len = weir_json_string(room != 0 ? out->buf + out->len : NULL, room, text);

    if (len > room)
        out->full = true;
    out->len += len;
}

void weir_span_out_id(weir_span_out_t *out, const uint8_t *id, size_t n)
{
    char text[2 * WEIR_TRACE_ID_LEN];

    assert(n <= WEIR_TRACE_ID_LEN);
    weir_hex(text, id, n);
    weir_span_out_byte(out, '"');
    weir_span_out_bytes(out, text, 2 * n);
    weir_span_out_byte(out, '"');
}

void weir_span_out_number(weir_span_out_t *out, int64_t number)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%" PRId64, number);

    assert(n > 0 && (size_t)n < sizeof(text));
    weir_span_out_bytes(out, text, (size_t)n);
}

/* JSON has no number that is not finite; ProtoJSON writes their names. */
void weir_span_out_double(weir_span_out_t *out, double number)
{
    char text[32];
    int n;

    if (isnan(number)) {
        weir_span_out_literal(out, "\"NaN\"");
    } else if (isinf(number)) {
        weir_span_out_literal(out, "\"");
        if (number < 0)
            weir_span_out_byte(out, '-');
        weir_span_out_literal(out, "Infinity\"");
    } else {
        n = snprintf(text, sizeof(text), "%.17g", number);
        assert(n > 0 && (size_t)n < sizeof(text));
        weir_span_out_bytes(out, text, (size_t)n);
    }
}
