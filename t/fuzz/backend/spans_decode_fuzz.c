// uses: libevent jansson
// needs: backend/ctl/spans/decode.c backend/log/alloc.c backend/log/log.c
/*
 * Requests of OTLP: the input is one in protobuf, and one in JSON. Each span that is taken has ids
 * of the right form, and can be written as JSON, which reads as the same span.
 */
#include "budget.h"
#include "ctl/spans/decode.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {4000, 100, 20000, 500};

static void check_id(const json_t *span, const char *name, size_t len)
{
    const char *id = json_string_value(json_object_get(span, name));

    assert(id != NULL && strlen(id) == len);
    assert(strspn(id, "0123456789abcdef") == len && strspn(id, "0") < len);
}

static bool take(const json_t *resource, const json_t *scope, const json_t *span, void *arg)
{
    char *text = json_dumps(span, JSON_COMPACT);
    json_t *again = json_loads(text, JSON_ALLOW_NUL, NULL);
    bool *is_protobuf = arg;

    assert(json_is_object(resource) && json_is_object(scope));
    check_id(span, "traceId", 32);
    check_id(span, "spanId", 16);
    if (json_object_get(span, "parentSpanId") != NULL)
        check_id(span, "parentSpanId", 16);
    /* Numbers of JSON may lose digits. */
    assert(again != NULL && (!*is_protobuf || json_object_size(again) == json_object_size(span)));
    json_decref(again);
    free(text);

    return true;
}

static void read_both(const uint8_t *data, size_t size)
{
    weir_str_t in = {(const char *)data, size};
    weir_spans_decoded_t decoded;
    bool is_protobuf = true;

    (void)weir_spans_decode_protobuf(in, take, &is_protobuf, &decoded);
    is_protobuf = false;
    (void)weir_spans_decode_json(in, take, &is_protobuf, &decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(read_both, data, size, &budget);

    return 0;
}
