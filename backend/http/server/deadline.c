/*
 * The field Weir-Deadline: how many ms are left for the request, counted from the end of its body.
 * It is a duration and no time of day, so clocks need not agree. Whoever passes a request on sends
 * what is left then.
 */
#include "http/server/private.h"

#include "log/alloc.h"
#include "log/clock.h"

#include <assert.h>

#define FIELD "Weir-Deadline"
#define DIGITS_MAX 9

/* The value, or -1. */
static int64_t read_ms(const char *text)
{
    int64_t ms = 0;
    int n;

    for (n = 0; text[n] >= '0' && text[n] <= '9' && n < DIGITS_MAX; n++)
        ms = ms * 10 + text[n] - '0';

    return n > 0 && text[n] == '\0' ? ms : -1;
}

static void on_overdue(evutil_socket_t fd, short what, void *arg)
{
    weir_http_request_t *r = arg;

    (void)fd;
    (void)what;
    if (r->status == 0)
        weir_http_abandon(r, 504);
}

bool weir_http_deadline_begin(weir_http_request_t *r)
{
    const weir_head_t *head = &r->connection->head;
    const char *text = weir_head_field(head, FIELD);
    int64_t ms;
    struct timeval after;

    assert(r->deadline_us == 0 && r->overdue == NULL);
    if (text == NULL)
        return true;

    ms = weir_head_count(head, FIELD) == 1 ? read_ms(text) : -1;
    if (ms < 0) {
        weir_http_error(r, 400, FIELD " must be one number of milliseconds, of at most %d digits.",
                        DIGITS_MAX);
        return false;
    }
    if (ms == 0) {
        weir_http_error(r, 504, "The request's deadline has passed; nothing was changed.");
        return false;
    }

    r->deadline_us = r->began_us + (uint64_t)ms * 1000;
    if (ms >= WEIR_HTTP_ANSWER_LIMIT_S * 1000)
        return true; /* it has its answer before */
    after = (struct timeval){ms / 1000, ms % 1000 * 1000};
    r->overdue = weir_alloc_check(evtimer_new(r->http->base, on_overdue, r));
    evtimer_add(r->overdue, &after);

    return true;
}

uint64_t weir_http_deadline(const weir_http_request_t *r)
{
    return r->deadline_us;
}
