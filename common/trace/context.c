#include "common/trace/context.h"

#include "common/text/hex.h"

static int octet(const char *in)
{
    int high = weir_unhex(in[0], 0), low = weir_unhex(in[1], 0);

    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

int weir_context_read_id(const char *digits, uint8_t *id, size_t n)
{
    int byte, any = 0;

    for (size_t i = 0; i < n; i++) {
        byte = octet(digits + 2 * i);
        if (byte < 0)
            return -1;
        id[i] = (uint8_t)byte;
        any |= byte;
    }

    return any ? 0 : -1;
}

int weir_context_parse(weir_str_t value, weir_context_t *out)
{
    const char *p = value.data;
    int version, flags;

    if (value.len < WEIR_CONTEXT_LEN)
        return -1;

    version = octet(p);
    flags = octet(p + 53);
    if (version < 0 || version == 0xff || flags < 0)
        return -1;

    /* Version 00 ends here; a later version may continue with a dash. */
    if (value.len > WEIR_CONTEXT_LEN && (version == 0 || p[WEIR_CONTEXT_LEN] != '-'))
        return -1;

    if (p[2] != '-' || p[35] != '-' || p[52] != '-')
        return -1;

    if (weir_context_read_id(p + 3, out->trace_id, WEIR_TRACE_ID_LEN) != 0 ||
        weir_context_read_id(p + 36, out->span_id, WEIR_SPAN_ID_LEN) != 0)
        return -1;

    out->flags = (uint8_t)(flags & (WEIR_CONTEXT_SAMPLED | WEIR_CONTEXT_RANDOM));

    return 0;
}
