/*
 * Spans as Zipkin v2 JSON (zipkin.io/zipkin-api), by OpenTelemetry's "Transform to Zipkin". Zipkin
 * has no links, and its times are in microseconds.
 */
#include "common/trace/encode/zipkin.h"

#include "common/version.h"

#include <arpa/inet.h>

static const weir_attribute_t *find(const weir_attributes_t *attributes, const char *name)
{
    for (size_t i = 0; i < attributes->n; i++) {
        if (strcmp(attributes->elts[i].name, name) == 0)
            return &attributes->elts[i];
    }

    return NULL;
}

static const weir_attribute_t *find_text(const weir_attributes_t *attributes, const char *name)
{
    const weir_attribute_t *a = find(attributes, name);

    return a != NULL && a->type == WEIR_ATTRIBUTE_TEXT ? a : NULL;
}

/* The value in JSON: in an annotation. */
static void put_json(weir_out_t *out, const weir_attribute_t *a)
{
    switch (a->type) {
    case WEIR_ATTRIBUTE_TEXT:
        weir_out_string(out, a->value.text);
        break;
    case WEIR_ATTRIBUTE_NUMBER:
        weir_out_number(out, a->value.number);
        break;
    case WEIR_ATTRIBUTE_DOUBLE:
        weir_out_double(out, a->value.real);
        break;
    case WEIR_ATTRIBUTE_BOOL:
        if (a->value.flag)
            weir_out_literal(out, "true");
        else
            weir_out_literal(out, "false");
        break;
    case WEIR_ATTRIBUTE_TEXTS:
        weir_out_byte(out, '[');
        for (size_t i = 0; i < a->value.texts.n; i++) {
            if (i > 0)
                weir_out_byte(out, ',');
            weir_out_string(out, a->value.texts.elts[i]);
        }
        weir_out_byte(out, ']');
        break;
    }
}

/* What put_json() writes as the text of a string: tags have strings only. */
static void put_tag(weir_out_t *out, const weir_attribute_t *a)
{
    char room[1024];
    weir_out_t text = {room, sizeof(room), 0, false};

    if (a->type == WEIR_ATTRIBUTE_TEXT) {
        weir_out_string(out, a->value.text);
        return;
    }

    put_json(&text, a);
    if (text.len > sizeof(room)) { /* a long array: what would be cut is left out */
        weir_out_literal(out, "\"[]\"");
        return;
    }
    if (room[0] == '"') /* a number that is not finite */
        weir_out_bytes(out, room, text.len);
    else
        weir_out_string(out, (weir_str_t){room, text.len});
}

static void put_name(weir_out_t *out, const char *name, bool *first)
{
    if (!*first)
        weir_out_byte(out, ',');
    *first = false;
    weir_out_string(out, weir_str(name));
    weir_out_byte(out, ':');
}

static void put_tags(weir_out_t *out, const weir_span_t *span)
{
    bool first = true;

    weir_out_literal(out, ",\"tags\":{");
    for (size_t i = 0; i < span->attributes.n; i++) {
        put_name(out, span->attributes.elts[i].name, &first);
        put_tag(out, &span->attributes.elts[i]);
    }

    put_name(out, "otel.scope.name", &first);
    weir_out_literal(out, "\"" WEIR_SPAN_SCOPE "\"");
    put_name(out, "otel.scope.version", &first);
    weir_out_literal(out, "\"" WEIR_VERSION "\"");

    if (span->status == WEIR_SPAN_STATUS_OK) {
        put_name(out, "otel.status_code", &first);
        weir_out_literal(out, "\"OK\"");
    } else if (span->status == WEIR_SPAN_STATUS_ERROR) {
        put_name(out, "otel.status_code", &first);
        weir_out_literal(out, "\"ERROR\"");
        put_name(out, "error", &first);
        weir_out_string(out, span->status_message);
    }
    weir_out_byte(out, '}');
}

/* {"name":{"key":value}} as the text of an annotation; the name alone without attributes. */
static void put_annotation(weir_out_t *out, const weir_span_event_t *event)
{
    char room[2048];
    weir_out_t text = {room, sizeof(room), 0, false};
    bool first = true;

    weir_out_literal(&text, "{");
    weir_out_string(&text, weir_str(event->name));
    weir_out_literal(&text, ":{");
    for (size_t i = 0; i < event->attributes.n; i++) {
        put_name(&text, event->attributes.elts[i].name, &first);
        put_json(&text, &event->attributes.elts[i]);
    }
    weir_out_literal(&text, "}}");

    if (event->attributes.n == 0 || text.len > sizeof(room))
        weir_out_string(out, weir_str(event->name));
    else
        weir_out_string(out, (weir_str_t){room, text.len});
}

