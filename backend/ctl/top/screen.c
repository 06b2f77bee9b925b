#include "ctl/top/screen.h"

#include "ctl/text.h"
#include "log/alloc.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_SHOWN 32
#define CAUSES 3
#define WAITS 12
#define CAUSES_BESIDE 120 /* columns from which on the causes are beside a row, not below it */

typedef struct {
    const weir_top_screen_t *screen;
    int lines; /* printed so far */
} output_t;

/* Prints a line, cut at the screen's width; none below the screen. */
static void line(output_t *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line(output_t *o, const char *format, ...)
{
    char text[1024];
    size_t len;
    va_list ap;

    if (o->lines == o->screen->rows)
        return;
    o->lines++;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    for (len = strlen(text); len > 0 && text[len - 1] == ' '; len--)
        text[len - 1] = '\0';
    weir_ctl_make_safe(text, false);
    printf("%.*s%s", (int)weir_ctl_fit(text, o->screen->columns), text, o->screen->end);
}

/* A name in NAME_MAX_SHOWN columns. */
static void name_cell(const char *indent, const char *name, char *cell, size_t size)
{
    char text[256];
    int width;

    snprintf(text, sizeof(text), "%s%s", indent, name);
    weir_ctl_make_safe(text, false);
    if (weir_ctl_width(text) > NAME_MAX_SHOWN) {
        text[weir_ctl_fit(text, NAME_MAX_SHOWN - 1)] = '\0';
        strcat(text, "~");
    }
    width = weir_ctl_width(text);
    snprintf(cell, size, "%s%*s", text, NAME_MAX_SHOWN - width, "");
}

static void ms_cell(const json_t *object, const char *name, char *cell, size_t size)
{
    const json_t *value = json_object_get(object, name);
    double ms = json_number_value(value);

    if (value == NULL)
        snprintf(cell, size, "%9s", "-");
    else
        snprintf(cell, size, ms < 100 ? "%9.2f" : ms < 1e6 ? "%9.0f" : "%9.3g", ms);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text != NULL ? text : "";
}

/* --- the edge -------------------------------------------------------------------------------- */

/* "71% redis main, 22% connect api" */
static void causes_of(const json_t *of_window, char *text, size_t size)
{
    const char *dependency;
    json_t *cause;
    size_t i, len = 0;

    text[0] = '\0';
    json_array_foreach(json_object_get(of_window, "tail"), i, cause)
    {
        double share = json_number_value(json_object_get(cause, "share"));

        if (i == CAUSES || len >= size)
            break;
        dependency = text_of(cause, "dependency");
        len += (size_t)snprintf(text + len, size - len, "%s%.0f%% %s%s%s", i > 0 ? ", " : "",
                                share * 100, text_of(cause, "phase"),
                                *dependency != '\0' ? " " : "", dependency);
    }
}

static void print_row(output_t *o, const char *indent, const char *name, const json_t *spans)
{
    static const char *const percentiles[] = {"p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99_9_ms"};
    const json_t *window = json_object_get(spans, o->screen->window);
    char cells[5][32], title[256], causes[256];
    bool beside;

    for (int i = 0; i < 5; i++)
        ms_cell(window, percentiles[i], cells[i], sizeof(cells[i]));
    name_cell(indent, name, title, sizeof(title));
    causes_of(window, causes, sizeof(causes));
    beside = *causes != '\0' && o->screen->columns >= CAUSES_BESIDE;
    line(o, "%s %9" JSON_INTEGER_FORMAT "%s%s%s%s%s%s%s", title,
         json_integer_value(json_object_get(window, "requests")), cells[0], cells[1], cells[2],
         cells[3], cells[4], beside ? "  " : "", beside ? causes : "");
    if (*causes != '\0' && !beside)
        line(o, "%*sslow: %s", (int)strlen(indent) + 4, "", causes);
}

typedef struct {
    const char *name;
    const json_t *value;
    json_int_t requests;
} member_t;

static int by_requests(const void *a, const void *b)
{
    const member_t *x = a, *y = b;

    return x->requests != y->requests ? (x->requests < y->requests) - (x->requests > y->requests)
                                      : strcmp(x->name, y->name);
}

/* Those with requests in the window, most requests first; for each route its versions, too. */
static void print_members(output_t *o, const char *title, const json_t *object)
{
    member_t *members = weir_alloc_array(json_object_size(object), sizeof(*members));
    size_t n = 0;
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)object, name, value)
    {
        json_int_t requests = json_integer_value(
            json_object_get(json_object_get(value, o->screen->window), "requests"));

        if (requests > 0)
            members[n++] = (member_t){name, value, requests};
    }
    qsort(members, n, sizeof(*members), by_requests);
    line(o, "%s", "");
    line(o, "%-*s %9s%9s%9s%9s%9s%9s  %s", NAME_MAX_SHOWN, title, "REQUESTS", "P50 MS", "P90",
         "P95", "P99", "P99.9",
         o->screen->columns >= CAUSES_BESIDE && strcmp(title, "ROUTE") == 0
             ? "WHY THE SLOW ONES ARE SLOW"
             : "");
    for (size_t i = 0; i < n; i++) {
        print_row(o, "", members[i].name, members[i].value);
        json_object_foreach(json_object_get(members[i].value, "versions"), name, value)
        {
            print_row(o, "  version ", name, value);
        }
    }
    free(members);
}

