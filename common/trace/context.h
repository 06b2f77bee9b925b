/*
 * The context of a trace, and the header traceparent that carries it: W3C Trace Context Level 2
 * (Candidate Recommendation of 2024-03-28), section 3.2.
 */
#ifndef WEIR_CONTEXT_H
#define WEIR_CONTEXT_H

#include "common/text/hex.h"
#include "common/text/str.h"

#include <stdint.h>
#include <string.h>

#define WEIR_TRACE_ID_LEN 16 /* bytes */
#define WEIR_SPAN_ID_LEN 8

#define WEIR_CONTEXT_SAMPLED 0x01 /* the caller may have recorded the trace */
#define WEIR_CONTEXT_RANDOM 0x02  /* the last 7 bytes of the trace id are random (Level 2) */

#define WEIR_CONTEXT_LEN 55 /* a traceparent of version 00 */

typedef struct {
    uint8_t trace_id[WEIR_TRACE_ID_LEN]; /* not all zero */
    uint8_t span_id[WEIR_SPAN_ID_LEN];   /* not all zero; of the parent, in a received context */
    uint8_t flags;                       /* WEIR_CONTEXT_...; no other bits */
} weir_context_t;

/*
 * Reads the value of traceparent. Returns 0, or -1 if it must be ignored (section 3.2.2.3). Values
 * of later versions are read as far as version 00 defines them (section 4.3); flags that are not
 * known are dropped (section 3.2.2.5.3).
 */
int weir_context_parse(weir_str_t value, weir_context_t *out);

/*
 * Writes the value of traceparent in version 00, without a NUL: with the id of this span in place
 * of the context's.
 */
static inline void weir_context_format_span(const weir_context_t *context,
                                            const uint8_t span_id[WEIR_SPAN_ID_LEN],
                                            char out[WEIR_CONTEXT_LEN])
{
    memcpy(out, "00-", 3);
    weir_hex(out + 3, context->trace_id, WEIR_TRACE_ID_LEN);
    out[35] = '-';
    weir_hex(out + 36, span_id, WEIR_SPAN_ID_LEN);
    out[52] = '-';
    out[53] = '0';
    out[54] = (char)('0' + (context->flags & 7)); /* no other bits */
}

/* The same, with the context's own span. */
static inline void weir_context_format(const weir_context_t *context, char out[WEIR_CONTEXT_LEN])
{
    weir_context_format_span(context, context->span_id, out);
}

/*
 * Reads an id of 2*n lower-case hexadecimal digits. Returns 0, or -1 for another character or only
 * zeros.
 */
int weir_context_read_id(const char *digits, uint8_t *id, size_t n);

#endif
