#include "common/trace/late/late.h"

#include "common/trace/tracestate.h"

#define DIGITS (2 * WEIR_TRACE_ID_LEN)

bool weir_trace_is_late(weir_str_t tracestate)
{
    weir_tracestate_t state;

    return tracestate.len > 0 && weir_tracestate_parse(&tracestate, 1, &state) == 0 &&
           weir_str_eq(weir_tracestate_get(&state, WEIR_STR(WEIR_TRACE_LATE_KEY)),
                       WEIR_STR(WEIR_TRACE_LATE_VALUE));
}

int weir_trace_next_id(weir_str_t *text, uint8_t id[WEIR_TRACE_ID_LEN])
{
    size_t taken = DIGITS;

    if (text->len == 0)
        return 0;
    if (text->len < DIGITS || weir_context_read_id(text->data, id, WEIR_TRACE_ID_LEN) != 0)
        return -1;
    if (text->len > DIGITS) {
        if (text->data[DIGITS] != ' ' || text->len == DIGITS + 1)
            return -1;
        taken++;
    }
    text->data += taken;
    text->len -= taken;

    return 1;
}
