/* Metrics as OTLP in JSON. */
#ifndef WEIR_METRICS_JSON_H
#define WEIR_METRICS_JSON_H

#include "common/metrics/otlp/format.h"

extern const weir_otlp_format_t weir_otlp_format_json;

#endif
