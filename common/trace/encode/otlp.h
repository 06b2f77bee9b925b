/* Spans as OTLP in protobuf. */
#ifndef WEIR_OTLP_H
#define WEIR_OTLP_H

#include "common/trace/encode/encoder.h"

extern const weir_encoder_t weir_otlp;

#endif
