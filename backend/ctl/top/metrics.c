#include "ctl/top/metrics.h"

#include "log/alloc.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:"

/* The value of a label, behind its first quote; moves *p behind its last one. NULL: malformed. */
static json_t *label_value(const char **p)
{
    size_t room = strcspn(*p, "\n"), len = 0;
    char *text = weir_alloc(room + 1);
    const char *at = *p, *end = at + room;
    json_t *value = NULL;

    while (at < end && *at != '"') {
        if (*at == '\\' && at + 1 < end) {
            at++;
            text[len++] = *at == 'n' ? '\n' : *at;
        } else {
            text[len++] = *at;
        }
        at++;
    }
    if (at < end)
        value = json_stringn(text, len);
    *p = at + 1;
    free(text);

    return value;
}

/* The labels behind the opening brace; moves *p behind the closing one. NULL: malformed. */
static json_t *labels_of(const char **p)
{
    json_t *labels = weir_alloc_check(json_object());

    while (**p != '}') {
        size_t n = strspn(*p, NAME_CHARACTERS);
        char name[64];
        json_t *value;

        if (n == 0 || n >= sizeof(name) || (*p)[n] != '=' || (*p)[n + 1] != '"')
            goto malformed;
        memcpy(name, *p, n);
        name[n] = '\0';
        *p += n + 2;
        value = label_value(p);
        if (value == NULL)
            goto malformed;
        json_object_set_new(labels, name, value);
        if (**p == ',')
            ++*p;
    }
    ++*p;

    return labels;

malformed:
    json_decref(labels);
    return NULL;
}

static void add_line(json_t *metrics, const char *p)
{
    size_t n = strspn(p, NAME_CHARACTERS);
    json_t *labels, *list;
    char name[128], *end;
    double value;

    if (n == 0 || n >= sizeof(name))
        return;
    memcpy(name, p, n);
    name[n] = '\0';
    p += n;
    if (*p == '{') {
        p++;
        labels = labels_of(&p);
    } else {
        labels = weir_alloc_check(json_object());
    }
    if (labels == NULL)
        return;
    value = strtod(p, &end);
    if (*p != ' ' || end == p || !isfinite(value)) {
        json_decref(labels);
        return;
    }
    list = json_object_get(metrics, name);
    if (list == NULL) {
        list = weir_alloc_check(json_array());
        json_object_set_new(metrics, name, list);
    }
    json_array_append_new(
        list, weir_alloc_check(json_pack("{s:o,s:f}", "labels", labels, "value", value)));
}

json_t *weir_top_metrics(const char *text)
{
    json_t *metrics = weir_alloc_check(json_object());

    while (*text != '\0') {
        add_line(metrics, text);
        text += strcspn(text, "\n");
        text += *text == '\n';
    }

    return metrics;
}

const json_t *weir_top_samples(const json_t *metrics, const char *name)
{
    return json_object_get(metrics, name);
}

const char *weir_top_label(const json_t *sample, const char *name)
{
    const char *text = json_string_value(json_object_get(json_object_get(sample, "labels"), name));

    return text != NULL ? text : "";
}

double weir_top_value(const json_t *sample)
{
    return json_number_value(json_object_get(sample, "value"));
}
