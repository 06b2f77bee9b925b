/*
 * OTLP metrics in JSON: the messages of protobuf.c in the JSON mapping of protobuf, with ids in
 * hexadecimal, enums as numbers, and 64-bit integers as strings (OTLP 1.x, "JSON Protobuf
 * Encoding").
 */

#include "common/metrics/otlp/json.h"

#include "common/trace/encode/encoder.h"
#include "common/trace/encode/otlp_json.h"
#include "common/version.h"

/* A name that begins a value: "name": */
#define NAME(out, name) weir_out_literal(out, "\"" name "\":")

static void put_quoted(weir_out_t *out, uint64_t n)
{
    weir_out_byte(out, '"');
    weir_out_number(out, (int64_t)n);
    weir_out_byte(out, '"');
}

static void begin(weir_otlp_t *o, const weir_span_resource_t *resource)
{
    weir_out_literal(&o->out, "{\"resourceMetrics\":[{\"resource\":{");
    weir_otlp_json_put_attributes(&o->out, &resource->attributes);
    weir_out_literal(&o->out, "},\"scopeMetrics\":[{\"scope\":{\"name\":\"" WEIR_SPAN_SCOPE
                              "\",\"version\":\"" WEIR_VERSION
                              "\"},\"schemaUrl\":\"" WEIR_SPAN_SCHEMA "\",\"metrics\":[");
}

static void end(weir_otlp_t *o)
{
    weir_out_literal(&o->out, "]}]}]}");
}

static void open(weir_otlp_t *o, const weir_metric_t *metric, weir_str_t name, const char *unit)
{
    static const char *const data[] = {
        [WEIR_METRIC_COUNTER] = "sum",
        [WEIR_METRIC_GAUGE] = "gauge",
        [WEIR_METRIC_INFO] = "gauge",
        [WEIR_METRIC_HISTOGRAM] = "exponentialHistogram",
    };

    if (o->any)
        weir_out_byte(&o->out, ',');
    weir_out_literal(&o->out, "{\"name\":");
    weir_out_string(&o->out, name);
    weir_out_literal(&o->out, ",\"description\":");
    weir_out_string(&o->out, weir_str(metric->help));
    if (*unit != '\0') {
        weir_out_literal(&o->out, ",\"unit\":");
        weir_out_string(&o->out, weir_str(unit));
    }
    weir_out_byte(&o->out, ',');
    weir_out_string(&o->out, weir_str(data[metric->type]));
    weir_out_literal(&o->out, ":{\"dataPoints\":[");
}

static void close(weir_otlp_t *o)
{
    weir_metric_type_t type = o->metric->type;

    weir_out_byte(&o->out, ']');
    if (type == WEIR_METRIC_COUNTER || type == WEIR_METRIC_HISTOGRAM) {
        weir_out_literal(&o->out, ",\"aggregationTemporality\":");
        weir_out_number(&o->out, WEIR_OTLP_CUMULATIVE);
    }
    if (type == WEIR_METRIC_COUNTER)
        weir_out_literal(&o->out, ",\"isMonotonic\":true");
    weir_out_literal(&o->out, "}}");
}

static void begin_point(weir_otlp_t *o, const weir_otlp_point_t *point)
{
    weir_out_t *out = &o->out;

    if (o->more)
        weir_out_byte(out, ',');
    weir_out_byte(out, '{');
    if (o->metric->type == WEIR_METRIC_COUNTER || o->metric->type == WEIR_METRIC_HISTOGRAM) {
        NAME(out, "startTimeUnixNano");
        put_quoted(out, o->start);
        weir_out_byte(out, ',');
    }
    NAME(out, "timeUnixNano");
    put_quoted(out, o->time);

    weir_out_literal(out, ",\"attributes\":[");
    for (size_t i = 0; i < point->n; i++) {
        const weir_otlp_attribute_t *a = &point->attribute[i];

        if (i > 0)
            weir_out_byte(out, ',');
        weir_out_literal(out, "{\"key\":");
        weir_out_string(out, weir_str(a->name));
        if (a->is_number) {
            weir_out_literal(out, ",\"value\":{\"intValue\":");
            put_quoted(out, (uint64_t)a->number);
        } else {
            weir_out_literal(out, ",\"value\":{\"stringValue\":");
            weir_out_string(out, a->text);
        }
        weir_out_literal(out, "}}");
    }
    weir_out_byte(out, ']');
}

static void number(weir_otlp_t *o, const weir_otlp_point_t *point, uint64_t value)
{
    begin_point(o, point);
    weir_out_literal(&o->out, ",\"asInt\":");
    put_quoted(&o->out, value);
    weir_out_byte(&o->out, '}');
}

static void real(weir_otlp_t *o, const weir_otlp_point_t *point, double value)
{
    begin_point(o, point);
    weir_out_literal(&o->out, ",\"asDouble\":");
    weir_out_double(&o->out, value);
    weir_out_byte(&o->out, '}');
}

static void put_exemplars(weir_out_t *out, const weir_otlp_exponential_t *h)
{
    if (h->exemplar_count == 0)
        return;

    weir_out_literal(out, ",\"exemplars\":[");
    for (size_t i = 0; i < h->exemplar_count; i++) {
        const weir_exemplar_t *exemplar = h->exemplars[i];

        if (i > 0)
            weir_out_byte(out, ',');
        weir_out_literal(out, "{\"timeUnixNano\":");
        put_quoted(out, exemplar->time);
        weir_out_literal(out, ",\"asDouble\":");
        weir_out_double(out, exemplar->value);
        weir_out_literal(out, ",\"traceId\":");
        weir_out_id(out, exemplar->trace_id, sizeof(exemplar->trace_id));
        weir_out_byte(out, '}');
    }
    weir_out_byte(out, ']');
}

static void histogram(weir_otlp_t *o, const weir_otlp_point_t *point,
                      const weir_otlp_exponential_t *h)
{
    weir_out_t *out = &o->out;

    begin_point(o, point);
    weir_out_literal(out, ",\"count\":");
    put_quoted(out, h->count);
    weir_out_literal(out, ",\"sum\":");
    weir_out_double(out, h->sum);
    weir_out_literal(out, ",\"scale\":");
    weir_out_number(out, h->scale);
    weir_out_literal(out, ",\"zeroCount\":");
    put_quoted(out, h->zero);
    weir_out_literal(out, ",\"zeroThreshold\":");
    weir_out_double(out, WEIR_OTLP_ZERO);
    if (h->buckets != 0) {
        weir_out_literal(out, ",\"positive\":{\"offset\":");
        weir_out_number(out, h->offset);
        weir_out_literal(out, ",\"bucketCounts\":[");
        for (size_t i = 0; i < h->buckets; i++) {
            if (i > 0)
                weir_out_byte(out, ',');
            put_quoted(out, h->bucket[i]);
        }
        weir_out_literal(out, "]}");
    }
    put_exemplars(out, h);
    weir_out_byte(out, '}');
}

const weir_otlp_format_t weir_otlp_format_json = {begin, open, number, real, histogram, close, end};
