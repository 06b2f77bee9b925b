#include "shop/aggregates.h"

static const char *const types[] = {"OrderCreated", "OrderPaid", NULL};

const weir_consumer_t weir_aggregates_consumer = {
    .group = "aggregates",
    .types = types,
    .apply = "aggregates_apply",
    .permanent = "22,23",
};
