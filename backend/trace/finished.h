/* A span that has ended, encoded as it is sent; private to trace/. */
#ifndef WEIR_FINISHED_H
#define WEIR_FINISHED_H

#include "common/trace/span.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

typedef struct weir_finished weir_finished_t;

/* One memory of the heap. It is in one queue at a time, whose owner owns it. */
struct weir_finished {
    TAILQ_ENTRY(weir_finished) link;
    struct weir_held *held; /* of late.c */
    STAILQ_ENTRY(weir_finished) next;
    uint64_t since_ms;
    uint8_t trace_id[WEIR_TRACE_ID_LEN];
    uint8_t parent_id[WEIR_SPAN_ID_LEN];
    uint64_t start, end; /* ns since 1970 */
    size_t len;
    char bytes[];
};

TAILQ_HEAD(weir_finished_queue, weir_finished);

#endif
