#include "common/trace/encode/otlp.h"
#include "common/trace/encode/otlp_json.h"
#include "common/trace/encode/zipkin.h"

#include <assert.h>

static const weir_encoder_t *encoder(weir_span_format_t format)
{
    static const weir_encoder_t *const encoders[] = {
        [WEIR_SPAN_FORMAT_PROTOBUF] = &weir_otlp,
        [WEIR_SPAN_FORMAT_JSON] = &weir_otlp_json,
        [WEIR_SPAN_FORMAT_ZIPKIN] = &weir_zipkin,
    };

    assert((size_t)format < sizeof(encoders) / sizeof(encoders[0]));

    return encoders[format];
}

const char *weir_span_media_type(weir_span_format_t format)
{
    return encoder(format)->media_type;
}

/* If the output is full, its length with the slack is beyond cap, and enough for the next try. */
static size_t finish(const weir_out_t *out)
{
    if (!out->full)
        return out->len;

    return (out->len > out->cap ? out->len : out->cap) + WEIR_OUT_SLACK;
}

size_t weir_span_encode(weir_span_format_t format, const weir_span_t *span,
                        const weir_span_resource_t *resource, char *buf, size_t cap)
{
    weir_out_t out = {buf, cap, 0, false};

    encoder(format)->encode(&out, span, resource);

    return finish(&out);
}

size_t weir_span_head(weir_span_format_t format, const weir_span_resource_t *resource,
                      size_t spans_len, char *buf, size_t cap)
{
    weir_out_t out = {buf, cap, 0, false};

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
