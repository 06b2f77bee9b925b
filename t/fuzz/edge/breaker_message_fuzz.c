// needs: ngx_module/breaker/fleet/breaker_message.c
/*
 * Entries of the stream weir:breaker, which anyone may write who may write into Redis: texts with
 * NUL between them. What is read lies within them, and an order has an end.
 */
#include "breaker/fleet/breaker_message.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXTS 64

static void check_within(weir_str_t s, const uint8_t *data, size_t size)
{
    const char *begin = (const char *)data;

    assert(s.len == 0 || (s.data >= begin && s.data + s.len <= begin + size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weir_str_t texts[TEXTS];
    weir_breaker_message_t m;
    size_t n = 0, at = 0;

    while (at < size && n < TEXTS) {
        const uint8_t *end = memchr(data + at, '\0', size - at);
        size_t len = end != NULL ? (size_t)(end - data) - at : size - at;

        texts[n++] = (weir_str_t){(const char *)data + at, len};
        at += len + 1;
    }

    if (weir_breaker_message_read(texts, n, &m) != NULL)
        return 0;

    check_within(m.key, data, size);
    check_within(m.zone, data, size);
    check_within(m.edge, data, size);
    check_within(m.id, data, size);
    check_within(m.by, data, size);
    assert(m.key.len > 0);
    assert(m.kind != WEIR_BREAKER_MESSAGE_STEER_OPEN || m.ms > 0);
    assert(m.ms >= 0 && m.ms <= WEIR_BREAKER_MESSAGE_FOR_MAX);
    assert(weir_breaker_message_rest(&m, 1000, 1000) == m.ms);
    return 0;
}
