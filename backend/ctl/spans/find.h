/* One trace of a file of spans. */
#ifndef WEIR_SPANS_FIND_H
#define WEIR_SPANS_FIND_H

#include "common/text/str.h"
#include "common/trace/context.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Spans of a trace that are read, and the bytes of their lines; what is beyond is left out. */
#define WEIR_SPANS_FOUND_MAX 10000
#define WEIR_SPANS_FOUND_BYTES_MAX (16u * 1024 * 1024)

#define WEIR_SPANS_ID_LEN (2 * WEIR_TRACE_ID_LEN) /* digits */

/*
 * Reads the id of a trace, in lower case. False if the text is none: 32 hexadecimal digits, of
 * which one is not zero.
 */
bool weir_spans_read_id(weir_str_t text, char id[WEIR_SPANS_ID_LEN + 1]);

/*
 * The trace as one document of OTLP in JSON, which the caller frees: resourceSpans, each span once,
 * in the order of their arrival; none if the file has none. A member left_out has the number of
 * further spans, if there are any. id is in lower case. NULL with a message if the file cannot be
 * read.
 */
json_t *weir_spans_find(const char *path, const char *id, char *error, size_t size);

#endif
