/* Spans as OTLP in JSON. */
#ifndef WEIR_OTLP_JSON_H
#define WEIR_OTLP_JSON_H

#include "common/trace/encode/encoder.h"

extern const weir_encoder_t weir_otlp_json;

#endif
