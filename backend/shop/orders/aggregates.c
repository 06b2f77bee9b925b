#include "shop/orders/aggregates.h"

static const char *const types[] = {"OrderCreated", "OrderPaid", NULL};

const weir_group_t weir_aggregates_group = {.consumer = {
                                                .group = "aggregates",
                                                .types = types,
                                                .apply = "aggregates_apply",
                                                .permanent = "22,23",
                                            }};
