#include "shop/users/analytics.h"

static const char *const types[] = {"UserCreated", NULL};

const weir_group_t weir_analytics_group = {.consumer = {
                                               .group = "analytics",
                                               .types = types,
                                               .apply = "analytics_apply",
                                               .permanent = "22,23",
                                           }};
