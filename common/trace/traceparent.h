/*
 * The context of a trace as text, for code that stores and logs it: see context.h, which is the one
 * implementation.
 */
#ifndef WEIR_TRACEPARENT_H
#define WEIR_TRACEPARENT_H

#include "common/trace/context.h"

#define WEIR_TRACEPARENT_LEN WEIR_CONTEXT_LEN

typedef struct {
    char trace_id[33];  /* 32 lower-case digits, not all zero, with a NUL */
    char parent_id[17]; /* 16 of them: the parent span */
    uint8_t flags;      /* WEIR_CONTEXT_SAMPLED, WEIR_CONTEXT_RANDOM */
} weir_traceparent_t;

/* As weir_context_parse(). */
int weir_traceparent_parse(weir_str_t value, weir_traceparent_t *out);

/* Begins a trace: new identifiers, sampled. */
void weir_traceparent_new(weir_traceparent_t *out);

/* Continues the trace with a new span. */
void weir_traceparent_child(const weir_traceparent_t *parent, weir_traceparent_t *out);

/* Writes the header's value in version 00, with a NUL. */
void weir_traceparent_format(const weir_traceparent_t *trace, char out[WEIR_TRACEPARENT_LEN + 1]);

#endif
