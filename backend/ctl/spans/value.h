/* Reading spans of OTLP in JSON, whose members may be of any type: files and peers are not trusted.
 */
#ifndef WEIR_SPANS_VALUE_H
#define WEIR_SPANS_VALUE_H

#include "common/text/rfc3339.h"

#include <jansson.h>
#include <stdint.h>

/* The text of a member; "" if it is none. It is the object's. */
const char *weir_spans_text(const json_t *object, const char *name);
/* A number of up to 64 bits, which may be a string; 0 if it is none. */
uint64_t weir_spans_number(const json_t *object, const char *name);
/* A time in ns since 1970, as RFC 3339 with milliseconds. */
void weir_spans_time(uint64_t ns, char out[WEIR_RFC3339_LEN + 1]);
/* The value (AnyValue) of an attribute; NULL: there is none. It is the object's. */
const json_t *weir_spans_attribute(const json_t *object, const char *key);
/* The same, if it is a text; otherwise "". */
const char *weir_spans_attribute_text(const json_t *object, const char *key);

#endif
