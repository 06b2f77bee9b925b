#include "shop/invalidation.h"

#include "redis/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONCURRENCY 32 /* messages on their way, of different aggregates */
/* The edges trim the stream themselves; this is for when there is none. */
#define STREAM_MAX "100000"
#define TAGS_MAX 256

struct weir_invalidation {
    weir_redis_t *redis;
};

static const char *const types[] = {"DailyOrdersChanged", "ProductChanged", NULL};

/* The tags of the answers that the event makes old; false when it doesn't say. */
static bool tags_of(const weir_event_t *event, char tags[TAGS_MAX])
{
    const char *product;

    if (strcmp(event->type, "DailyOrdersChanged") == 0) {
        snprintf(tags, TAGS_MAX, "daily-orders");
        return true;
    }

    product = json_string_value(json_object_get(event->data, "productId"));
    if (product == NULL)
        return false;

    return snprintf(tags, TAGS_MAX, "products product:%s", product) < TAGS_MAX;
}

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
    char tags[TAGS_MAX];

    if (!tags_of(event, tags)) {
        weir_delivery_done(delivery, WEIR_DELIVERY_PERMANENT,
                           "the event does not name its product");
        return;
    }

    if (!weir_redis_command(invalidation->redis, 8,
                            (const char *[]){"XADD", "weir:invalidate", "MAXLEN", "~", STREAM_MAX,
                                             "*", "tags", tags},
                            NULL, on_added, delivery))
        weir_delivery_done(delivery, WEIR_DELIVERY_AWAY, "Redis: no connection");
}

weir_invalidation_t *weir_invalidation_new(struct event_base *base, const char *redis, char *error,
                                           size_t error_size)
{
    weir_invalidation_t *invalidation = calloc(1, sizeof(*invalidation));

    if (invalidation == NULL)
        abort();

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
        .types = types,
        .apply = "invalidation_apply",
        .permanent = "22,23",
        .dependency = "redis",
        .concurrency = CONCURRENCY,
        .handle = handle,
        .self = invalidation,
    };
}
