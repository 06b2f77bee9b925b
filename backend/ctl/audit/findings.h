/* What "weirctl audit verify" has found, as rows for a table. */
#ifndef WEIR_CTL_FINDINGS_H
#define WEIR_CTL_FINDINGS_H

#include <jansson.h>
#include <stdint.h>

#define WEIR_FINDINGS_MAX 1000 /* rows; more are only counted */

typedef struct {
    json_t *rows; /* an array; the owner decrefs it */
    uint64_t count;
} weir_findings_t;

/*
 * Adds a row. where is "202611/17" or "head 12", format a printf() format of a sentence without a
 * full stop.
 */
void weir_findings_add(weir_findings_t *findings, const char *finding, const char *where,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
