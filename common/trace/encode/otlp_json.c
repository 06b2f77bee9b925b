/*
 * Spans as OTLP in JSON: the messages of otlp.c in the JSON mapping of protobuf, with ids in
 * hexadecimal, enums as numbers, and 64-bit integers as strings (OTLP 1.x, "JSON Protobuf
 * Encoding").
 */
#include "common/trace/encode/otlp_json.h"

#include "common/version.h"

static void put_time(weir_out_t *out, uint64_t ns)
{
    weir_out_byte(out, '"');
    weir_out_number(out, (int64_t)ns);
    weir_out_byte(out, '"');
}

static void put_texts(weir_out_t *out, const weir_attribute_t *a)
{
    weir_out_literal(out, "\"arrayValue\":{\"values\":[");
    for (size_t i = 0; i < a->value.texts.n; i++) {
        if (i > 0)
            weir_out_byte(out, ',');
        weir_out_literal(out, "{\"stringValue\":");
        weir_out_string(out, a->value.texts.elts[i]);
        weir_out_byte(out, '}');
    }
    weir_out_literal(out, "]}");
}

static void put_value(weir_out_t *out, const weir_attribute_t *a)
{
    switch (a->type) {
    case WEIR_ATTRIBUTE_TEXT:
        weir_out_literal(out, "\"stringValue\":");
        weir_out_string(out, a->value.text);
        break;
    case WEIR_ATTRIBUTE_NUMBER:
        weir_out_literal(out, "\"intValue\":\"");
        weir_out_number(out, a->value.number);
        weir_out_byte(out, '"');
        break;
    case WEIR_ATTRIBUTE_DOUBLE:
        weir_out_literal(out, "\"doubleValue\":");
        weir_out_double(out, a->value.real);
        break;
    case WEIR_ATTRIBUTE_BOOL:
        weir_out_literal(out, "\"boolValue\":");
        if (a->value.flag)
            weir_out_literal(out, "true");
        else
            weir_out_literal(out, "false");
        break;
    case WEIR_ATTRIBUTE_TEXTS:
        put_texts(out, a);
        break;
    }
}

void weir_otlp_json_put_attributes(weir_out_t *out, const weir_attributes_t *attributes)
{
    weir_out_literal(out, "\"attributes\":[");
    for (size_t i = 0; i < attributes->n; i++) {
        const weir_attribute_t *a = &attributes->elts[i];

        if (i > 0)
            weir_out_byte(out, ',');
        weir_out_literal(out, "{\"key\":");
        weir_out_string(out, weir_str(a->name));
        weir_out_literal(out, ",\"value\":{");
        put_value(out, a);
        weir_out_literal(out, "}}");
    }
    weir_out_byte(out, ']');
}

static void put_events(weir_out_t *out, const weir_span_t *span)
{
    if (span->event_count == 0)
        return;

    weir_out_literal(out, ",\"events\":[");
    for (size_t i = 0; i < span->event_count; i++) {
        const weir_span_event_t *event = &span->events[i];

        if (i > 0)
            weir_out_byte(out, ',');
        weir_out_literal(out, "{\"timeUnixNano\":");
        put_time(out, event->time);
        weir_out_literal(out, ",\"name\":");
        weir_out_string(out, weir_str(event->name));
        weir_out_byte(out, ',');
        weir_otlp_json_put_attributes(out, &event->attributes);
        weir_out_byte(out, '}');
    }
    weir_out_byte(out, ']');
}

static void put_links(weir_out_t *out, const weir_span_t *span)
{
    if (span->link_count == 0)
        return;

    weir_out_literal(out, ",\"links\":[");
    for (size_t i = 0; i < span->link_count; i++) {
        const weir_span_link_t *link = &span->links[i];

        if (i > 0)
            weir_out_byte(out, ',');
        weir_out_literal(out, "{\"traceId\":");
        weir_out_id(out, link->trace_id, WEIR_TRACE_ID_LEN);
        weir_out_literal(out, ",\"spanId\":");
        weir_out_id(out, link->span_id, WEIR_SPAN_ID_LEN);
        weir_out_byte(out, ',');
        weir_otlp_json_put_attributes(out, &link->attributes);
        if (link->flags != 0) {
            weir_out_literal(out, ",\"flags\":");
            weir_out_number(out, link->flags);
        }
        weir_out_byte(out, '}');
    }
    weir_out_byte(out, ']');
}

static void put_status(weir_out_t *out, const weir_span_t *span)
{
    weir_out_literal(out, ",\"status\":{");
    if (span->status != WEIR_SPAN_STATUS_UNSET) {
        weir_out_literal(out, "\"code\":");
        weir_out_number(out, span->status);
    }
    if (span->status == WEIR_SPAN_STATUS_ERROR && span->status_message.len != 0) {
        weir_out_literal(out, ",\"message\":");
        weir_out_string(out, span->status_message);
    }
    weir_out_byte(out, '}');
}

static void put_ids(weir_out_t *out, const weir_span_t *span)
{
    weir_out_literal(out, "{\"traceId\":");
    weir_out_id(out, span->trace_id, WEIR_TRACE_ID_LEN);
    weir_out_literal(out, ",\"spanId\":");
    weir_out_id(out, span->span_id, WEIR_SPAN_ID_LEN);
    if (!weir_out_is_zero(span->parent_id, WEIR_SPAN_ID_LEN)) {
        weir_out_literal(out, ",\"parentSpanId\":");
        weir_out_id(out, span->parent_id, WEIR_SPAN_ID_LEN);
    }
    if (span->tracestate.len != 0) {
        weir_out_literal(out, ",\"traceState\":");
        weir_out_string(out, span->tracestate);
    }
}

static void encode(weir_out_t *out, const weir_span_t *span, const weir_span_resource_t *resource)
{
    (void)resource;
    put_ids(out, span);
    weir_out_literal(out, ",\"flags\":");
    weir_out_number(out, span->flags | 0x100 | (span->remote_parent ? 0x200 : 0));
    weir_out_literal(out, ",\"name\":");
    weir_out_string(out, span->name);
    weir_out_literal(out, ",\"kind\":");
    weir_out_number(out, span->kind);
    weir_out_literal(out, ",\"startTimeUnixNano\":");
    put_time(out, span->start);
    weir_out_literal(out, ",\"endTimeUnixNano\":");
    put_time(out, span->end);
    weir_out_byte(out, ',');
    weir_otlp_json_put_attributes(out, &span->attributes);
    put_events(out, span);
    put_links(out, span);
    put_status(out, span);
    weir_out_byte(out, '}');
}

static void head(weir_out_t *out, const weir_span_resource_t *resource, size_t spans_len)
{
    (void)spans_len;
    weir_out_literal(out, "{\"resourceSpans\":[{\"resource\":{");
    weir_otlp_json_put_attributes(out, &resource->attributes);
    weir_out_literal(out, "},\"scopeSpans\":[{\"scope\":{\"name\":\"" WEIR_SPAN_SCOPE
                          "\",\"version\":\"" WEIR_VERSION "\"},\"schemaUrl\":\"" WEIR_SPAN_SCHEMA
                          "\",\"spans\":[");
}

const weir_encoder_t weir_otlp_json = {
    .media_type = "application/json",
    .encode = encode,
    .head = head,
    .separator = {",", 1},
    .tail = {"]}]}]}", 6},
};
