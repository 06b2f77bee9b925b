/* Spans as OTLP in protobuf. */
#ifndef WEIR_OTLP_H
#define WEIR_OTLP_H

#include "common/trace/encode/encoder.h"

extern const weir_encoder_t weir_otlp;

/* Those of metrics are the same: the field resource = 1, and the members of Scope… but the last. */
void weir_otlp_put_resource(weir_out_t *out, const weir_span_resource_t *resource);
void weir_otlp_put_scope(weir_out_t *out);

/* An attribute of a span. */
void weir_otlp_put_attribute(weir_out_t *out, const weir_attribute_t *attribute);

#endif
