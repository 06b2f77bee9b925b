/*
 * The traceparent header (W3C Trace Context, Recommendation of 2021-11-23, section 3.2): the trace
 * of a request, and its parent span.
 */
#ifndef WEIR_TRACEPARENT_H
#define WEIR_TRACEPARENT_H

#include "common/text/str.h"

#include <stdint.h>

#define WEIR_TRACEPARENT_LEN 55

typedef struct {
    char trace_id[33];  /* 32 lower-case digits, not all zero, with a NUL */
    char parent_id[17]; /* 16 of them: the parent span */
    uint8_t flags;      /* bit 0: sampled */
} weir_traceparent_t;

/*
 * Reads the header's value.  Returns 0, or -1 if it must be ignored (section 3.2.2.3).  Values of
 * later versions are read as far as version 00 defines them.
 */
int weir_traceparent_parse(weir_str_t value, weir_traceparent_t *out);

/* Begins a trace: new identifiers, sampled. */
void weir_traceparent_new(weir_traceparent_t *out);

/* Continues the trace with a new span. */
void weir_traceparent_child(const weir_traceparent_t *parent, weir_traceparent_t *out);

/* Writes the header's value in version 00, with a NUL. */
void weir_traceparent_format(const weir_traceparent_t *trace, char out[WEIR_TRACEPARENT_LEN + 1]);

#endif