static void print_breakers(output_t *o, const json_t *zones)
{
    const char *zone, *key;
    json_t *of_zone, *breaker;

    json_object_foreach((json_t *)zones, zone, of_zone)
    {
        json_object_foreach(json_object_get(of_zone, "keys"), key, breaker)
        {
            if (strcmp(text_of(breaker, "state"), "closed") != 0)
                line(o, "breaker %s is %s: %s", key, text_of(breaker, "state"),
                     text_of(breaker, "reason"));
        }
    }
}

/* --- the backend ----------------------------------------------------------------------------- */

static void print_backend(output_t *o, const json_t *backend)
{
    const json_t *outbox = json_object_get(backend, "outbox");
    json_t *row;
    char title[256], p50[32], p99[32];
    size_t i;

    line(o, "%s", "");
    line(o, "%-*s %9s%9s%9s%9s%9s", NAME_MAX_SHOWN, "CONSUMER GROUP", "LAG", "OLDEST S", "RETRIES",
         "DEAD", "");
    name_cell("", "(outbox)", title, sizeof(title));
    line(o, "%s %9.0f%9.1f", title, json_number_value(json_object_get(outbox, "waiting")),
         json_number_value(json_object_get(outbox, "oldest_s")));
    json_array_foreach(json_object_get(backend, "groups"), i, row)
    {
        name_cell("", text_of(row, "group"), title, sizeof(title));
        line(o, "%s %9.0f%9.1f%9.0f%9.0f%s", title, json_number_value(json_object_get(row, "lag")),
             json_number_value(json_object_get(row, "oldest_s")),
             json_number_value(json_object_get(row, "retries")),
             json_number_value(json_object_get(row, "dead")),
             json_number_value(json_object_get(row, "paused")) > 0 ? "  paused" : "");
    }
    line(o, "%s", "");
    line(o, "%-*s %9s%9s%9s%9s%9s", NAME_MAX_SHOWN, "WHERE THE BACKEND WAITS", "COUNT", "P50 MS",
         "", "", "P99");
    json_array_foreach(json_object_get(backend, "waits"), i, row)
    {
        char what[32];

        if (i == WAITS)
            break;
        snprintf(what, sizeof(what), "%s ", text_of(row, "what"));
        name_cell(what, text_of(row, "name"), title, sizeof(title));
        ms_cell(row, "p50_ms", p50, sizeof(p50));
        ms_cell(row, "p99_ms", p99, sizeof(p99));
        line(o, "%s %9" JSON_INTEGER_FORMAT "%s%27s", title,
             json_integer_value(json_object_get(row, "count")), p50, p99);
    }
}

void weir_top_draw(const weir_top_screen_t *screen)
{
    output_t o = {screen, 0};

    if (screen->edge != NULL) {
        line(&o, "weir %s  the last %s", text_of(screen->edge, "version"), screen->window);
        print_breakers(&o, json_object_get(screen->edge, "breakers"));
        print_members(&o, "ROUTE", json_object_get(screen->edge, "routes"));
        print_members(&o, "UPSTREAM", json_object_get(screen->edge, "upstreams"));
    }
    if (screen->backend != NULL)
        print_backend(&o, screen->backend);
}
