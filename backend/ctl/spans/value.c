#include "ctl/spans/value.h"

#include <stdlib.h>
#include <string.h>

const char *weir_spans_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text != NULL ? text : "";
}

uint64_t weir_spans_number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    if (json_is_string(value))
        return strtoull(json_string_value(value), NULL, 10);

    return json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
}

void weir_spans_time(uint64_t ns, char out[WEIR_RFC3339_LEN + 1])
{
    weir_rfc3339(out, (time_t)(ns / 1000000000), (unsigned)(ns / 1000000 % 1000));
}

const json_t *weir_spans_attribute(const json_t *object, const char *key)
{
    json_t *pair;
    size_t i;

    json_array_foreach(json_object_get(object, "attributes"), i, pair)
    {
        if (strcmp(weir_spans_text(pair, "key"), key) == 0)
            return json_object_get(pair, "value");
    }

    return NULL;
}

const char *weir_spans_attribute_text(const json_t *object, const char *key)
{
    return weir_spans_text(weir_spans_attribute(object, key), "stringValue");
}
