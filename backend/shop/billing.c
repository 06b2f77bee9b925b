#include "shop/billing.h"

static const char *const types[] = {"UserCreated", "UserDeleted", NULL};

const weir_consumer_t weir_billing_consumer = {
    .group = "billing",
    .types = types,
    .apply = "billing_apply",
    .permanent = "22,23",
};