static void put_annotations(weir_out_t *out, const weir_span_t *span)
{
    if (span->event_count == 0)
        return;

    weir_out_literal(out, ",\"annotations\":[");
    for (size_t i = 0; i < span->event_count; i++) {
        if (i > 0)
            weir_out_byte(out, ',');
        weir_out_literal(out, "{\"timestamp\":");
        weir_out_number(out, (int64_t)(span->events[i].time / 1000));
        weir_out_literal(out, ",\"value\":");
        put_annotation(out, &span->events[i]);
        weir_out_byte(out, '}');
    }
    weir_out_byte(out, ']');
}

static void put_address(weir_out_t *out, const weir_attributes_t *attributes, bool *first)
{
    const weir_attribute_t *address = find_text(attributes, "network.peer.address");
    const weir_attribute_t *port = find(attributes, "network.peer.port");
    struct in6_addr binary;
    char text[INET6_ADDRSTRLEN];

    if (address == NULL || address->value.text.len >= sizeof(text))
        return;

    memcpy(text, address->value.text.data, address->value.text.len);
    text[address->value.text.len] = '\0';
    if (inet_pton(AF_INET, text, &binary) == 1)
        put_name(out, "ipv4", first);
    else if (inet_pton(AF_INET6, text, &binary) == 1)
        put_name(out, "ipv6", first);
    else
        return;
    weir_out_string(out, weir_str(text));

    if (port != NULL && port->type == WEIR_ATTRIBUTE_NUMBER) {
        put_name(out, "port", first);
        weir_out_number(out, port->value.number);
    }
}

/* The other side of a client's span. */
static void put_remote(weir_out_t *out, const weir_span_t *span)
{
    const weir_attributes_t *attributes = &span->attributes;
    const weir_attribute_t *name;
    bool first = true;

    if (span->kind != WEIR_SPAN_CLIENT && span->kind != WEIR_SPAN_PRODUCER)
        return;

    name = find_text(attributes, "peer.service");
    if (name == NULL)
        name = find_text(attributes, "server.address");
    if (name == NULL && find_text(attributes, "network.peer.address") == NULL)
        return;

    weir_out_literal(out, ",\"remoteEndpoint\":{");
    if (name != NULL) {
        put_name(out, "serviceName", &first);
        weir_out_string(out, name->value.text);
    }
    put_address(out, attributes, &first);
    weir_out_byte(out, '}');
}

static const char *kind_name(weir_span_kind_t kind)
{
    switch (kind) {
    case WEIR_SPAN_SERVER:
        return ",\"kind\":\"SERVER\"";
    case WEIR_SPAN_CLIENT:
        return ",\"kind\":\"CLIENT\"";
    case WEIR_SPAN_PRODUCER:
        return ",\"kind\":\"PRODUCER\"";
    case WEIR_SPAN_CONSUMER:
        return ",\"kind\":\"CONSUMER\"";
    case WEIR_SPAN_INTERNAL:
    default:
        return "";
    }
}

static void put_service(weir_out_t *out, const weir_span_resource_t *resource)
{
    const weir_attribute_t *service = find_text(&resource->attributes, "service.name");

    if (service == NULL)
        return;

    weir_out_literal(out, ",\"localEndpoint\":{\"serviceName\":");
    weir_out_string(out, service->value.text);
    weir_out_byte(out, '}');
}

static void encode(weir_out_t *out, const weir_span_t *span, const weir_span_resource_t *resource)
{
    uint64_t duration = span->end > span->start ? (span->end - span->start + 500) / 1000 : 0;
    const char *kind = kind_name(span->kind);

    weir_out_literal(out, "{\"traceId\":");
    weir_out_id(out, span->trace_id, WEIR_TRACE_ID_LEN);
    weir_out_literal(out, ",\"id\":");
    weir_out_id(out, span->span_id, WEIR_SPAN_ID_LEN);
    if (!weir_out_is_zero(span->parent_id, WEIR_SPAN_ID_LEN)) {
        weir_out_literal(out, ",\"parentId\":");
        weir_out_id(out, span->parent_id, WEIR_SPAN_ID_LEN);
    }
    weir_out_literal(out, ",\"name\":");
    weir_out_string(out, span->name);
    weir_out_bytes(out, kind, strlen(kind));
    weir_out_literal(out, ",\"timestamp\":");
    weir_out_number(out, (int64_t)(span->start / 1000));
    weir_out_literal(out, ",\"duration\":");
    weir_out_number(out, (int64_t)(duration > 0 ? duration : 1)); /* 0 is not allowed */
    put_service(out, resource);
    put_remote(out, span);
    put_annotations(out, span);
    put_tags(out, span);
    weir_out_byte(out, '}');
}

static void head(weir_out_t *out, const weir_span_resource_t *resource, size_t spans_len)
{
    (void)resource;
    (void)spans_len;
    weir_out_byte(out, '[');
}

const weir_encoder_t weir_zipkin = {
    .media_type = "application/json",
    .encode = encode,
    .head = head,
    .separator = {",", 1},
    .tail = {"]", 1},
};
