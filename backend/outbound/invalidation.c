#include "outbound/invalidation.h"

#include "redis/redis.h"

#include <stdio.h>
#include <stdlib.h>

#define CONCURRENCY 32 /* messages on their way, of different aggregates */
/* The edges trim the stream themselves; this is for when there is none. */
#define STREAM_MAX "100000"

struct weir_invalidation {
    weir_redis_t *redis;
    const char *const *types;
    weir_invalidation_tags_fn tags_of;
};

static void on_added(redisReply *reply, void *arg)
{
    weir_delivery_t *delivery = arg;
    char error[256];

    if (reply == NULL) {
        weir_delivery_done(delivery, WEIR_DELIVERY_AWAY, "Redis: no answer");
    } else if (reply->type == REDIS_REPLY_ERROR) {
        /* Full, read-only, loading: it passes, and says nothing of the event. */
        snprintf(error, sizeof(error), "Redis: %s", reply->str);
        weir_delivery_done(delivery, WEIR_DELIVERY_AWAY, error);
    } else {
        weir_delivery_done(delivery, WEIR_DELIVERY_OK, NULL);
    }
}

static void handle(void *self, const weir_event_t *event, weir_delivery_t *delivery)
{
    weir_invalidation_t *invalidation = self;
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

weir_invalidation_t *weir_invalidation_new(struct event_base *base, const char *redis,
                                           const char *const *types,
                                           weir_invalidation_tags_fn tags_of, char *error,
                                           size_t error_size)
{
    weir_invalidation_t *invalidation = calloc(1, sizeof(*invalidation));

    if (invalidation == NULL)
        abort();

    invalidation->types = types;
    invalidation->tags_of = tags_of;
    invalidation->redis =
        weir_redis_new(base, redis, "weir-invalidation", NULL, NULL, error, error_size);
    if (invalidation->redis == NULL) {
        free(invalidation);
        return NULL;
    }

    return invalidation;
}

void weir_invalidation_free(weir_invalidation_t *invalidation)
{
    weir_redis_free(invalidation->redis);
    free(invalidation);
}

weir_consumer_t weir_invalidation_consumer(weir_invalidation_t *invalidation)
{
    return (weir_consumer_t){
        .group = "invalidation",
        .types = invalidation->types,
        .apply = "invalidation_apply",
        .permanent = "22,23",
        .dependency = "redis",
        .concurrency = CONCURRENCY,
        .handle = handle,
        .self = invalidation,
    };
}
