#include "ctl/spans/draw.h"

#include "common/trace/span.h"
#include "ctl/spans/decode.h"
#include "ctl/spans/value.h"
#include "ctl/text.h"
#include "log/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SERVICE_MAX 16 /* columns */
#define TIME_COLUMNS 10
#define BAR_MIN 10
#define DEPTH_SHOWN 20 /* deeper spans are not indented further */

typedef struct {
    const json_t *span; /* the document's, as all texts */
    const char *service, *id, *parent;
    uint64_t start, end; /* ns */
    size_t *children;
    size_t n_children;
    bool is_root; /* it has no parent, or one that is not there */
    bool drawn;
} node_t;

typedef struct {
    node_t *nodes;
    size_t n;
    uint64_t start, end;        /* of the trace */
    int columns, service, name; /* widths */
    bool ascii;
    char lines[DEPTH_SHOWN]; /* for each depth: true if another span follows there */
} drawing_t;

/* --- the tree -------------------------------------------------------------------------------- */

static bool add_node(const json_t *resource, const json_t *scope, const json_t *span, void *arg)
{
    drawing_t *d = arg;
    node_t *node;

    (void)scope;
    if ((d->n & (d->n - 1)) == 0)
        d->nodes = weir_alloc_resize(d->nodes, d->n > 0 ? 2 * d->n : 1, sizeof(*node));
    node = &d->nodes[d->n++];
    *node = (node_t){
        .service = weir_spans_attribute_text(resource, "service.name"),
        .span = span,
        .id = weir_spans_text(span, "spanId"),
        .parent = weir_spans_text(span, "parentSpanId"),
        .start = weir_spans_number(span, "startTimeUnixNano"),
        .end = weir_spans_number(span, "endTimeUnixNano"),
    };
    if (node->end < node->start)
        node->end = node->start;

    return true;
}

static int by_start(const void *a, const void *b)
{
    const node_t *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start ? 1 : strcmp(x->id, y->id);
}

/* The nodes by their id. */
static json_t *by_id(const drawing_t *d)
{
    json_t *ids = weir_alloc_check(json_object());

    for (size_t i = 0; i < d->n; i++)
        json_object_set_new(ids, d->nodes[i].id, json_integer((json_int_t)i));

    return ids;
}

/* Gives each node its children, in the order of their starts. */
static void join(drawing_t *d)
{
    json_t *ids = by_id(d);

    d->start = d->n > 0 ? d->nodes[0].start : 0;
    for (size_t i = 0; i < d->n; i++) {
        node_t *node = &d->nodes[i], *parent;
        const json_t *at = json_object_get(ids, node->parent);

        d->end = node->end > d->end ? node->end : d->end;
        node->is_root = at == NULL;
        if (node->is_root)
            continue;
        parent = &d->nodes[json_integer_value(at)];
        if ((parent->n_children & (parent->n_children - 1)) == 0)
            parent->children = weir_alloc_resize(
                parent->children, parent->n_children > 0 ? 2 * parent->n_children : 1,
                sizeof(*parent->children));
        parent->children[parent->n_children++] = i;
    }
    json_decref(ids);
}

/* --- a line ---------------------------------------------------------------------------------- */

typedef struct {
    char text[1024];
    size_t len;
} line_t;

static void add(line_t *line, const char *text)
{
    int n = snprintf(line->text + line->len, sizeof(line->text) - line->len, "%s", text);

    line->len += (size_t)n;
    if (line->len >= sizeof(line->text))
        line->len = sizeof(line->text) - 1;
}

static void add_number(line_t *line, const char *before, uint64_t n)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, n);
    add(line, before);
    add(line, text);
}

static void duration_text(uint64_t ns, char *text, size_t size)
{
    double ms = (double)ns / 1e6;

    if (ms < 1000)
        snprintf(text, size, ms < 1 ? "%.3f ms" : ms < 100 ? "%.2f ms" : "%.1f ms", ms);
    else if (ms < 1e5)
        snprintf(text, size, "%.2f s", ms / 1000);
    else
        snprintf(text, size, "%.0f s", ms / 1000);
}

/* The value of an attribute whose type is intValue; 0: there is none. */
static uint64_t attribute_number(const json_t *span, const char *key)
{
    return weir_spans_number(weir_spans_attribute(span, key), "intValue");
}

static void add_counted(line_t *line, const json_t *list, const char *what)
{
    if (json_array_size(list) == 0)
        return;
    add_number(line, ", ", json_array_size(list));
    add(line, " ");
    add(line, what);
    add(line, json_array_size(list) == 1 ? "" : "s");
}

/* The name, and what is special about the span. */
static void describe(line_t *line, const node_t *node)
{
    const json_t *span = node->span, *status = json_object_get(span, "status"), *event;
    const char *error = weir_spans_attribute_text(span, "error.type");
    uint64_t code = attribute_number(span, "http.response.status_code");
    uint64_t tries = attribute_number(span, "http.request.resend_count");
    uint64_t attempt = attribute_number(span, "weir.attempt");
    const char *group = weir_spans_attribute_text(span, "messaging.consumer.group.name");
    const char *path = node->is_root ? weir_spans_attribute_text(span, "url.path") : "";
    size_t i;

    add(line, weir_spans_text(span, "name"));
    if (code > 0)
        add_number(line, " ", code);
    if (*path != '\0') {
        add(line, " ");
        add(line, path);
    }
    if (*group != '\0') {
        add(line, " ");
        add(line, group);
    }
    if (attempt > 1)
        add_number(line, ", attempt ", attempt);
    if (tries > 0)
        add_number(line, ", try ", tries + 1);
    if (weir_spans_number(status, "code") == WEIR_SPAN_STATUS_ERROR || *error != '\0') {
        add(line, ", ERROR ");
        add(line, error);
        add(line, weir_spans_text(status, "message"));
    }
    json_array_foreach(json_object_get(span, "events"), i, event)
    {
        add(line, i == 0 ? ", " : " ");
        add(line, weir_spans_text(event, "name"));
    }
    add_counted(line, json_object_get(span, "links"), "link");
    if (node->is_root && *node->parent != '\0') {
        add(line, ", its parent ");
        add(line, node->parent);
        add(line, " is not here");
    }
}

