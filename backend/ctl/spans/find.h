/* One trace of a file of spans. */
#ifndef WEIR_SPANS_FIND_H
#define WEIR_SPANS_FIND_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Spans of a trace that are read, and the bytes of their lines; what is beyond is left out. */
#define WEIR_SPANS_FOUND_MAX 10000
#define WEIR_SPANS_FOUND_BYTES_MAX (16u * 1024 * 1024)

/* True if the text is the id of a trace: 32 hexadecimal digits, of which one is not zero. */
bool weir_spans_is_id(const char *text, size_t len);

/*
 * The trace as one document of OTLP in JSON, which the caller frees: resourceSpans, each span once,
 * in the order of their arrival; none if the file has none. A member left_out has the number of
 * further spans, if there are any. id is in lower case. NULL with a message if the file cannot be
 * read.
 */
json_t *weir_spans_find(const char *path, const char *id, char *error, size_t size);

#endif
