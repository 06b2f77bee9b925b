#include "log/trace.h"

#include "common/trace/late/late.h"
#include "common/trace/tracestate.h"

#include <string.h>

void weir_trace_text(const weir_trace_t *trace, char out[WEIR_TRACE_TEXT])
{
    weir_traceparent_format(&trace->at, out);
    if (trace->tracestate == NULL)
        return;
    out[WEIR_TRACEPARENT_LEN] = ' ';
    strcpy(out + WEIR_TRACEPARENT_LEN + 1, trace->tracestate);
}

bool weir_trace_is_state(weir_str_t state)
{
    weir_tracestate_t parsed;

    return state.len <= WEIR_TRACE_STATE_MAX && weir_tracestate_parse(&state, 1, &parsed) == 0 &&
           parsed.n > 0;
}

void weir_trace_set_state(weir_trace_t *trace, const char *state)
{
    trace->tracestate = state;
    trace->late = state != NULL && weir_trace_is_late(weir_str(state));
}
