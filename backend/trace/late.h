/*
 * Spans of traces that are not sampled, and that the caller may keep late (common/trace/late):
 * they are held until the trace's id comes, or until there is no more room or time.
 *
 *   span ends ──▶ held ──────── id comes ──▶ kept: sent
 *                  │ no room, or too old
 *                  ▼
 *                counted in its trace ── id comes ──▶ the trace says how many spans it lacks
 *
 * An id that comes before a span ends is remembered for a time: the span is sent when it ends.
 *
 * Limits: the bytes of held spans; traces, of which there are those that are not decided (with held
 * spans, or a count of lost ones) and those that are kept. At a limit the oldest is forgotten. Ages
 * are looked at when a span is added. All of it belongs to the event loop's thread.
 */
#ifndef WEIR_LATE_STORE_H
#define WEIR_LATE_STORE_H

#include "common/trace/context.h"
#include "trace/finished.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a kept trace lacks. */
typedef struct {
    uint8_t trace_id[WEIR_TRACE_ID_LEN];
    uint8_t parent_id[WEIR_SPAN_ID_LEN]; /* of the first one that was lost */
    uint64_t start, end;                 /* ns since 1970: of all of them */
    uint64_t spans;
} weir_late_missing_t;

typedef struct {
    size_t bytes;                        /* of held spans; not 0 */
    uint64_t hold_ms;                    /* older ones go when a span is added */
    uint64_t remember_ms;                /* for ids, and for counts of lost spans */
    void (*keep)(weir_finished_t *span); /* the span is to be sent, and belongs to fn then */
    void (*missing)(const weir_late_missing_t *missing); /* for each kept trace that lacks spans */
} weir_late_settings_t;

void weir_late_start(const weir_late_settings_t *settings);

/* Takes a span that has ended: it is held, kept at once, or dropped and counted. */
void weir_late_add(weir_finished_t *span);

/* The id of a trace that is kept. */
void weir_late_keep(const uint8_t trace_id[WEIR_TRACE_ID_LEN]);

#endif
