/* Spans as OTLP in JSON. */
#ifndef WEIR_OTLP_JSON_H
#define WEIR_OTLP_JSON_H

#include "common/trace/encode/encoder.h"

extern const weir_encoder_t weir_otlp_json;

/* The member "attributes". */
void weir_otlp_json_put_attributes(weir_out_t *out, const weir_attributes_t *attributes);

#endif
