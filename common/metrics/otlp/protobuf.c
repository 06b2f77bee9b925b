/*
 * OTLP metrics in protobuf. Fields with the default value are left out, as protobuf does.
 */

#include "common/metrics/otlp/protobuf.h"

#include "common/trace/encode/otlp.h"
#include "common/trace/encode/protobuf.h"

/* Messages that are open at a point: o->begin. */
enum { RESOURCE, SCOPE, METRIC, DATA };

#define BYTES(field) WEIR_PB_TAG(field, WEIR_PB_BYTES)
#define FIXED(field) WEIR_PB_TAG(field, WEIR_PB_FIXED64)
#define VARINT(field) WEIR_PB_TAG(field, WEIR_PB_VARINT)

/* ExportMetricsServiceRequest { resource_metrics = 1 { resource = 1, scope_metrics = 2 } } */
static void begin(weir_otlp_t *o, const weir_span_resource_t *resource)
{
    o->begin[RESOURCE] = weir_pb_begin(&o->out, BYTES(1));
    weir_otlp_put_resource(&o->out, resource);
    o->begin[SCOPE] = weir_pb_begin(&o->out, BYTES(2));
    weir_otlp_put_scope(&o->out);
}

static void end(weir_otlp_t *o)
{
    weir_pb_end(&o->out, o->begin[SCOPE]);
    weir_pb_end(&o->out, o->begin[RESOURCE]);
}

/*
 * ScopeMetrics.metrics = 2: Metric { name = 1, description = 2, unit = 3, gauge = 5, sum = 7,
 * exponential_histogram = 10 }, all with data_points = 1
 */
static void open(weir_otlp_t *o, const weir_metric_t *metric, weir_str_t name, const char *unit)
{
    static const uint8_t data[] = {
        [WEIR_METRIC_COUNTER] = BYTES(7),
        [WEIR_METRIC_GAUGE] = BYTES(5),
        [WEIR_METRIC_INFO] = BYTES(5),
        [WEIR_METRIC_HISTOGRAM] = BYTES(10),
    };

    o->begin[METRIC] = weir_pb_begin(&o->out, BYTES(2));
    weir_pb_put_text(&o->out, BYTES(1), name);
    weir_pb_put_text(&o->out, BYTES(2), weir_str(metric->help));
    if (*unit != '\0')
        weir_pb_put_text(&o->out, BYTES(3), weir_str(unit));
    o->begin[DATA] = weir_pb_begin(&o->out, data[metric->type]);
}

/* Sum { aggregation_temporality = 2, is_monotonic = 3 }, ExponentialHistogram { …= 2 } */
static void close(weir_otlp_t *o)
{
    weir_metric_type_t type = o->metric->type;

    if (type == WEIR_METRIC_COUNTER || type == WEIR_METRIC_HISTOGRAM) {
        weir_out_byte(&o->out, VARINT(2));
        weir_out_byte(&o->out, WEIR_OTLP_CUMULATIVE);
    }
    if (type == WEIR_METRIC_COUNTER) {
        weir_out_byte(&o->out, VARINT(3));
        weir_out_byte(&o->out, true);
    }
    weir_pb_end(&o->out, o->begin[DATA]);
    weir_pb_end(&o->out, o->begin[METRIC]);
}

/* KeyValue { key = 1, value = 2 }, AnyValue { string_value = 1, int_value = 3 } */
static void put_attributes(weir_otlp_t *o, uint8_t tag, const weir_otlp_point_t *point)
{
    for (size_t i = 0; i < point->n; i++) {
        const weir_otlp_attribute_t *a = &point->attribute[i];
        size_t pair = weir_pb_begin(&o->out, tag), value;

        weir_pb_put_text(&o->out, BYTES(1), weir_str(a->name));
        value = weir_pb_begin(&o->out, BYTES(2));
        if (a->is_number) {
            weir_out_byte(&o->out, VARINT(3));
            weir_pb_put_varint(&o->out, (uint64_t)a->number);
        } else {
            weir_pb_put_text(&o->out, BYTES(1), a->text);
        }
        weir_pb_end(&o->out, value);
        weir_pb_end(&o->out, pair);
    }
}

