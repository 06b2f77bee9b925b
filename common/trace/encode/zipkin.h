/* Spans as Zipkin v2 JSON. */
#ifndef WEIR_ZIPKIN_H
#define WEIR_ZIPKIN_H

#include "common/trace/encode/encoder.h"

extern const weir_encoder_t weir_zipkin;

#endif
