/* Metrics as OTLP in protobuf. */
#ifndef WEIR_METRICS_PROTOBUF_H
#define WEIR_METRICS_PROTOBUF_H

#include "common/metrics/otlp/format.h"

extern const weir_otlp_format_t weir_otlp_format_protobuf;

#endif
