/*
 * A line about each trace of a file of spans: what a list of traces shows. It is kept in memory,
 * for as many traces as the file has.
 */
#ifndef WEIR_SPANS_SUMMARY_H
#define WEIR_SPANS_SUMMARY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct weir_spans_summary weir_spans_summary_t;

weir_spans_summary_t *weir_spans_summary_new(const char *path);
void weir_spans_summary_free(weir_spans_summary_t *summary);

/* Reads what has been added to the file. False with a message. */
bool weir_spans_summary_read(weir_spans_summary_t *summary, char *error, size_t size);

/* To be called after the file was written: gives back the disk space of a file that is gone. */
void weir_spans_summary_settle(weir_spans_summary_t *summary);

typedef struct {
    bool slowest; /* first, instead of the newest */
    bool errors;  /* those with a span whose status is an error, only */
    size_t limit;
} weir_spans_choice_t;

/*
 * An array of objects, which the caller frees: trace_id; start (RFC 3339); ms, the duration of the
 * root span, or, as long as that is missing, from the first start to the last end; spans, those
 * received, of which some may be the same; errors, spans; service and name of the root, or of the
 * first span.
 */
json_t *weir_spans_summary_list(const weir_spans_summary_t *summary,
                                const weir_spans_choice_t *choice);

#endif