/* The text in so many columns, cut or filled up. */
static void print_cell(char *text, int columns, bool right, bool ascii)
{
    size_t len;
    int width;

    weir_ctl_make_safe(text, ascii);
    width = weir_ctl_width(text);
    if (width > columns) {
        len = weir_ctl_fit(text, columns - 1);
        text[len] = '\0';
        printf("%s%s%*s", text, ascii ? "~" : "…", columns - 1 - weir_ctl_width(text), "");
        return;
    }
    if (right)
        printf("%*s%s", columns - width, "", text);
    else
        printf("%s%*s", text, columns - width, "");
}

static void print_bar(const drawing_t *d, const node_t *node)
{
    int columns = d->columns - d->service - d->name - TIME_COLUMNS - 5;
    double all = d->end > d->start ? (double)(d->end - d->start) : 1;
    int from = (int)((double)(node->start - d->start) / all * columns);
    int to = (int)((double)(node->end - d->start) / all * columns + 0.5);

    if (from >= columns)
        from = columns - 1;
    printf("%*s", from, "");
    for (int i = from; i == from || i < to; i++)
        fputs(d->ascii ? "=" : "█", stdout);
    putchar('\n');
}

static void print_line(const drawing_t *d, const node_t *node, int depth)
{
    line_t line = {.len = 0};
    char service[128], time[32];
    int shown = depth < DEPTH_SHOWN ? depth : DEPTH_SHOWN;

    for (int i = 1; i <= shown; i++) {
        bool more = d->lines[i - 1] != 0;

        if (i < shown)
            add(&line, more ? (d->ascii ? "| " : "│ ") : "  ");
        else if (d->ascii)
            add(&line, more ? "|-" : "`-");
        else
            add(&line, more ? "├─" : "└─");
    }
    describe(&line, node);
    snprintf(service, sizeof(service), "%s", node->service);
    duration_text(node->end - node->start, time, sizeof(time));
    print_cell(service, d->service, false, d->ascii);
    fputs("  ", stdout);
    print_cell(line.text, d->name, false, d->ascii);
    putchar(' ');
    print_cell(time, TIME_COLUMNS, true, d->ascii);
    fputs("  ", stdout);
    print_bar(d, node);
}

/* --- drawing --------------------------------------------------------------------------------- */

static void draw(drawing_t *d, node_t *node, int depth)
{
    node->drawn = true;
    print_line(d, node, depth);
    for (size_t i = 0; i < node->n_children; i++) {
        node_t *child = &d->nodes[node->children[i]];

        if (depth < DEPTH_SHOWN)
            d->lines[depth] = i + 1 < node->n_children;
        if (!child->drawn)
            draw(d, child, depth + 1);
    }
}

static void choose_widths(drawing_t *d)
{
    int service = 0, rest;

    for (size_t i = 0; i < d->n; i++) {
        int n = weir_ctl_width(d->nodes[i].service);

        service = n > service ? n : service;
    }
    d->service = service < SERVICE_MAX ? service : SERVICE_MAX;
    rest = d->columns - d->service - TIME_COLUMNS - 5;
    d->name = rest * 3 / 5;
    if (rest - d->name < BAR_MIN) {
        d->name = d->name > BAR_MIN ? d->name : BAR_MIN;
        d->columns = d->service + d->name + TIME_COLUMNS + 5 + BAR_MIN;
    }
}

static void print_head(const drawing_t *d, const json_t *document)
{
    char time[32], start[WEIR_RFC3339_LEN + 1];
    json_int_t left_out = json_integer_value(json_object_get(document, "left_out"));

    weir_spans_time(d->start, start);
    duration_text(d->end - d->start, time, sizeof(time));
    printf("%s  %s  %zu span%s in %s\n", weir_spans_text(d->nodes[0].span, "traceId"), start, d->n,
           d->n == 1 ? "" : "s", time);
    if (left_out > 0)
        printf("%" JSON_INTEGER_FORMAT " more spans are left out\n", left_out);
    putchar('\n');
}

void weir_spans_draw(json_t *document, int columns, bool ascii)
{
    drawing_t d = {.columns = columns, .ascii = ascii};
    weir_spans_decoded_t decoded;

    (void)weir_spans_decode_document(document, add_node, &d, &decoded);
    if (d.n > 0) {
        qsort(d.nodes, d.n, sizeof(*d.nodes), by_start);
        join(&d);
        choose_widths(&d);
        print_head(&d, document);
    }
    /* Spans that are each other's parents have no root, and are drawn from the first of them on. */
    for (int circles = 0; circles < 2; circles++) {
        for (size_t i = 0; i < d.n; i++) {
            if (!d.nodes[i].drawn && (d.nodes[i].is_root || circles))
                draw(&d, &d.nodes[i], 0);
        }
    }
    for (size_t i = 0; i < d.n; i++)
        free(d.nodes[i].children);
    free(d.nodes);
}
