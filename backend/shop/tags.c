#include "shop/tags.h"

#include <stdio.h>
#include <string.h>

const char *const weir_tags_types[] = {"DailyOrdersChanged", "ProductChanged", NULL};

const char *weir_tags_of_event(const weir_event_t *event, char tags[WEIR_INVALIDATION_TAGS_MAX])
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
