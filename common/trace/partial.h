/*
 * Reader of OTLP's ExportTraceServiceResponse (collector/trace/v1), whose partial_success says that
 * a collector has rejected some spans of a request that it accepted.  Plain C; allocates nothing.
 */

#ifndef WEIR_PARTIAL_H
#define WEIR_PARTIAL_H

#include "common/text/str.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t rejected;  /* spans; 0 or less: none */
    char message[128]; /* printable, cut; empty: none */
} weir_partial_t;

/*
 * False if the body is malformed; partial then has nothing. An empty body, and one with fields that
 * are not known, are well-formed. The last one of repeated fields counts.
 */
bool weir_partial_protobuf(weir_str_t body, weir_partial_t *partial);

/*
 * The same for JSON. rejectedSpans may be a number or a string, as protobuf's mapping to JSON says,
 * and names may be those of the .proto file.
 */
bool weir_partial_json(weir_str_t body, weir_partial_t *partial);

/* Copies a collector's text for the log: printable, cut at the end of the array. */
void weir_partial_text(weir_str_t text, char *buf, size_t size);

#endif
