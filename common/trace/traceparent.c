#include "common/trace/traceparent.h"

#include "common/text/hex.h"
#include "common/ids/random.h"

#include <stdio.h>

/* Copies n lower-case hexadecimal digits; -1 for another character, or only zeros. */
static int identifier(const char *in, size_t n, char *out)
{
    int nonzero = 0;

    for (size_t i = 0; i < n; i++) {
        if (weir_unhex(in[i], 0) < 0)
            return -1;
        nonzero |= in[i] != '0';
        out[i] = in[i];
    }
    out[n] = '\0';

    return nonzero ? 0 : -1;
}

static int octet(const char *in)
{
    int high = weir_unhex(in[0], 0), low = weir_unhex(in[1], 0);

    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

int weir_traceparent_parse(weir_str_t value, weir_traceparent_t *out)
{
    const char *p = value.data;
    int version, flags;

    if (value.len < WEIR_TRACEPARENT_LEN)
        return -1;

    version = octet(p);
    flags = octet(p + 53);
    if (version < 0 || version == 0xff || flags < 0)
        return -1;

    /* Version 00 ends here; a later version may continue with a dash. */
    if (value.len > WEIR_TRACEPARENT_LEN && (version == 0 || p[WEIR_TRACEPARENT_LEN] != '-'))
        return -1;

    if (p[2] != '-' || p[35] != '-' || p[52] != '-')
        return -1;

    if (identifier(p + 3, 32, out->trace_id) != 0 || identifier(p + 36, 16, out->parent_id) != 0)
        return -1;

    /* Only this bit is known; other bits must not be passed on (section 3.2.2.5.2). */
    out->flags = (uint8_t)(flags & 1);

    return 0;
}

static void new_identifier(char *out, size_t digits)
{
    uint8_t bytes[16];

    weir_random(bytes, digits / 2);
    bytes[0] |= 1; /* never all zero */
    weir_hex(out, bytes, digits / 2);
    out[digits] = '\0';
}

void weir_traceparent_new(weir_traceparent_t *out)
{
    new_identifier(out->trace_id, 32);
    new_identifier(out->parent_id, 16);
    out->flags = 1;
}

void weir_traceparent_child(const weir_traceparent_t *parent, weir_traceparent_t *out)
{
    memcpy(out->trace_id, parent->trace_id, sizeof(out->trace_id));
    new_identifier(out->parent_id, 16);
    out->flags = parent->flags;
}

void weir_traceparent_format(const weir_traceparent_t *trace, char out[WEIR_TRACEPARENT_LEN + 1])
{
    snprintf(out, WEIR_TRACEPARENT_LEN + 1, "00-%s-%s-%02x", trace->trace_id, trace->parent_id,
             trace->flags);
}
