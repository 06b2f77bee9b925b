#include "common/trace/encode/frame.h"

#include "common/trace/encode/otlp.h"

void weir_frame_make(weir_frame_t *frame, const weir_span_t *span)
{
    size_t len;

    assert(span->event_count == 0 && span->link_count == 0);

    len =
        weir_span_encode(WEIR_SPAN_FORMAT_PROTOBUF, span, NULL, frame->bytes, sizeof(frame->bytes));

    /* a length of one byte has no room for that of a span with more attributes */
    frame->len = len <= sizeof(frame->bytes) && (frame->bytes[1] & 0x80) != 0 ? len : 0;
}

void weir_frame_any(weir_frame_place_t *place, const char *name, size_t name_len, weir_str_t text,
                    size_t max)
{
    weir_attribute_t attribute = {.type = WEIR_ATTRIBUTE_TEXT,
                                  .value.text = {text.data, text.len < max ? text.len : max}};
    weir_out_t out;
    char copy[WEIR_FRAME_SHORT];

    if (place->p == NULL)
        return;

    assert(name_len < sizeof(copy));
    memcpy(copy, name + WEIR_FRAME_NAME_HEAD, name_len);
    copy[name_len] = '\0';
    attribute.name = copy;

    out = (weir_out_t){place->p, (size_t)(place->end - place->p), 0, false};
    weir_otlp_put_attribute(&out, &attribute);
    if (out.full)
        *place = (weir_frame_place_t){NULL, NULL};
    else
        place->p += out.len;
}
