#include "breaker/fleet/breaker_message.h"

#include <stdbool.h>
#include <string.h>

static bool is(weir_str_t s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static bool read_event(weir_str_t state, weir_breaker_message_kind_t *kind)
{
    if (is(state, "open"))
        *kind = WEIR_BREAKER_MESSAGE_EVENT_OPEN;
    else if (is(state, "ramping") || is(state, "closed"))
        *kind = WEIR_BREAKER_MESSAGE_EVENT_WELL;
    else if (is(state, "half-open"))
        *kind = WEIR_BREAKER_MESSAGE_EVENT_OTHER;
    else
        return false;
    return true;
}

static bool read_order(weir_str_t order, weir_breaker_message_kind_t *kind)
{
    if (is(order, "open"))
        *kind = WEIR_BREAKER_MESSAGE_STEER_OPEN;
    else if (is(order, "close"))
        *kind = WEIR_BREAKER_MESSAGE_STEER_CLOSE;
    else if (is(order, "auto"))
        *kind = WEIR_BREAKER_MESSAGE_STEER_AUTO;
    else
        return false;
    return true;
}

static bool read_time(weir_str_t text, int64_t *ms)
{
    int64_t n = 0;

    if (text.len == 0 || text.len > 12)
        return false;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        n = n * 10 + (text.data[i] - '0');
    }

    *ms = n;
    return n > 0 && n <= WEIR_BREAKER_MESSAGE_FOR_MAX;
}

const char *weir_breaker_message_read(const weir_str_t *texts, size_t n,
                                      weir_breaker_message_t *message)
{
    weir_str_t event = {NULL, 0}, order = {NULL, 0}, time = {NULL, 0};
    weir_breaker_message_t m;

    memset(&m, 0, sizeof(m));

    for (size_t i = 0; i + 1 < n; i += 2) {
        if (is(texts[i], "event"))
            event = texts[i + 1];
        else if (is(texts[i], "steer"))
            order = texts[i + 1];
        else if (is(texts[i], "for"))
            time = texts[i + 1];
        else if (is(texts[i], "zone"))
            m.zone = texts[i + 1];
        else if (is(texts[i], "key"))
            m.key = texts[i + 1];
        else if (is(texts[i], "edge"))
            m.edge = texts[i + 1];
        else if (is(texts[i], "id"))
            m.id = texts[i + 1];
        else if (is(texts[i], "by"))
            m.by = texts[i + 1];
    }

    if (m.key.len == 0)
        return "it has no key";
    if ((event.len == 0) == (order.len == 0))
        return "it must have either event or steer";
    if (event.len > 0 ? !read_event(event, &m.kind) : !read_order(order, &m.kind))
        return event.len > 0 ? "event is no state" : "steer must be open, close or auto";
    if (event.len > 0 && m.zone.len == 0)
        return "an event has no zone";
    if (order.len > 0 && m.kind != WEIR_BREAKER_MESSAGE_STEER_AUTO && !read_time(time, &m.ms))
        return "for must be a number of ms, up to a week";

    *message = m;
    return NULL;
}

int64_t weir_breaker_message_rest(const weir_breaker_message_t *message, uint64_t given,
                                  uint64_t now)
{
    int64_t gone = now > given ? (int64_t)(now - given) : 0;

    return gone < message->ms ? message->ms - gone : 0;
}
