/* What each encoder of spans provides to common/trace/span.c. */
#ifndef WEIR_ENCODER_H
#define WEIR_ENCODER_H

#include "common/trace/encode/out.h"
#include "common/trace/span.h"

/* What encoded spans belong to: https://opentelemetry.io/docs/specs/otel/schemas/ */
#define WEIR_SPAN_SCOPE "weir"
#define WEIR_SPAN_SCHEMA "https://opentelemetry.io/schemas/1.37.0"

typedef struct {
    const char *media_type;
    void (*encode)(weir_out_t *out, const weir_span_t *span, const weir_span_resource_t *resource);
    void (*head)(weir_out_t *out, const weir_span_resource_t *resource, size_t spans_len);
    weir_str_t separator;
    weir_str_t tail;
} weir_encoder_t;

#endif
