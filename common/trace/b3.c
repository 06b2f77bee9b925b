#include "common/trace/b3.h"

#include "common/text/hex.h"

static int read_trace_id(weir_str_t text, uint8_t id[WEIR_TRACE_ID_LEN])
{
    if (text.len == 32)
        return weir_context_read_id(text.data, id, WEIR_TRACE_ID_LEN);
    if (text.len != 16)
        return -1;

    memset(id, 0, 8);

    return weir_context_read_id(text.data, id + 8, 8);
}

static int read_ids(weir_str_t trace_id, weir_str_t span_id, weir_context_t *out)
{
    if (span_id.len != 16 || read_trace_id(trace_id, out->trace_id) != 0)
        return -1;

    return weir_context_read_id(span_id.data, out->span_id, WEIR_SPAN_ID_LEN);
}

/* Several implementations write true and false. */
static int read_sampled(weir_str_t text, weir_b3_sampling_t *sampling)
{
    if (weir_str_eq(text, WEIR_STR("1")) || weir_str_caseeq(text, WEIR_STR("true")))
        *sampling = WEIR_B3_ACCEPTED;
    else if (weir_str_eq(text, WEIR_STR("0")) || weir_str_caseeq(text, WEIR_STR("false")))
        *sampling = WEIR_B3_DENIED;
    else
        return -1;

    return 0;
}

static int read_state(weir_str_t text, weir_b3_sampling_t *sampling)
{
    if (weir_str_eq(text, WEIR_STR("d"))) {
        *sampling = WEIR_B3_DEBUG;
        return 0;
    }

    return text.len == 1 ? read_sampled(text, sampling) : -1;
}

static void set_flags(weir_b3_sampling_t sampling, weir_context_t *out)
{
    out->flags = sampling >= WEIR_B3_ACCEPTED ? WEIR_CONTEXT_SAMPLED : 0;
}

#define PARTS 4 /* trace id, span id, sampling, parent's span id */

/* Splits the value at its dashes; returns the number of parts, PARTS + 1 if there are more. */
static size_t split(weir_str_t value, weir_str_t parts[PARTS])
{
    const char *p = value.data, *end = p + value.len, *dash;
    size_t n = 0;

    for (;;) {
        if (n == PARTS)
            return n + 1;
        dash = p < end ? memchr(p, '-', (size_t)(end - p)) : NULL;
        parts[n].data = p;
        parts[n].len = (size_t)((dash != NULL ? dash : end) - p);
        n++;
        if (dash == NULL)
            return n;
        p = dash + 1;
    }
}

int weir_b3_parse(weir_str_t value, weir_context_t *out, weir_b3_sampling_t *sampling)
{
    weir_str_t parts[PARTS];
    uint8_t parent[WEIR_SPAN_ID_LEN];
    size_t n = split(value, parts);

    if (n == 1)
        return read_state(value, sampling) == 0 ? 1 : -1;
    if (n > PARTS || read_ids(parts[0], parts[1], out) != 0)
        return -1;

    *sampling = WEIR_B3_DEFERRED;
    if (n > 2 && read_state(parts[2], sampling) != 0)
        return -1;
    if (n > 3 &&
        (parts[3].len != 16 || weir_context_read_id(parts[3].data, parent, WEIR_SPAN_ID_LEN) != 0))
        return -1;

    set_flags(*sampling, out);

    return 0;
}

int weir_b3_parse_multi(const weir_b3_multi_t *headers, weir_context_t *out,
                        weir_b3_sampling_t *sampling)
{
    *sampling = WEIR_B3_DEFERRED;
    if (weir_str_eq(headers->flags, WEIR_STR("1")))
        *sampling = WEIR_B3_DEBUG;
    else if (headers->sampled.len != 0 && read_sampled(headers->sampled, sampling) != 0)
        return -1;

    if (headers->trace_id.len == 0 && headers->span_id.len == 0)
        return *sampling == WEIR_B3_DEFERRED ? -1 : 1;
    if (read_ids(headers->trace_id, headers->span_id, out) != 0)
        return -1;

    set_flags(*sampling, out);

    return 0;
}

void weir_b3_format(const weir_context_t *context, char out[WEIR_B3_LEN])
{
    weir_hex(out, context->trace_id, WEIR_TRACE_ID_LEN);
    out[32] = '-';
    weir_hex(out + 33, context->span_id, WEIR_SPAN_ID_LEN);
    out[49] = '-';
    out[50] = context->flags & WEIR_CONTEXT_SAMPLED ? '1' : '0';
}
