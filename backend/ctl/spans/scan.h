/*
 * Reads what a list of traces needs from a line of a file of spans, without building the line's
 * values in memory: some thirty times as fast as decode.h.
 */
#ifndef WEIR_SPANS_SCAN_H
#define WEIR_SPANS_SCAN_H

#include "common/text/str.h"
#include "common/trace/context.h"

#include <stdbool.h>
#include <stdint.h>

/* Texts are parts of the line, without escapes; of what is missing they are empty. */
typedef struct {
    char trace_id[2 * WEIR_TRACE_ID_LEN + 1]; /* in lower case, like the next one */
    char span_id[2 * WEIR_SPAN_ID_LEN + 1];
    bool is_root;
    bool is_error;
    uint64_t start, end; /* ns since 1970 */
    weir_str_t service;  /* the resource's service.name */
    weir_str_t name;
} weir_spans_scanned_t;

/*
 * A line with one span, in the order of members that weirctl trace receive writes: resource and
 * scope before the spans. False for any other line, which may have spans, too: decode.h reads it.
 * Values that are not needed are not checked.
 */
bool weir_spans_scan(weir_str_t line, weir_spans_scanned_t *scanned);

#endif
