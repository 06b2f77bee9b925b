/* The headers of B3 (github.com/openzipkin/b3-propagation): a single one, b3, or several. */
#ifndef WEIR_B3_H
#define WEIR_B3_H

#include "common/trace/context.h"

typedef enum {
    WEIR_B3_DEFERRED, /* the receiver decides */
    WEIR_B3_DENIED,
    WEIR_B3_ACCEPTED,
    WEIR_B3_DEBUG /* accepted, and more than that */
} weir_b3_sampling_t;

/* X-B3-TraceId ... as they were received; len 0: without this header. */
typedef struct {
    weir_str_t trace_id;
    weir_str_t span_id;
    weir_str_t sampled;
    weir_str_t flags;
} weir_b3_multi_t;

#define WEIR_B3_LEN 51 /* trace id, span id, sampling: without a parent */

/*
 * Reads the value of b3, or the headers. Returns 0; 1 if only a sampling decision was received, and
 * the context is not set; or -1 if they are malformed and must be ignored. A trace id of 64 bits
 * is filled with zeros on the left. *sampling is set unless -1 is returned; the flag SAMPLED of
 * the context agrees with it.
 */
int weir_b3_parse(weir_str_t value, weir_context_t *out, weir_b3_sampling_t *sampling);
int weir_b3_parse_multi(const weir_b3_multi_t *headers, weir_context_t *out,
                        weir_b3_sampling_t *sampling);

/* Writes the value of b3, without a NUL. */
void weir_b3_format(const weir_context_t *context, char out[WEIR_B3_LEN]);

#endif