static void put_double(weir_out_t *out, uint8_t tag, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    weir_pb_put_fixed(out, tag, bits);
}

/*
 * NumberDataPoint { start_time_unix_nano = 2, time_unix_nano = 3, as_double = 4, as_int = 6,
 * attributes = 7 }
 */
static size_t begin_number(weir_otlp_t *o, const weir_otlp_point_t *point)
{
    size_t start = weir_pb_begin(&o->out, BYTES(1));

    if (o->metric->type == WEIR_METRIC_COUNTER)
        weir_pb_put_fixed(&o->out, FIXED(2), o->start);
    weir_pb_put_fixed(&o->out, FIXED(3), o->time);
    put_attributes(o, BYTES(7), point);

    return start;
}

static void number(weir_otlp_t *o, const weir_otlp_point_t *point, uint64_t value)
{
    size_t start = begin_number(o, point);

    weir_pb_put_fixed(&o->out, FIXED(6), value);
    weir_pb_end(&o->out, start);
}

static void real(weir_otlp_t *o, const weir_otlp_point_t *point, double value)
{
    size_t start = begin_number(o, point);

    put_double(&o->out, FIXED(4), value);
    weir_pb_end(&o->out, start);
}

/* sint32, as protobuf writes it. */
static void put_signed(weir_out_t *out, uint8_t tag, int value)
{
    if (value == 0)
        return;

    weir_out_byte(out, tag);
    weir_pb_put_varint(out, value > 0 ? 2 * (uint64_t)value : 2 * (uint64_t)-value - 1);
}

/* Buckets { offset = 1, bucket_counts = 2 }, which are packed */
static void put_buckets(weir_out_t *out, const weir_otlp_exponential_t *h)
{
    size_t start, counts;

    if (h->buckets == 0)
        return;

    start = weir_pb_begin(out, BYTES(8));
    put_signed(out, VARINT(1), h->offset);
    counts = weir_pb_begin(out, BYTES(2));
    for (size_t i = 0; i < h->buckets; i++)
        weir_pb_put_varint(out, h->bucket[i]);
    weir_pb_end(out, counts);
    weir_pb_end(out, start);
}

/* Exemplar { time_unix_nano = 2, as_double = 3, trace_id = 5 } */
static void put_exemplar(weir_out_t *out, const weir_exemplar_t *exemplar)
{
    size_t start = weir_pb_begin(out, BYTES(11));

    weir_pb_put_fixed(out, FIXED(2), exemplar->time);
    put_double(out, FIXED(3), exemplar->value);
    weir_pb_put_bytes(out, BYTES(5), exemplar->trace_id, sizeof(exemplar->trace_id));
    weir_pb_end(out, start);
}

/*
 * ExponentialHistogramDataPoint { attributes = 1, start_time_unix_nano = 2, time_unix_nano = 3,
 * count = 4, sum = 5, scale = 6, zero_count = 7, positive = 8, exemplars = 11, zero_threshold = 14
 * }
 */
static void histogram(weir_otlp_t *o, const weir_otlp_point_t *point,
                      const weir_otlp_exponential_t *h)
{
    size_t start = weir_pb_begin(&o->out, BYTES(1));

    put_attributes(o, BYTES(1), point);
    weir_pb_put_fixed(&o->out, FIXED(2), o->start);
    weir_pb_put_fixed(&o->out, FIXED(3), o->time);
    if (h->count != 0)
        weir_pb_put_fixed(&o->out, FIXED(4), h->count);
    put_double(&o->out, FIXED(5), h->sum);
    put_signed(&o->out, VARINT(6), h->scale);
    if (h->zero != 0)
        weir_pb_put_fixed(&o->out, FIXED(7), h->zero);
    put_buckets(&o->out, h);
    for (size_t i = 0; i < h->exemplar_count; i++)
        put_exemplar(&o->out, h->exemplars[i]);
    put_double(&o->out, FIXED(14), WEIR_OTLP_ZERO);
    weir_pb_end(&o->out, start);
}

const weir_otlp_format_t weir_otlp_format_protobuf = {begin,     open,  number, real,
                                                      histogram, close, end};
