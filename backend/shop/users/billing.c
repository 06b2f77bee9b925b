#include "shop/users/billing.h"

static const char *const types[] = {"UserCreated", "UserDeleted", NULL};

const weir_group_t weir_billing_group = {.consumer = {
                                             .group = "billing",
                                             .types = types,
                                             .apply = "billing_apply",
                                             .permanent = "22,23",
                                         }};
