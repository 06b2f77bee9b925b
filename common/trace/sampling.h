/*
 * Consistent probability sampling (OpenTelemetry, "TraceState: Probability Sampling" and
 * "OpenTelemetry TraceState handling"): a trace is kept if its randomness is at least a threshold,
 * so all systems that keep a tenth keep the same tenth. The member "ot" of tracestate carries the
 * threshold (th) that was applied, and may carry the randomness (rv).
 */
#ifndef WEIR_SAMPLING_H
#define WEIR_SAMPLING_H

#include "common/text/str.h"
#include "common/trace/context.h"
#include "common/trace/tracestate.h"

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>

/* Thresholds and randomness have 56 bits. No trace reaches the threshold NEVER. */
#define WEIR_SAMPLING_ALWAYS 0
#define WEIR_SAMPLING_NEVER (UINT64_C(1) << 56)

/*
 * The threshold of a ratio from 0 to 1, rounded to four significant hexadecimal digits, as it is
 * written; a ratio below 2^-56 is 0.
 */
uint64_t weir_sampling_threshold(double ratio);

/*
 * The randomness of a trace: rv of the member's value ot if that has one, else the last 7 bytes of
 * its id.
 */
uint64_t weir_sampling_randomness(const uint8_t trace_id[WEIR_TRACE_ID_LEN], weir_str_t ot);

/* The randomness of an id whose last 8 bytes are these, in their order. */
static inline uint64_t weir_sampling_randomness_of(uint64_t last)
{
    return be64toh(last) & (WEIR_SAMPLING_NEVER - 1);
}

/*
 * Writes the value of "ot" with th of that threshold instead of an earlier one; without th if it is
 * NEVER. The other sub-members are kept as they are. Returns the length; 0: no member is needed.
 * A value that does not fit into WEIR_TRACESTATE_VALUE bytes gets no other sub-members but rv.
 */
size_t weir_sampling_member(weir_str_t ot, uint64_t threshold, char out[WEIR_TRACESTATE_VALUE]);

#endif
