#include "outbound/invalidation.h"

#include "log/alloc.h"
#include "redis/redis.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* The edges trim the stream; this is a limit in case there is no edge. */
#define STREAM_MAX "100000"

typedef struct {
    weir_redis_t *redis;
    weir_invalidation_tags_fn tags_of;
} invalidation_t;

static void on_added(redisReply *reply, void *arg)
{
    weir_delivery_t *delivery = arg;
    char error[256];

    if (reply == NULL) {
        weir_delivery_done(delivery, WEIR_DELIVERY_AWAY, "Redis: no answer");
    } else if (reply->type == REDIS_REPLY_ERROR) {
        /* Out of memory, read-only, loading: temporary, and not caused by the event. */
        snprintf(error, sizeof(error), "Redis: %s", reply->str);
        weir_delivery_done(delivery, WEIR_DELIVERY_AWAY, error);
    } else {
        weir_delivery_done(delivery, WEIR_DELIVERY_OK, NULL);
    }
}

void weir_invalidation_handle(void *self, const weir_event_t *event, weir_delivery_t *delivery)
{
    invalidation_t *invalidation = self;
    char tags[WEIR_INVALIDATION_TAGS_MAX];
    const char *wrong = invalidation->tags_of(event, tags);

    if (wrong != NULL) {
        weir_delivery_done(delivery, WEIR_DELIVERY_PERMANENT, wrong);
        return;
    }

    if (!weir_redis_command(invalidation->redis, 8,
                            (const char *[]){"XADD", "weir:invalidate", "MAXLEN", "~", STREAM_MAX,
                                             "*", "tags", tags},
                            NULL, on_added, delivery))
        weir_delivery_done(delivery, WEIR_DELIVERY_AWAY, "Redis: no connection");
}

void *weir_invalidation_new(struct event_base *base, const char *redis,
                            weir_invalidation_tags_fn tags_of, char *error, size_t error_size)
{
    invalidation_t *invalidation = weir_alloc(sizeof(*invalidation));

    assert(tags_of != NULL);
    invalidation->tags_of = tags_of;
    invalidation->redis =
        weir_redis_new(base, redis, "weir-invalidation", NULL, NULL, error, error_size);
    if (invalidation->redis == NULL) {
        free(invalidation);
        return NULL;
    }

    return invalidation;
}

void weir_invalidation_free(void *self)
{
    invalidation_t *invalidation = self;

    weir_redis_free(invalidation->redis);
    free(invalidation);
}
