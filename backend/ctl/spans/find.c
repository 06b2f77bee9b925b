#include "ctl/spans/find.h"

#include "common/text/hex.h"
#include "ctl/spans/decode.h"
#include "ctl/spans/file.h"
#include "ctl/spans/value.h"
#include "log/alloc.h"

typedef struct {
    const char *id;
    json_t *list; /* resourceSpans */
    json_t *seen; /* an object: a member for each span's id */
    size_t bytes; /* of the lines with the id, so far */
    json_int_t left_out;
} search_t;

bool weir_spans_read_id(weir_str_t text, char id[WEIR_SPANS_ID_LEN + 1])
{
    return text.len == WEIR_SPANS_ID_LEN && weir_hex_id(id, text.data, text.len);
}

/* The element of the list, or of its last element's list, whose member is equal; else a new one. */
static json_t *part_of(json_t *list, const char *name, const json_t *value, const char *inner)
{
    json_t *last = json_array_get(list, json_array_size(list) - 1);

    if (last != NULL && json_equal(json_object_get(last, name), value))
        return json_object_get(last, inner);
    last = weir_alloc_check(json_pack("{s:O,s:[]}", name, value, inner));
    json_array_append_new(list, last);

    return json_object_get(last, inner);
}

static bool take(const json_t *resource, const json_t *scope, const json_t *span, void *arg)
{
    search_t *search = arg;
    const char *id = weir_spans_text(span, "spanId");
    json_t *list;

    if (strcmp(weir_spans_text(span, "traceId"), search->id) != 0 ||
        json_object_get(search->seen, id) != NULL)
        return true;
    if (json_object_size(search->seen) == WEIR_SPANS_FOUND_MAX ||
        search->bytes > WEIR_SPANS_FOUND_BYTES_MAX) {
        search->left_out++;
        return true;
    }
    json_object_set_new(search->seen, id, json_true());
    list = part_of(search->list, "resource", resource, "scopeSpans");
    list = part_of(list, "scope", scope, "spans");
    json_array_append(list, (json_t *)span);

    return true;
}

static void read_line(weir_str_t line, void *arg)
{
    search_t *search = arg;
    weir_spans_decoded_t decoded;

    /* It may also be the id of a link. */
    if (memmem(line.data, line.len, search->id, strlen(search->id)) == NULL)
        return;
    (void)weir_spans_decode_json(line, take, search, &decoded);
    search->bytes += line.len;
}

json_t *weir_spans_find(const char *path, const char *id, char *error, size_t size)
{
    search_t search = {id, weir_alloc_check(json_array()), weir_alloc_check(json_object()), 0, 0};
    const weir_spans_reader_t reader = {NULL, read_line, &search};
    weir_spans_place_t place = WEIR_SPANS_PLACE_FIRST;
    json_t *document;
    bool ok = weir_spans_file_read(path, &place, &reader, error, size);

    weir_spans_place_close(&place);
    json_decref(search.seen);
    if (!ok) {
        json_decref(search.list);
        return NULL;
    }
    document = weir_alloc_check(json_pack("{s:o}", "resourceSpans", search.list));
    if (search.left_out > 0)
        json_object_set_new(document, "left_out", json_integer(search.left_out));

    return document;
}
