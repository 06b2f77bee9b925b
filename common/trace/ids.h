/*
 * New ids of traces and spans: from a generator in the process's memory (xoshiro256**), because one
 * is needed for every request. It is seeded by the kernel. The ids must be unique and uniformly
 * distributed; they are no secrets.
 */
#ifndef WEIR_TRACE_IDS_H
#define WEIR_TRACE_IDS_H

#include "common/trace/context.h"

/*
 * Seeds the generator of this process again: to be called after fork(), so that two processes do
 * not make the same ids. Without a call, the first id seeds it.
 */
void weir_trace_ids_seed(void);

/*
 * A new trace: both ids, and the flag RANDOM. A trace of which only the randomness is needed yet
 * (sampling.h) is begun by weir_trace_ids_draw(), which returns the last 8 bytes of its id in their
 * order, and may be completed later.
 */
uint64_t weir_trace_ids_draw(void);
void weir_trace_ids_complete(uint64_t drawn, weir_context_t *context);

static inline void weir_trace_ids_new(weir_context_t *context)
{
    weir_trace_ids_complete(weir_trace_ids_draw(), context);
}

/* A new span id, never all zero. */
void weir_trace_ids_span(uint8_t id[WEIR_SPAN_ID_LEN]);

#endif
