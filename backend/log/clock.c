#include "log/clock.h"

#include "log/log.h"

#include <jansson.h>

#include <assert.h>
#include <stdlib.h>

#define LOOK_S 1
#define JUMP_MS 2000 /* NTP corrects smaller errors gradually */

/* ms between the two clocks.  The difference changes by much only when a clock is set. */
static int64_t offset(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - (int64_t)weir_clock_ms();
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    static int64_t last;
    int64_t now = offset(), jump = now - last;

    (void)fd;
    (void)what;
    (void)arg;
    if (last != 0 && (jump > JUMP_MS || jump < -JUMP_MS))
        weir_log(
            WEIR_LOG_WARN, NULL,
            "the machine's clock was set; webhooks are refused while the clock is wrong by more "
            "than five minutes",
            "{s:I}", "by_ms", (json_int_t)jump);
    last = now;
}

struct event *weir_clock_watch(struct event_base *base)
{
    static const struct timeval every = {LOOK_S, 0};
    struct event *timer = event_new(base, -1, EV_PERSIST, on_look, NULL);

    assert(base != NULL);
    on_look(-1, 0, NULL);
    event_add(timer, &every);
    return timer;
}
