/*
 * The span that a request or an event is in: whose ids are in its log lines, and which is the
 * parent of what it causes.
 */
#ifndef WEIR_TRACE_H
#define WEIR_TRACE_H

#include "common/trace/traceparent.h"

#include <stdbool.h>

typedef struct {
    weir_traceparent_t at;  /* parent_id is this span, the parent of the next ones */
    const char *tracestate; /* what other systems keep in the trace, or NULL */
    bool late;              /* it says that the trace may be kept late (common/trace/late) */
} weir_trace_t;

/* Room for a traceparent, a blank and a tracestate (Trace Context Level 2, section 3.3.1.5). */
#define WEIR_TRACE_STATE_MAX 512
#define WEIR_TRACE_TEXT (WEIR_TRACEPARENT_LEN + 1 + WEIR_TRACE_STATE_MAX + 1)

/*
 * True for a tracestate that may be passed on as it is: at most WEIR_TRACE_STATE_MAX bytes, a list
 * of at most 32 well-formed members (section 3.3.1).
 */
bool weir_trace_is_state(weir_str_t state);

/* Gives the trace a tracestate that may be passed on, or NULL; the text is not copied. */
void weir_trace_set_state(weir_trace_t *trace, const char *state);

/* The context as text for a command: traceparent, and a blank and tracestate if there is one. */
void weir_trace_text(const weir_trace_t *trace, char out[WEIR_TRACE_TEXT]);

#endif
