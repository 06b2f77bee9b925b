#include "common/trace/encode/out.h"

#include "common/problem.h"
#include "common/text/hex.h"
#include "common/text/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* --- text ------------------------------------------------------------------------------------ */

size_t weir_out_utf8_len(weir_str_t text)
{
    size_t len = 0, n;

    for (size_t i = 0; i < text.len;) {
        n = weir_utf8_sequence(text.data + i, text.len - i);
        len += n != 0 ? n : sizeof(WEIR_UTF8_REPLACEMENT) - 1;
        i += n != 0 ? n : 1;
    }

    return len;
}

void weir_out_text(weir_out_t *out, weir_str_t text, size_t len)
{
    size_t n;

    if (len == text.len) { /* an invalid byte would have made it longer */
        weir_out_bytes(out, text.data, text.len);
        return;
    }

    for (size_t i = 0; i < text.len;) {
        n = weir_utf8_sequence(text.data + i, text.len - i);
        if (n != 0) {
            weir_out_bytes(out, text.data + i, n);
            i += n;
        } else {
            weir_out_literal(out, WEIR_UTF8_REPLACEMENT);
            i++;
        }
    }
}

/* --- JSON ------------------------------------------------------------------------------------ */

void weir_out_string(weir_out_t *out, weir_str_t text)
{
    size_t room = out->len < out->cap ? out->cap - out->len : 0;

    size_t len = weir_json_string(room != 0 ? out->buf + out->len : NULL, room, text);

    if (len > room)
        out->full = true;
    out->len += len;
}

void weir_out_id(weir_out_t *out, const uint8_t *id, size_t n)
{
    char text[2 * WEIR_TRACE_ID_LEN];

    assert(n <= WEIR_TRACE_ID_LEN);
    weir_hex(text, id, n);
    weir_out_byte(out, '"');
    weir_out_bytes(out, text, 2 * n);
    weir_out_byte(out, '"');
}

void weir_out_number(weir_out_t *out, int64_t number)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%" PRId64, number);

    assert(n > 0 && (size_t)n < sizeof(text));
    weir_out_bytes(out, text, (size_t)n);
}

/* JSON has no number that is not finite; ProtoJSON writes their names. */
void weir_out_double(weir_out_t *out, double number)
{
    char text[32];
    int n;

    if (isnan(number)) {
        weir_out_literal(out, "\"NaN\"");
    } else if (isinf(number)) {
        weir_out_literal(out, "\"");
        if (number < 0)
            weir_out_byte(out, '-');
        weir_out_literal(out, "Infinity\"");
    } else {
        n = snprintf(text, sizeof(text), "%.17g", number);
        assert(n > 0 && (size_t)n < sizeof(text));
        weir_out_bytes(out, text, (size_t)n);
    }
}
