#include "shop/representation.h"

#include <stdio.h>

int weir_version_of(weir_http_request_t *request)
{
    const char *header = weir_http_header(request, "API-Version");

    if (header == NULL)
        return WEIR_VERSION_DEFAULT;

    if (header[0] >= '0' + WEIR_VERSION_FIRST && header[0] <= '0' + WEIR_VERSION_LAST &&
        header[1] == '\0')
        return header[0] - '0';

    weir_http_error(request, 400, "API-Version is \"%.32s\"; it must be a number from %d to %d.",
                    header, WEIR_VERSION_FIRST, WEIR_VERSION_LAST);

    return 0;
}

static int has(const weir_field_t *field, int version)
{
    return version >= field->since && (field->removed == 0 || version < field->removed);
}

/* The room that is left at len. */
static size_t room(size_t cap, size_t len)
{
    return len < cap ? cap - len : 0;
}

static size_t put(char *buf, size_t cap, size_t len, const char *s, size_t n)
{
    size_t fits = room(cap, len) < n ? room(cap, len) : n;

    if (fits > 0)
        memcpy(buf + len, s, fits);

    return len + n;
}

static size_t put_string(char *buf, size_t cap, size_t len, weir_str_t s)
{
    size_t left = room(cap, len);

    return len + weir_json_string(left > 0 ? buf + len : NULL, left, s);
}

size_t weir_represent(char *buf, size_t cap, const weir_field_t *fields, size_t count,
                      const weir_str_t *values, int version)
{
    size_t len = 0;

    for (size_t i = 0; i < count; i++) {
        const weir_field_t *field = &fields[i];

        if (!has(field, version))
            continue;

        len = put(buf, cap, len, len == 0 ? "{" : ",", 1);
        len = put_string(buf, cap, len, (weir_str_t){field->name, strlen(field->name)});
        len = put(buf, cap, len, ":", 1);
        len = put_string(buf, cap, len, values[field->value]);
    }

    return put(buf, cap, len, "}\n", 2);
}

void weir_describe_version(weir_http_request_t *request, const weir_field_t *fields, size_t count,
                           int version)
{
    char names[256];
    size_t len = 0;

    for (size_t i = 0; i < count && len < sizeof(names); i++) {
        if (has(&fields[i], version) && fields[i].deprecated != 0 &&
            version >= fields[i].deprecated)
            len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", len > 0 ? ", " : "",
                                    fields[i].name);
    }

    weir_http_add_header(request, "Vary", "API-Version");
    if (len > 0)
        weir_http_add_header(request, "Weir-Deprecated-Fields", names);
}
