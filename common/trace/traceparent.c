#include "common/trace/traceparent.h"

#include "common/text/hex.h"
#include "common/trace/ids.h"

static void write_id(char *out, const uint8_t *id, size_t n)
{
    weir_hex(out, id, n);
    out[2 * n] = '\0';
}

static void from_context(const weir_context_t *context, weir_traceparent_t *out)
{
    write_id(out->trace_id, context->trace_id, WEIR_TRACE_ID_LEN);
    write_id(out->parent_id, context->span_id, WEIR_SPAN_ID_LEN);
    out->flags = context->flags;
}

int weir_traceparent_parse(weir_str_t value, weir_traceparent_t *out)
{
    weir_context_t context;

    if (weir_context_parse(value, &context) != 0)
        return -1;
    from_context(&context, out);

    return 0;
}

void weir_traceparent_new(weir_traceparent_t *out)
{
    weir_context_t context;

    weir_trace_ids_new(&context);
    context.flags |= WEIR_CONTEXT_SAMPLED;
    from_context(&context, out);
}

void weir_traceparent_child(const weir_traceparent_t *parent, weir_traceparent_t *out)
{
    uint8_t id[WEIR_SPAN_ID_LEN];

    memcpy(out->trace_id, parent->trace_id, sizeof(out->trace_id));
    weir_trace_ids_span(id);
    write_id(out->parent_id, id, WEIR_SPAN_ID_LEN);
    out->flags = parent->flags;
}

void weir_traceparent_format(const weir_traceparent_t *trace, char out[WEIR_TRACEPARENT_LEN + 1])
{
    memcpy(out, "00-", 3);
    memcpy(out + 3, trace->trace_id, 32);
    out[35] = '-';
    memcpy(out + 36, trace->parent_id, 16);
    out[52] = '-';
    weir_hex(out + 53, &trace->flags, 1);
    out[WEIR_TRACEPARENT_LEN] = '\0';
}
