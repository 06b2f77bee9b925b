/*
 * Traces that are kept late: the caller sends a request that is not sampled, and decides at its end
 * whether the trace is kept all the same. It says so in tracestate, and publishes the ids of the
 * traces that it has kept in a stream in Redis. Others hold their spans of such traces until then.
 *
 * A message of the stream has the field "ids": trace ids of 32 lower-case hexadecimal digits, with
 * one space between two.
 */
#ifndef WEIR_LATE_H
#define WEIR_LATE_H

#include "common/text/str.h"
#include "common/trace/context.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_TRACE_LATE_KEY "weir" /* the member of tracestate, and its value */
#define WEIR_TRACE_LATE_VALUE "late"

#define WEIR_TRACE_KEPT_STREAM "weir:traces:kept"

/* True if a well-formed tracestate has that member. */
bool weir_trace_is_late(weir_str_t tracestate);

/*
 * Takes the next id of a field "ids" from the beginning of *text. Returns 1, 0 at the end, or -1 if
 * the text goes on with anything else.
 */
int weir_trace_next_id(weir_str_t *text, uint8_t id[WEIR_TRACE_ID_LEN]);

#endif
