#include "ctl/spans/summary.h"

#include "common/trace/span.h"
#include "ctl/spans/decode.h"
#include "ctl/spans/file.h"
#include "ctl/spans/scan.h"
#include "ctl/spans/value.h"
#include "log/alloc.h"
#include "log/clock.h"

#include <search.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NAME_SIZE 96

typedef struct {
    char id[2 * WEIR_TRACE_ID_LEN + 1]; /* first: the tree's key */
    bool has_root;
    uint64_t start, end; /* ns since 1970; of all spans */
    uint64_t first;      /* start of the span that has given service and name */
    uint64_t root_ns;
    size_t spans, errors;
    char service[NAME_SIZE], name[NAME_SIZE];
} trace_t;

struct weir_spans_summary {
    char *path;
    weir_spans_place_t place;
    void *tree; /* of trace_t, by id */
    size_t count;
};

static int compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

weir_spans_summary_t *weir_spans_summary_new(const char *path)
{
    weir_spans_summary_t *summary = weir_alloc(sizeof(*summary));

    summary->path = weir_alloc_text(path);
    summary->place = WEIR_SPANS_PLACE_FIRST;

    return summary;
}

static void clear(void *arg)
{
    weir_spans_summary_t *summary = arg;

    tdestroy(summary->tree, free);
    summary->tree = NULL;
    summary->count = 0;
}

void weir_spans_summary_free(weir_spans_summary_t *summary)
{
    clear(summary);
    weir_spans_place_close(&summary->place);
    free(summary->path);
    free(summary);
}

static trace_t *trace_of(weir_spans_summary_t *summary, const char *id)
{
    trace_t **found = tfind(id, &summary->tree, compare_ids);
    trace_t *trace;

    if (found != NULL)
        return *found;
    trace = weir_alloc(sizeof(*trace));
    snprintf(trace->id, sizeof(trace->id), "%s", id);
    trace->start = trace->first = UINT64_MAX;
    (void)weir_alloc_check(tsearch(trace, &summary->tree, compare_ids));
    summary->count++;

    return trace;
}

static void count(weir_spans_summary_t *summary, const weir_spans_scanned_t *span)
{
    trace_t *trace = trace_of(summary, span->trace_id);

    trace->spans++;
    trace->errors += span->is_error;
    trace->start = span->start < trace->start ? span->start : trace->start;
    trace->end = span->end > trace->end ? span->end : trace->end;
    if (span->is_root > trace->has_root ||
        (span->is_root == trace->has_root && span->start < trace->first)) {
        trace->has_root = span->is_root;
        trace->first = span->start;
        trace->root_ns = span->end > span->start ? span->end - span->start : 0;
        snprintf(trace->service, sizeof(trace->service), "%.*s", (int)span->service.len,
                 span->service.data);
        snprintf(trace->name, sizeof(trace->name), "%.*s", (int)span->name.len, span->name.data);
    }
}

static bool add_span(const json_t *resource, const json_t *scope, const json_t *span, void *arg)
{
    weir_spans_scanned_t scanned = {
        .is_root = weir_spans_text(span, "parentSpanId")[0] == '\0',
        .is_error =
            weir_spans_number(json_object_get(span, "status"), "code") == WEIR_SPAN_STATUS_ERROR,
        .start = weir_spans_number(span, "startTimeUnixNano"),
        .end = weir_spans_number(span, "endTimeUnixNano"),
        .service = weir_str(weir_spans_attribute_text(resource, "service.name")),
        .name = weir_str(weir_spans_text(span, "name")),
    };

    (void)scope;
    snprintf(scanned.trace_id, sizeof(scanned.trace_id), "%s", weir_spans_text(span, "traceId"));
    count(arg, &scanned);

    return true;
}

static void add_line(weir_str_t line, void *arg)
{
    weir_spans_decoded_t decoded;
    weir_spans_scanned_t span;

    if (weir_spans_scan(line, &span))
        count(arg, &span);
    else
        (void)weir_spans_decode_json(line, add_span, arg, &decoded);
}

bool weir_spans_summary_read(weir_spans_summary_t *summary, char *error, size_t size)
{
    const weir_spans_reader_t reader = {clear, add_line, summary};

    return weir_spans_file_read(summary->path, &summary->place, &reader, error, size);
}

void weir_spans_summary_settle(weir_spans_summary_t *summary)
{
    weir_spans_place_settle(&summary->place);
}

/* --- the list -------------------------------------------------------------------------------- */

static uint64_t duration_of(const trace_t *trace)
{
    if (trace->has_root)
        return trace->root_ns;

    return trace->end > trace->start ? trace->end - trace->start : 0;
}

static int by_start(const void *a, const void *b)
{
    const trace_t *x = *(const void *const *)a, *y = *(const void *const *)b;

    return x->start < y->start ? 1 : x->start > y->start ? -1 : strcmp(x->id, y->id);
}

static int by_duration(const void *a, const void *b)
{
    const trace_t *x = *(const void *const *)a, *y = *(const void *const *)b;

    return duration_of(x) < duration_of(y)   ? 1
           : duration_of(x) > duration_of(y) ? -1
                                             : by_start(a, b);
}

typedef struct {
    const void **traces; /* of trace_t */
    size_t n;
    bool errors;
} chosen_t;

static void choose(const void *node, VISIT visit, void *arg)
{
    const trace_t *trace = *(trace_t *const *)node;
    chosen_t *chosen = arg;

    if ((visit == postorder || visit == leaf) && (!chosen->errors || trace->errors > 0))
        chosen->traces[chosen->n++] = trace;
}

/* A text that was cut may end in the middle of a character. */
static json_t *name_of(const char *text)
{
    json_t *name = json_stringn(text, strlen(text));

    for (size_t len = strlen(text); name == NULL && len > 0; len--)
        name = json_stringn(text, len - 1);

    return weir_alloc_check(name);
}

static json_t *row_of(const trace_t *trace)
{
    char start[WEIR_RFC3339_LEN + 1];

    weir_spans_time(trace->start, start);

    return weir_alloc_check(json_pack("{s:s,s:s,s:f,s:I,s:I,s:o,s:o}", "trace_id", trace->id,
                                      "start", start, "ms", (double)duration_of(trace) / 1e6,
                                      "spans", (json_int_t)trace->spans, "errors",
                                      (json_int_t)trace->errors, "service", name_of(trace->service),
                                      "name", name_of(trace->name)));
}

json_t *weir_spans_summary_list(const weir_spans_summary_t *summary,
                                const weir_spans_choice_t *choice)
{
    chosen_t chosen = {.errors = choice->errors};
    json_t *list = weir_alloc_check(json_array());

    chosen.traces = weir_alloc_array(summary->count, sizeof(*chosen.traces));
    twalk_r(summary->tree, choose, &chosen);
    qsort(chosen.traces, chosen.n, sizeof(*chosen.traces),
          choice->slowest ? by_duration : by_start);
    for (size_t i = 0; i < chosen.n && i < choice->limit; i++)
        json_array_append_new(list, row_of(chosen.traces[i]));
    free(chosen.traces);

    return list;
}
