#include "shop/products/tags.h"

#include "outbound/invalidation.h"

#include <stdio.h>
#include <string.h>

static const char *const types[] = {"DailyOrdersChanged", "ProductChanged", NULL};

static const char *tags_of(const weir_event_t *event, char tags[WEIR_INVALIDATION_TAGS_MAX])
{
    const char *product;
    int len;

    if (strcmp(event->type, "DailyOrdersChanged") == 0) {
        snprintf(tags, WEIR_INVALIDATION_TAGS_MAX, "daily-orders");
        return NULL;
    }

    product = json_string_value(json_object_get(event->data, "productId"));
    if (product == NULL)
        return "the event does not name its product";
    len = snprintf(tags, WEIR_INVALIDATION_TAGS_MAX, "products product:%s", product);

    return len < WEIR_INVALIDATION_TAGS_MAX ? NULL : "the event does not name its product";
}

static void *open_invalidation(const weir_runtime_t *runtime, char *error, size_t error_size)
{
    return weir_invalidation_new(runtime->base, runtime->redis, tags_of, error, error_size);
}

const weir_group_t weir_invalidation_group = {
    .consumer =
        {
            .group = "invalidation",
            .types = types,
            .apply = "invalidation_apply",
            .permanent = "22,23",
            .dependency = "redis",
            .concurrency = WEIR_INVALIDATION_CONCURRENCY,
            .handle = weir_invalidation_handle,
        },
    .open = open_invalidation,
    .close = weir_invalidation_free,
};
